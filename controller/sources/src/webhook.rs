//! Is this request really from the forge? GitHub, GitLab, Gitea and Forgejo, each with the header it has.
//!
//! A webhook only wakes a source: nothing of its body is used, so a request that is sent twice does nothing worse than one
//! look more. The kinds, with the header that proves each:
//!
//! * GitHub: `X-Hub-Signature-256: sha256=HEX`, HMAC-SHA256 of the body.
//! * Gitea, Forgejo: `X-Gitea-Signature` or `X-Forgejo-Signature: HEX`, the same HMAC.
//! * GitLab with a signing token: `webhook-signature: v1,BASE64 …`, HMAC-SHA256 of `id.timestamp.body` (Standard Webhooks),
//!   at most five minutes old; the token is `whsec_` and the key in Base64.
//! * GitLab with a secret token: `X-Gitlab-Token`, the secret itself.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hemline_model::secret::Secret;
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Bodies above this are not read: GitHub caps its own at 25 MiB, and a push is a few kilobytes.
pub const WEBHOOK_AT_MOST: usize = 1 << 20;
/// How far clocks may differ.
const OLD: SignedDuration = SignedDuration::from_mins(5);

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// None of the headers that prove anything.
    #[error(
        "no signature: set a secret at the webhook (X-Hub-Signature-256, X-Gitea-Signature, X-Forgejo-Signature, \
         webhook-signature or X-Gitlab-Token)"
    )]
    Unsigned,
    /// The proof is not made with our secret, or not of this body.
    #[error("the signature does not fit: the secret of the webhook is another than the one of this hub")]
    Wrong,
    /// Signed too long ago, or in the future.
    #[error("the signature is not of now: look at the clocks, or somebody sent it again")]
    Old,
}

/// Judges a request. `header` gives a header by its name in small letters.
///
/// # Errors
/// When nothing proves that the sender knows the secret.
pub fn verify<'a>(
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    secret: &Secret,
    now: Timestamp,
) -> Result<(), WebhookError> {
    // An empty secret would let everybody sign.
    if secret.is_empty() {
        return Err(WebhookError::Wrong);
    }
    let key = secret.expose().as_bytes();
    if let Some(signature) = header("x-hub-signature-256") {
        return hex_fits(signature.strip_prefix("sha256=").unwrap_or_default(), key, &[body]);
    }
    if let Some(signature) = header("x-forgejo-signature").or_else(|| header("x-gitea-signature")) {
        return hex_fits(signature, key, &[body]);
    }
    if let Some(signatures) = header("webhook-signature") {
        return standard(&header, signatures, body, secret, now);
    }
    match header("x-gitlab-token") {
        Some(token) if bool::from(token.as_bytes().ct_eq(key)) => Ok(()),
        Some(_) => Err(WebhookError::Wrong),
        None => Err(WebhookError::Unsigned),
    }
}

fn standard<'a>(
    header: &impl Fn(&str) -> Option<&'a str>,
    signatures: &str,
    body: &[u8],
    secret: &Secret,
    now: Timestamp,
) -> Result<(), WebhookError> {
    let (Some(id), Some(time)) = (header("webhook-id"), header("webhook-timestamp")) else {
        return Err(WebhookError::Unsigned);
    };
    let key = secret.expose().strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let key = key.unwrap_or_else(|| secret.expose().as_bytes().to_vec());
    let said = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
    let fits = said
        .filter_map(|one| STANDARD.decode(one).ok())
        .any(|one| fits(&one, &key, &[id.as_bytes(), b".", time.as_bytes(), b".", body]).is_ok());
    if !fits {
        return Err(WebhookError::Wrong);
    }
    // Judged after the signature, so that a stranger learns nothing about our clock.
    let time = time.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    match time {
        Some(time) if now.duration_since(time).abs() <= OLD => Ok(()),
        Some(_) | None => Err(WebhookError::Old),
    }
}

