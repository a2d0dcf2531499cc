//! GPG signatures against public keys that the operator gave.
//!
//! No web of trust: a key counts because it is in the file. What counts inside a key is judged here: subkeys by their
//! binding, signing by the flags, expiry by the newest self-signature, revocations by the key's own signature.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use pgp::{
    composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType},
    types::{KeyDetails, Tag},
};

use super::Refusal;

pub(super) fn judge(
    files: &[String],
    signature: &str,
    signed: &[u8],
    at: Timestamp,
) -> Result<String, Refusal> {
    let (signature, _) = DetachedSignature::from_armor_single(signature.as_bytes())
        .map_err(|error| Refusal::Unreadable(error.to_string()))?;
    let weak = !matches!(
        signature.signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    if weak {
        return Err(Refusal::Unreadable("its digest is not strong enough".to_owned()));
    }
    let mut found: Option<Refusal> = None;
    for file in files {
        let (keys, _) = SignedPublicKey::from_armor_many(file.as_bytes())
            .map_err(|error| Refusal::Unreadable(format!("a file of public keys: {error}")))?;
        for key in keys.flatten() {
            match by(&key, &signature, signed, at) {
                Some(Ok(signer)) => return Ok(signer),
                Some(Err(refusal)) => found = Some(refusal),
                None => {}
            }
        }
    }
    Err(found.unwrap_or_else(|| Refusal::Stranger(issuer(&signature))))
}

/// `None` when the signature is not by this key or one of its subkeys.
fn by(
    key: &SignedPublicKey,
    signature: &DetachedSignature,
    signed: &[u8],
    at: Timestamp,
) -> Option<Result<String, Refusal>> {
    let name = key.details.users.first().map(|user| String::from_utf8_lossy(user.id.id()).into_owned());
    let name = format!("{} ({})", name.unwrap_or_default(), key.fingerprint());
    let primary = says_it_is_by(signature, &key.primary_key);
    let sub = key.public_subkeys.iter().find(|sub| says_it_is_by(signature, &sub.key));
    let fits = match (primary, sub) {
        (true, _) => signature.verify(&key.primary_key, signed).is_ok(),
        (false, Some(sub)) => signature.verify(&sub.key, signed).is_ok(),
        (false, None) => return None,
    };
    if !fits {
        return Some(Err(Refusal::Forged(name)));
    }
    if is_revoked(key, sub.filter(|_| !primary)) {
        return Some(Err(Refusal::Revoked(name)));
    }
    let newest = self_signature(key);
    let may_sign = match sub.filter(|_| !primary) {
        Some(sub) => binding(key, sub)
            .is_some_and(|binding| binding.key_flags().sign() && !is_over(&sub.key, Some(binding), at)),
        None => newest.is_none_or(|newest| newest.key_flags().sign()),
    };
    if !may_sign || is_over(&key.primary_key, newest, at) || early(&key.primary_key, at) {
        return Some(Err(Refusal::Expired(name)));
    }
    Some(Ok(name))
}

fn says_it_is_by(signature: &DetachedSignature, key: &impl KeyDetails) -> bool {
    let prints = signature.signature.issuer_fingerprint();
    if prints.is_empty() {
        return signature.signature.issuer_key_id().contains(&&key.legacy_key_id());
    }
    prints.contains(&&key.fingerprint())
}

fn issuer(signature: &DetachedSignature) -> String {
    let prints = signature.signature.issuer_fingerprint();
    let print = prints.first().map(ToString::to_string);
    let print = print.or_else(|| signature.signature.issuer_key_id().first().map(ToString::to_string));
    format!("the GPG key {}", print.unwrap_or_else(|| "without a name".to_owned()))
}

fn is_revoked(key: &SignedPublicKey, sub: Option<&SignedPublicSubKey>) -> bool {
    let whole = &key.details.revocation_signatures;
    let of_sub = sub.map(|sub| {
        sub.signatures.iter().any(|signature| {
            signature.typ() == Some(SignatureType::SubkeyRevocation)
                && signature.verify_subkey_binding(&key.primary_key, &sub.key).is_ok()
        })
    });
    whole.iter().any(|signature| signature.verify_key(&key.primary_key).is_ok()) || of_sub == Some(true)
}

/// The newest statement of the key about itself.
fn self_signature(key: &SignedPublicKey) -> Option<&Signature> {
    let direct = key.details.direct_signatures.iter();
    let direct = direct.filter(|signature| signature.verify_key(&key.primary_key).is_ok());
    let of_users = key.details.users.iter().flat_map(|user| {
        let own = move |signature: &&Signature| {
            signature.is_certification()
                && signature.verify_certification(&key.primary_key, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(own)
    });
    direct.chain(of_users).max_by_key(|signature| signature.created().map(SystemTime::from))
}

/// The newest binding of a subkey that both keys signed.
fn binding<'a>(key: &SignedPublicKey, sub: &'a SignedPublicSubKey) -> Option<&'a Signature> {
    let bound = sub.signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::SubkeyBinding)
            && signature.verify_subkey_binding(&key.primary_key, &sub.key).is_ok()
            && signature
                .embedded_signature()
                .is_some_and(|back| back.verify_primary_key_binding(&sub.key, &key.primary_key).is_ok())
    });
    bound.max_by_key(|signature| signature.created().map(SystemTime::from))
}

/// Had the key expired?
fn is_over(key: &impl KeyDetails, says: Option<&Signature>, at: Timestamp) -> bool {
    let life = says.and_then(Signature::key_expiration_time).map(Duration::from);
    life.filter(|life| !life.is_zero())
        .is_some_and(|life| SystemTime::from(key.created_at()) + life <= SystemTime::from(at))
}

/// Was the key not made yet?
fn early(key: &impl KeyDetails, at: Timestamp) -> bool {
    SystemTime::from(at) < SystemTime::from(key.created_at())
}
