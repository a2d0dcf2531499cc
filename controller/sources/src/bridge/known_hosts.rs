//! Which keys an SSH server may have: OpenSSH's `known_hosts`, read and never written.
//!
//! Plain and hashed names, `[host]:port`, wildcards, negation and `@revoked` mean what they mean to OpenSSH. Lines with
//! `@cert-authority` are passed over: host certificates are not asked for.

use hmac::{Hmac, Mac as _};
use russh::keys::ssh_key::{
    PublicKey,
    known_hosts::{HostPatterns, KnownHosts, Marker},
};
use sha1::Sha1;

use crate::pattern::matches;

/// What is known of one server.
#[derive(Debug, Default, Clone)]
pub(super) struct Known {
    keys: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

/// What a server's key is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the one.
    Same,
    /// Another key is known for this server.
    Changed,
    /// Somebody took it back.
    Revoked,
    /// Nothing is known.
    Unknown,
}

impl Known {
    /// What a file says of one server. Lines that do not parse are passed over, as OpenSSH does.
    pub(super) fn of(text: &str, host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        let name = if port == 22 { host } else { format!("[{host}]:{port}") };
        let mut known = Self::default();
        for entry in KnownHosts::new(text).flatten() {
            if !names(entry.host_patterns(), &name) {
                continue;
            }
            match entry.marker() {
                None => known.keys.push(entry.public_key().clone()),
                Some(Marker::Revoked) => known.revoked.push(entry.public_key().clone()),
                Some(Marker::CertAuthority) => {}
            }
        }
        known
    }

    pub(super) fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    pub(super) fn judge(&self, key: &PublicKey) -> Verdict {
        // The comment of a line is no part of the key.
        let among = |keys: &[PublicKey]| keys.iter().any(|known| known.key_data() == key.key_data());
        match () {
            () if among(&self.revoked) => Verdict::Revoked,
            () if among(&self.keys) => Verdict::Same,
            () if self.keys.is_empty() => Verdict::Unknown,
            () => Verdict::Changed,
        }
    }
}

fn names(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|hmac| hmac.chain_update(name).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let mut found = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(never) if matches(&never.to_ascii_lowercase(), name) => return false,
                    Some(_) => {}
                    None => found |= matches(&pattern.to_ascii_lowercase(), name),
                }
            }
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G2sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    #[test]
    fn a_server_is_known_by_its_name_and_port() {
        let key = PublicKey::from_openssh(ONE).unwrap();
        for (line, host, port, verdict) in [
            (format!("git.example {ONE} comment"), "git.example", 22, Verdict::Same),
            (format!("git.example {ONE}"), "GIT.example", 22, Verdict::Same),
            (format!("git.example {ONE}"), "git.example", 2222, Verdict::Unknown),
            (format!("[git.example]:2222 {ONE}"), "git.example", 2222, Verdict::Same),
            (format!("a,*.example,b {ONE}"), "git.example", 22, Verdict::Same),
            (format!("*.example,!git.example {ONE}"), "git.example", 22, Verdict::Unknown),
            (format!("git.example {OTHER}"), "git.example", 22, Verdict::Changed),
            (format!("@revoked * {ONE}\ngit.example {ONE}"), "git.example", 22, Verdict::Revoked),
            (format!("@cert-authority * {ONE}"), "git.example", 22, Verdict::Unknown),
            (format!("# git.example {ONE}\nnonsense\n"), "git.example", 22, Verdict::Unknown),
        ] {
            assert_eq!(Known::of(&line, host, port).judge(&key), verdict, "{line}");
        }
    }

    #[test]
    fn a_hashed_name_is_found() {
        // As `ssh-keygen -H` writes it: the name under a salt.
        let salt = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            "O33ESRMWPVkMYIwJ1Uw+n877jTo=",
        )
        .unwrap();
        let hash =
            Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update("git.example").finalize().into_bytes();
        let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
        let line = format!("|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|{hash} {ONE}");
        assert_eq!(Known::of(&line, "git.example", 22).keys().len(), 1);
        assert_eq!(Known::of(&line, "other.example", 22).keys().len(), 0);
    }
}
