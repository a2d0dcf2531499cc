//! The address of a remote repository, taken apart once: which transport, which host, which path.
//!
//! An address never carries a password from here on: what stood before the `@` is moved into the credentials.

use hemline_model::secret::Secret;

use crate::{
    SourceError,
    access::{Access, Credentials, SecretText},
};

/// Where a remote repository is.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// Without user and password.
    pub(crate) url: String,
    pub(crate) transport: Transport,
    pub(crate) access: Access,
}

/// How it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Another folder of this machine.
    File,
    /// Smart HTTP with or without TLS.
    Http,
    /// `git-upload-pack` and `git-receive-pack` over SSH.
    Ssh { user: String, host: String, port: u16, path: String },
}

/// The user that forges want.
const SSH_USER: &str = "git";

impl Remote {
    /// Takes an address apart; `None` when it is a path of this machine.
    pub(crate) fn parse(location: &str, access: &Access) -> Option<Result<Self, SourceError>> {
        let unsupported = |why| Some(Err(SourceError::Unsupported { url: without_password(location), why }));
        match location.split_once("://") {
            Some(("file", _)) => Some(Ok(Self::new(location, Transport::File, access))),
            Some(("http" | "https", _)) => Some(Self::http(location, access)),
            Some(("ssh" | "git+ssh", rest)) => Some(match ssh_url(rest) {
                Some(transport) => Ok(Self::new(&without_password(location), transport, access)),
                None => return unsupported("write it like ssh://git@host:22/path/to/repository.git"),
            }),
            Some(_) => unsupported("use a path, file://, http://, https:// or ssh://"),
            None if std::path::Path::new(location).exists() => None,
            None => {
                let (place, path) = location.split_once(':')?;
                // `git@host:path`, as forges print it.
                if place.contains('/') || place.is_empty() || path.is_empty() {
                    return None;
                }
                let (user, host) = place.rsplit_once('@').unwrap_or((SSH_USER, place));
                let transport = Transport::Ssh {
                    user: user.to_owned(),
                    host: host.to_owned(),
                    port: 22,
                    path: path.to_owned(),
                };
                Some(Ok(Self::new(location, transport, access)))
            }
        }
    }

    fn new(url: &str, transport: Transport, access: &Access) -> Self {
        Self { url: url.to_owned(), transport, access: access.clone() }
    }

    fn http(location: &str, access: &Access) -> Result<Self, SourceError> {
        let mut access = access.clone();
        if matches!(access.credentials, Credentials::Anonymous)
            && let Some((user, password)) = user_info(location)
        {
            let password = SecretText::Value(Secret::new(password));
            access.credentials = Credentials::Basic { user, password };
        }
        let remote = Self { url: without_password(location), transport: Transport::Http, access };
        let open = location.starts_with("http://") && !is_loopback(&remote.url);
        let shown = matches!(remote.access.credentials, Credentials::Token(_) | Credentials::Basic { .. });
        if open && shown {
            return Err(SourceError::Unsupported {
                url: remote.url,
                why: "credentials would travel readable for everybody on the way; use https://",
            });
        }
        Ok(remote)
    }
}

fn ssh_url(rest: &str) -> Option<Transport> {
    let (authority, path) = rest.split_once('/')?;
    let (user, place) = authority.rsplit_once('@').unwrap_or((SSH_USER, authority));
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => place.rsplit_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(22), |port| port.parse().ok())?;
    // `ssh://host/~user/x` means a path below a home folder, not below the root.
    let path = if path.starts_with('~') { path.to_owned() } else { format!("/{path}") };
    let complete = !user.is_empty() && !host.is_empty() && path.len() > 1;
    complete.then(|| Transport::Ssh { user: user.to_owned(), host: host.to_owned(), port, path })
}

fn user_info(url: &str) -> Option<(String, String)> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (info, _) = authority.rsplit_once('@')?;
    let (user, password) = info.split_once(':').unwrap_or(("", info));
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = if user.is_empty() { "x-access-token".to_owned() } else { decoded(user) };
    Some((user, decoded(password)))
}

fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let name = host.strip_prefix('[').map_or_else(
        || host.rsplit_once(':').map_or(host, |(name, _)| name),
        |rest| rest.split(']').next().unwrap_or_default(),
    );
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An address without user and password. The user of an SSH address stays: it is part of the address, and no secret.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(a, p)| (a, Some(p)));
    let host = match authority.rsplit_once('@') {
        Some((info, host)) if scheme.ends_with("ssh") => {
            format!("{}@{host}", info.split_once(':').map_or(info, |(user, _)| user))
        }
        Some((_, host)) => host.to_owned(),
        None => authority.to_owned(),
    };
    path.map_or_else(|| format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("http://user:secret@host:80/a.git", "http://host:80/a.git"),
            ("http://token@host", "http://host"),
            ("file:///srv/a@b.git", "file:///srv/a@b.git"),
            ("/srv/a.git", "/srv/a.git"),
            ("ssh://git:secret@host/a.git", "ssh://git@host/a.git"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn ssh_addresses_in_both_forms() {
        for (url, user, host, port, path) in [
            ("ssh://git@host/a/b.git", "git", "host", 22, "/a/b.git"),
            ("ssh://host:2222/~me/b.git", "git", "host", 2222, "~me/b.git"),
            ("ssh://me@[::1]:22/b", "me", "::1", 22, "/b"),
            ("git@host.example:a/b.git", "git", "host.example", 22, "a/b.git"),
            ("host.example:/srv/b.git", "git", "host.example", 22, "/srv/b.git"),
        ] {
            let remote = Remote::parse(url, &Access::default()).unwrap().unwrap();
            let (user, host, path) = (user.to_owned(), host.to_owned(), path.to_owned());
            assert_eq!(remote.transport, Transport::Ssh { user, host, port, path }, "{url}");
        }
        for url in ["ssh://host", "ssh:///a", "ssh://host:port/a", "ftp://host/a"] {
            assert!(Remote::parse(url, &Access::default()).unwrap().is_err(), "{url}");
        }
        assert!(Remote::parse("./a:b", &Access::default()).is_none());
        assert!(Remote::parse("/nonexistent/repository", &Access::default()).is_none());
    }

    #[test]
    fn credentials_leave_the_address_and_never_travel_in_the_open() {
        let remote = Remote::parse("https://me:p%40ss@host/a.git", &Access::default()).unwrap().unwrap();
        assert_eq!(remote.url, "https://host/a.git");
        let Credentials::Basic { user, password } = &remote.access.credentials else { panic!() };
        assert_eq!((user.as_str(), password.read().unwrap().expose()), ("me", "p@ss"));
        assert!(Remote::parse("http://me:x@host/a.git", &Access::default()).unwrap().is_err());
        for url in ["http://me:x@127.0.0.1:80/a", "http://me:x@localhost/a", "http://me:x@[::1]:1/a"] {
            assert!(Remote::parse(url, &Access::default()).unwrap().is_ok(), "{url}");
        }
    }
}
