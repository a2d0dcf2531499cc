//! SSH through russh: a connection of libgit2's daemon protocol becomes `git-upload-pack` or `git-receive-pack` on the
//! remote.
//!
//! The server's key is judged by `known_hosts` and nothing else: a server that is not in it is refused, always.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use russh::{
    ChannelMsg, Preferred,
    client::{self, Handle},
    keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Carries, Failure,
    known_hosts::{Known, Verdict},
    pkt::{Offers, Wants},
};
use crate::{
    SourceError,
    access::Credentials,
    remote::{Remote, Transport},
};

/// Longest wait for a connection and for each step of the handshake.
const PATIENCE: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Larger `known_hosts` files belong to nobody.
const KNOWN_HOSTS_AT_MOST: u64 = 16 << 20;
/// Bytes of a server's own words that are kept.
const WORDS: usize = 600;

/// An authenticated connection; each connection of libgit2 is a channel in it.
pub(super) struct Session {
    handle: Handle<Judge>,
    url: String,
    path: String,
    word: String,
    carries: Carries,
    failure: Failure,
}

/// Judges the key that the server shows.
struct Judge {
    known: Known,
    verdict: Arc<std::sync::Mutex<Option<(Verdict, String)>>>,
}

impl client::Handler for Judge {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let verdict = self.known.judge(key);
        let print = key.fingerprint(HashAlg::Sha256).to_string();
        *self.verdict.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((verdict, print));
        Ok(verdict == Verdict::Same)
    }
}

// === impl Session ===

impl Session {
    pub(super) async fn open(
        remote: &Remote,
        carries: Carries,
        word: String,
        failure: Failure,
    ) -> Result<Self, SourceError> {
        let Transport::Ssh { user, host, port, path } = &remote.transport else {
            return Err(SourceError::Interrupted);
        };
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| SourceError::Unreachable {
            url: remote.url.clone(),
            source,
        };
        let untrusted =
            |why: String, fix: String| SourceError::Untrusted { url: remote.url.clone(), why, fix };
        let Credentials::SshKey { file, passphrase } = &remote.access.credentials else {
            return Err(SourceError::Denied {
                url: remote.url.clone(),
                why: "no key for SSH".to_owned(),
                fix: "name a private key with HEM_GIT_SSH_KEY or --git-ssh-key".to_owned(),
            });
        };
        let passphrase = passphrase.as_ref().map(crate::access::SecretText::read).transpose()?;
        let key = load_secret_key(file, passphrase.as_ref().map(|text| text.expose())).map_err(|error| {
            let why = std::io::Error::other(error.to_string());
            SourceError::Unreadable { path: file.clone(), source: why }
        })?;

        let known = known(remote, host, *port)?;
        let place = if *port == 22 { host.clone() } else { format!("[{host}]:{port}") };
        let fix = format!(
            "ask its operator for the fingerprint, then add the line of `ssh-keyscan -p {port} {host}` to known_hosts"
        );
        if known.keys().is_empty() {
            return Err(untrusted(format!("{place} is not in known_hosts"), fix));
        }
        let verdict = Arc::new(std::sync::Mutex::new(None));
        let judge = Judge { known: known.clone(), verdict: Arc::clone(&verdict) };
        let config = Arc::new(client::Config {
            // Servers have keys of several kinds; asked is for those that can be compared.
            preferred: Preferred { key: algorithms(&known).into(), ..Preferred::default() },
            inactivity_timeout: Some(PATIENCE * 2),
            keepalive_interval: Some(KEEPALIVE),
            nodelay: true,
            ..client::Config::default()
        });
        let connected = client::connect(config, (host.as_str(), *port), judge);
        let connected = tokio::time::timeout(PATIENCE, connected)
            .await
            .map_err(|_| SourceError::TimedOut { url: remote.url.clone(), seconds: PATIENCE.as_secs() })?;
        let judged = verdict.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let mut handle = match (connected, judged) {
            (Err(_), Some((Verdict::Changed, print))) => {
                let why = format!("{place} shows the key {print}, which is not the one in known_hosts");
                return Err(untrusted(why, format!("somebody may be in between; {fix}")));
            }
            (Err(_), Some((Verdict::Revoked, print))) => {
                let why = format!("{place} shows the key {print}, which known_hosts revokes");
                return Err(untrusted(why, fix));
            }
            (Err(russh::Error::NoCommonAlgo { .. }), None) => {
                let why = format!("{place} has no key of the kind that known_hosts has of it");
                return Err(untrusted(why, fix));
            }
            (Err(error), _) => return Err(unreachable(Box::new(error))),
            (Ok(handle), _) => handle,
        };
        let hash = if key.algorithm().is_rsa() {
            handle.best_supported_rsa_hash().await.ok().flatten().flatten().or(Some(HashAlg::Sha512))
        } else {
            None
        };
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let entered = handle.authenticate_publickey(user.as_str(), key).await;
        if !entered.map_err(|error| unreachable(Box::new(error)))?.success() {
            return Err(SourceError::Denied {
                url: remote.url.clone(),
                why: format!("{user}@{place} does not take the key {}", file.display()),
                fix:
                    "add its public half to the repository's deploy keys (to write status, with write access)"
                        .to_owned(),
            });
        }
        Ok(Self { handle, url: remote.url.clone(), path: path.clone(), word, carries, failure })
    }