fn hex_fits(hex: &str, key: &[u8], parts: &[&[u8]]) -> Result<(), WebhookError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect();
    fits(&bytes.ok_or(WebhookError::Wrong)?, key, parts)
}

fn fits(signature: &[u8], key: &[u8], parts: &[&[u8]]) -> Result<(), WebhookError> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| WebhookError::Wrong)?;
    parts.iter().for_each(|part| hmac.update(part));
    // In constant time, and only at full length.
    hmac.verify_slice(signature).map_err(|_| WebhookError::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2024-01-02T03:04:05Z";

    fn judged(headers: &[(&str, &str)], body: &str, secret: &str) -> Result<(), WebhookError> {
        let find = |name: &str| headers.iter().find(|(have, _)| *have == name).map(|(_, value)| *value);
        verify(find, body.as_bytes(), &Secret::new(secret), NOW.parse().unwrap())
    }

    /// The example of GitHub's documentation.
    const SIGNED: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn forges_that_sign_the_body() {
        let prefixed = format!("sha256={SIGNED}");
        let (secret, body) = ("It's a Secret to Everybody", "Hello, World!");
        for (name, value) in [
            ("x-hub-signature-256", prefixed.as_str()),
            ("x-gitea-signature", SIGNED),
            ("x-forgejo-signature", SIGNED),
        ] {
            assert_eq!(judged(&[(name, value)], body, secret), Ok(()), "{name}");
            assert_eq!(judged(&[(name, value)], "Hello, World?", secret), Err(WebhookError::Wrong));
            assert_eq!(judged(&[(name, value)], body, "other"), Err(WebhookError::Wrong));
            for wrong in ["", "sha256=", "zz", &SIGNED[..62], &format!("{SIGNED}00"), &prefixed[..20]] {
                assert_eq!(
                    judged(&[(name, wrong)], body, secret),
                    Err(WebhookError::Wrong),
                    "{name} {wrong}"
                );
            }
        }
        // The plain form of one forge does not stand in for the signature of another.
        let both = [("x-hub-signature-256", "sha256=00"), ("x-gitlab-token", secret)];
        assert_eq!(judged(&both, body, secret), Err(WebhookError::Wrong));
    }

    #[test]
    fn gitlab_sends_its_token() {
        assert_eq!(judged(&[("x-gitlab-token", "s3cret")], "{}", "s3cret"), Ok(()));
        assert_eq!(judged(&[("x-gitlab-token", "s3cre")], "{}", "s3cret"), Err(WebhookError::Wrong));
        assert_eq!(judged(&[("x-gitlab-token", "")], "{}", ""), Err(WebhookError::Wrong));
        assert_eq!(judged(&[], "{}", "s3cret"), Err(WebhookError::Unsigned));
    }

    #[test]
    fn gitlab_signs_with_a_time() {
        let key = [7_u8; 32];
        let secret = format!("whsec_{}", STANDARD.encode(key));
        let sign = |seconds: i64| {
            let mut hmac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            hmac.update(format!("id-1.{seconds}.{{}}").as_bytes());
            format!("v2,x v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
        };
        let now = NOW.parse::<Timestamp>().unwrap().as_second();
        for (seconds, outcome) in [
            (now, Ok(())),
            (now - 299, Ok(())),
            (now - 301, Err(WebhookError::Old)),
            (now + 301, Err(WebhookError::Old)),
        ] {
            let (signature, time) = (sign(seconds), seconds.to_string());
            let headers =
                [("webhook-id", "id-1"), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
            assert_eq!(judged(&headers, "{}", &secret), outcome, "{seconds}");
            assert_eq!(judged(&headers, "{ }", &secret), Err(WebhookError::Wrong));
        }
        let alone = sign(now);
        assert_eq!(judged(&[("webhook-signature", &alone)], "{}", &secret), Err(WebhookError::Unsigned));
    }
}
