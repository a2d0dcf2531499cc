//! SSH signatures (`SSHSIG`, namespace `git`) against OpenSSH's `allowed_signers`.
//!
//! Read of a line: principals, the options `namespaces`, `valid-after`, `valid-before`, and the key. Lines with
//! `cert-authority` are passed over: certificates are not judged here.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use russh::keys::ssh_key::{HashAlg, PublicKey, SshSig};

use super::Refusal;

/// What Git signs under.
const NAMESPACE: &str = "git";

/// One line.
struct Signer {
    principals: String,
    key: PublicKey,
    namespaces: Option<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

pub(super) fn judge(allowed: &str, signature: &str, signed: &[u8], at: Timestamp) -> Result<String, Refusal> {
    let signature =
        SshSig::from_pem(signature.as_bytes()).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    let print = signature.public_key().fingerprint(HashAlg::Sha256).to_string();
    let signers: Vec<Signer> = allowed.lines().filter_map(line).collect();
    let of_key = || signers.iter().filter(|signer| signer.key.key_data() == signature.public_key());
    let named = || of_key().filter(|signer| signer.takes(NAMESPACE));
    if named().next().is_none() {
        return Err(Refusal::Stranger(print));
    }
    let Some(signer) = named().find(|signer| signer.is_valid(at)) else {
        return Err(Refusal::Expired(print));
    };
    match signer.key.verify(NAMESPACE, signed, &signature) {
        Ok(()) => Ok(format!("{} ({print})", signer.principals)),
        Err(_) => Err(Refusal::Forged(print)),
    }
}

impl Signer {
    fn takes(&self, namespace: &str) -> bool {
        let patterns = self.namespaces.as_deref().unwrap_or("*");
        patterns.split(',').any(|pattern| crate::pattern::matches(pattern, namespace))
    }

    fn is_valid(&self, at: Timestamp) -> bool {
        self.after.is_none_or(|after| after <= at) && self.before.is_none_or(|before| at < before)
    }
}

/// `None` for a comment, and for what does not parse: a line that is not understood allows nobody.
fn line(text: &str) -> Option<Signer> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let (principals, mut rest) = word(text)?;
    let mut signer = Options::default();
    loop {
        rest = rest.trim_start();
        let (next, after) = word(rest)?;
        if next.starts_with("ssh-") || next.starts_with("ecdsa-") || next.starts_with("sk-") {
            let key = PublicKey::from_openssh(rest).ok()?;
            let Options { namespaces, after, before } = signer;
            let principals = principals.trim_matches('"').to_owned();
            return Some(Signer { principals, key, namespaces, after, before });
        }
        signer.take(next)?;
        rest = after;
    }
}

#[derive(Default)]
struct Options {
    namespaces: Option<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Options {
    fn take(&mut self, text: &str) -> Option<()> {
        for option in split(text) {
            let (name, value) = option.split_once('=')?;
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "namespaces" => self.namespaces = Some(value.to_owned()),
                "valid-after" => self.after = Some(time(value)?),
                "valid-before" => self.before = Some(time(value)?),
                _ => return None,
            }
        }
        Some(())
    }
}

/// The next word; blanks inside quotes belong to it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let mut quoted = false;
    let end = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        c.is_whitespace() && !quoted
    });
    let end = end.map_or(text.len(), |(at, _)| at);
    (end > 0).then(|| text.split_at(end))
}

/// Parts between commas outside of quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        quoted ^= c == '"';
        if c == ',' && !quoted {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with `Z` for UTC. Without it OpenSSH means the zone of its machine; here
/// it is UTC too, because a fleet has no zone.
fn time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<i16>().ok());
    let small = |from, to| number(from, to).and_then(|number| i8::try_from(number).ok());
    let (hour, minute, second) = match digits.len() {
        8 => (0, 0, 0),
        12 => (small(8, 10)?, small(10, 12)?, 0),
        14 => (small(8, 10)?, small(10, 12)?, small(12, 14)?),
        _ => return None,
    };
    let time = DateTime::new(number(0, 4)?, small(4, 6)?, small(6, 8)?, hour, minute, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    #[test]
    fn lines_of_allowed_signers() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (text, namespace, valid) in [
            (format!("me@example {KEY} comment"), true, true),
            (format!("me@example,you namespaces=\"file,git\" {KEY}"), true, true),
            (format!("me namespaces=\"file\" {KEY}"), false, true),
            (format!("me namespaces=\"g*\",valid-before=\"20240101\" {KEY}"), true, false),
            (format!("\"a b\" valid-after=\"20240102120000Z\" {KEY}"), true, true),
        ] {
            let signer = line(&text).unwrap();
            assert_eq!(signer.takes("git"), namespace, "{text}");
            assert_eq!(signer.is_valid(at("2024-01-02T12:00:00Z")), valid, "{text}");
        }
        for text in [
            "",
            "# x",
            "me",
            "me ssh-ed25519 nonsense",
            &format!("*@x cert-authority {KEY}"),
            &format!("me unknown=1 {KEY}"),
            &format!("me valid-after=\"yesterday\" {KEY}"),
        ] {
            assert!(line(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_no_signature() {
        assert!(matches!(judge("", "x", b"", Timestamp::UNIX_EPOCH), Err(Refusal::Unreadable(_))));
    }
}