    async fn carry(&self, stream: TcpStream) -> Result<(), SourceError> {
        let lost = |source: Box<dyn std::error::Error + Send + Sync>| SourceError::Unreachable {
            url: self.url.clone(),
            source,
        };
        let (mut from, mut to) = stream.into_split();
        let Some(service) = asked(&mut from, &self.word).await else { return Ok(()) };
        let channel = self.handle.channel_open_session().await.map_err(|error| lost(Box::new(error)))?;
        channel
            .exec(true, format!("{service} {}", quoted(&self.path)))
            .await
            .map_err(|error| lost(Box::new(error)))?;
        let (mut answers, asks) = channel.split();
        let (mut offers, mut left) = (Offers::default(), self.carries.bytes);
        let reading = service == "git-upload-pack";
        let mut wants = self.carries.blob_bytes.filter(|_| reading).map(Wants::without_blobs_above);
        let mut words = BytesMut::new();
        let mut buffer = vec![0; 32 << 10];
        let (mut asking, mut heard) = (true, false);
        loop {
            tokio::select! {
                read = from.read(&mut buffer), if asking => match read {
                    Ok(0) | Err(_) => {
                        asking = false;
                        drop(asks.eof().await);
                    }
                    Ok(size) => {
                        let bytes = match &mut wants {
                            Some(wants) if offers.filter() => wants.take(&buffer[..size]),
                            Some(_) | None => Bytes::copy_from_slice(&buffer[..size]),
                        };
                        asks.data_bytes(bytes).await.map_err(|error| lost(Box::new(error)))?;
                    }
                },
                answer = answers.wait() => match answer {
                    Some(ChannelMsg::Data { data }) => {
                        heard = true;
                        offers.look(&data);
                        left = left.checked_sub(data.len() as u64).ok_or_else(|| SourceError::Limit {
                            what: "bytes in one fetch",
                            limit: self.carries.bytes,
                            path: self.url.clone(),
                        })?;
                        if to.write_all(&data).await.is_err() {
                            // libgit2 has what it wanted.
                            return Ok(());
                        }
                    }
                    Some(ChannelMsg::ExtendedData { data, .. }) if words.len() < WORDS => {
                        words.extend_from_slice(&data);
                    }
                    Some(ChannelMsg::ExitStatus { exit_status }) if exit_status != 0 && !heard => {
                        return Err(self.refused(&words, exit_status));
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }

    /// The server let us in and then said no to the repository.
    fn refused(&self, words: &[u8], status: u32) -> SourceError {
        let words = String::from_utf8_lossy(words);
        let words: String =
            words.trim().chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let why = if words.is_empty() { format!("the server ended with {status}") } else { words };
        let fix = "check the path, and that the key may use this repository".to_owned();
        SourceError::Denied { url: self.url.clone(), why, fix }
    }
}

/// Serves one connection of libgit2.
pub(super) async fn connection(stream: TcpStream, session: Arc<Session>) {
    if let Err(error) = session.carry(stream).await {
        session.failure.tell(error);
    }
}

fn known(remote: &Remote, host: &str, port: u16) -> Result<Known, SourceError> {
    let Some(path) = &remote.access.known_hosts else {
        return Err(SourceError::Untrusted {
            url: remote.url.clone(),
            why: "no known_hosts file is named".to_owned(),
            fix: "name one with --git-known-hosts".to_owned(),
        });
    };
    let unreadable = |source| SourceError::Unreadable { path: path.clone(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > KNOWN_HOSTS_AT_MOST {
        return Err(SourceError::Limit {
            what: "bytes in one file",
            limit: KNOWN_HOSTS_AT_MOST,
            path: path.display().to_string(),
        });
    }
    let text = std::fs::read(path).map_err(unreadable)?;
    Ok(Known::of(&String::from_utf8_lossy(&text), host, port))
}

/// The kinds of the known keys; RSA keys sign with SHA-2 only.
fn algorithms(known: &Known) -> Vec<Algorithm> {
    let mut all = Vec::new();
    for key in known.keys() {
        let kinds = match key.algorithm() {
            Algorithm::Rsa { .. } => vec![
                Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
                Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
            ],
            other => vec![other],
        };
        for kind in kinds {
            if !all.contains(&kind) {
                all.push(kind);
            }
        }
    }
    all
}

/// The service that libgit2 asks for: `git-upload-pack /WORD\0host=…\0`. `None` when this is not libgit2.
async fn asked(from: &mut (impl tokio::io::AsyncRead + Unpin), word: &str) -> Option<&'static str> {
    let mut digits = [0; 4];
    from.read_exact(&mut digits).await.ok()?;
    let size = usize::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
    let mut line = vec![0; size.checked_sub(4).filter(|size| *size < 1024)?];
    from.read_exact(&mut line).await.ok()?;
    let text = std::str::from_utf8(&line).ok()?;
    let (service, path) = text.split('\0').next()?.split_once(' ')?;
    if path.trim_start_matches('/') != word {
        return None;
    }
    ["git-upload-pack", "git-receive-pack"].into_iter().find(|known| *known == service)
}

/// For the shell of the other side.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''").replace('!', "'\\!'"))
}
