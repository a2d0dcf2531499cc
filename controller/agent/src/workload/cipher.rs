//! Encryption for modules: what one of them had encrypted, only the same generation of it gets opened again (reference
//! edge-runtime §4.3).
//!
//! One random key per device, in a file; from it one key per module and generation is derived. The initialization vector of
//! the caller is bound to the text like module and generation are, and is not the nonce: modules written for IoT Edge use
//! one vector for everything, and AES-GCM with a nonce that comes twice gives its key away. Not here: HTTP and base64.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload, consts::U12},
};
use hemline_protocol::sas::{SasError, SymmetricKey};

use super::keep::{self, KeepError, Mode};

/// Bytes of the device's key, and of those derived from it.
const KEY: usize = 32;

/// Random per text. After 2³² texts of one generation of one module the chance of a repetition is one in 2³³.
const NONCE: usize = 12;

/// First byte of every cipher text, so that a later form can be told from this one.
const FORM: u8 = 1;

/// What the derived keys are for; another use of the device's key would say something else.
const PURPOSE: &[u8] = b"hemline workload encryption";

/// Whose text it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) module: &'a str,
    pub(super) generation: &'a str,
}

/// Why nothing was encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub(super) enum CipherError {
    #[error("initializationVector is empty; send at least one byte, and the same to decrypt")]
    NoVector,
    /// Which of the reasons it was is not known, and nobody should learn it.
    #[error(
        "the ciphertext cannot be opened: it is damaged, or belongs to another module, generation or initialization vector"
    )]
    Closed,
    #[error("the text is too long")]
    TooLong,
    #[error("{} holds no key; restore it, for without it nothing that modules had encrypted can be opened", path.display())]
    Damaged { path: PathBuf, source: SasError },
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// Encrypts and decrypts for all modules of a device.
pub(super) struct Cipher {
    path: PathBuf,
    key: Mutex<Option<SymmetricKey>>,
}

impl Cipher {
    /// With the key in that file, which is made when it is first needed.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, key: Mutex::new(None) }
    }

    pub(super) fn encrypt(
        &self,
        owner: Owner<'_>,
        vector: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let bound = bound(owner, vector)?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        let sealed = self
            .of(owner)?
            .encrypt(&Nonce::<U12>::from(nonce), Payload { msg: plain, aad: &bound })
            .map_err(|_| CipherError::TooLong)?;
        let mut text = Vec::with_capacity(1 + NONCE + sealed.len());
        text.push(FORM);
        text.extend_from_slice(&nonce);
        text.extend_from_slice(&sealed);
        Ok(text)
    }

    pub(super) fn decrypt(
        &self,
        owner: Owner<'_>,
        vector: &[u8],
        text: &[u8],
    ) -> Result<Vec<u8>, CipherError> {
        let bound = bound(owner, vector)?;
        let Some((&FORM, rest)) = text.split_first() else { return Err(CipherError::Closed) };
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(CipherError::Closed)?;
        let nonce = Nonce::<U12>::try_from(nonce).map_err(|_| CipherError::Closed)?;
        let payload = Payload { msg: sealed, aad: &bound };
        self.of(owner)?.decrypt(&nonce, payload).map_err(|_| CipherError::Closed)
    }

    fn of(&self, owner: Owner<'_>) -> Result<Aes256Gcm, CipherError> {
        let Owner { module, generation } = owner;
        let mut named = PURPOSE.to_vec();
        for part in [module, generation] {
            push(&mut named, part.as_bytes());
        }
        let derived = self.key()?.sign(&named);
        // HMAC-SHA256 gives 32 bytes.
        Aes256Gcm::new_from_slice(&derived).map_err(|_| CipherError::TooLong)
    }

    /// The device's key. A new one is on the disk before anything is encrypted with it; one that cannot be read is never
    /// replaced.
    fn key(&self) -> Result<SymmetricKey, CipherError> {
        // A key is whole whenever it is there at all.
        let mut held = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = held.as_ref() {
            return Ok(key.clone());
        }
        let key = match keep::read(&self.path)? {
            Some(text) => SymmetricKey::from_base64(&text)
                .map_err(|source| CipherError::Damaged { path: self.path.clone(), source })?,
            None => {
                let mut bytes = vec![0; KEY];
                getrandom::fill(&mut bytes)?;
                let length = |source| CipherError::Damaged { path: self.path.clone(), source };
                let key = SymmetricKey::from_bytes(bytes).map_err(length)?;
                keep::write(&self.path, &format!("{}\n", key.expose_base64()), Mode::Private)?;
                key
            }
        };
        Ok(held.insert(key).clone())
    }
}

/// What has to be the same to open a text. Every part says how long it is, so that no two owners look alike.
fn bound(owner: Owner<'_>, vector: &[u8]) -> Result<Vec<u8>, CipherError> {
    if vector.is_empty() {
        return Err(CipherError::NoVector);
    }
    let mut bound = vec![FORM];
    for part in [owner.module.as_bytes(), owner.generation.as_bytes(), vector] {
        push(&mut bound, part);
    }
    Ok(bound)
}

fn push(to: &mut Vec<u8>, part: &[u8]) {
    to.extend_from_slice(&(part.len() as u64).to_be_bytes());
    to.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use proptest::prelude::*;

    use super::*;

    const SENSOR: Owner<'static> = Owner { module: "sensor", generation: "g1" };

    fn cipher(folder: &tempfile::TempDir) -> Cipher {
        Cipher::new(folder.path().join("workload.key"))
    }

    #[test]
    fn the_key_outlives_the_process_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let text = cipher(&folder).encrypt(SENSOR, b"v", b"secret").unwrap();
        assert_eq!(cipher(&folder).decrypt(SENSOR, b"v", &text).unwrap(), b"secret");
        let file = folder.path().join("workload.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_write_that_was_interrupted_leaves_no_half_key() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("workload.key.new"), "half").unwrap();
        let text = cipher(&folder).encrypt(SENSOR, b"v", b"secret").unwrap();
        assert_eq!(cipher(&folder).decrypt(SENSOR, b"v", &text).unwrap(), b"secret");
    }

    #[test]
    fn a_damaged_key_is_told_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("workload.key");
        for damaged in ["", "?", "c2hvcnQ="] {
            fs::write(&file, damaged).unwrap();
            let error = cipher(&folder).encrypt(SENSOR, b"v", b"secret").unwrap_err();
            assert!(matches!(error, CipherError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("workload.key"), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), damaged);
        }
    }

    #[test]
    fn no_vector_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cipher = cipher(&folder);
        assert!(matches!(cipher.encrypt(SENSOR, b"", b"x"), Err(CipherError::NoVector)));
        assert!(matches!(cipher.decrypt(SENSOR, b"", b"x"), Err(CipherError::NoVector)));
    }

    #[test]
    fn the_same_text_twice_looks_different() {
        let folder = tempfile::tempdir().unwrap();
        let cipher = cipher(&folder);
        let [one, two] = [(); 2].map(|()| cipher.encrypt(SENSOR, b"v", b"secret").unwrap());
        assert_ne!(one, two);
    }

    /// Moving a byte from one name to the next must not give the same owner.
    #[test]
    fn owners_do_not_run_into_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let cipher = cipher(&folder);
        let text = cipher.encrypt(Owner { module: "ab", generation: "c" }, b"d", b"secret").unwrap();
        for (module, generation, vector) in
            [("a", "bc", "d"), ("ab", "cd", "d"), ("ab", "c", "cd"), ("abc", "", "d")]
        {
            let opened = cipher.decrypt(Owner { module, generation }, vector.as_bytes(), &text);
            assert!(matches!(opened, Err(CipherError::Closed)), "{module} {generation} {vector}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_encrypted_opens_and_nothing_else_does(
            plain in proptest::collection::vec(any::<u8>(), 0..300),
            vector in proptest::collection::vec(any::<u8>(), 1..40),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let cipher = cipher(&folder);
            let text = cipher.encrypt(SENSOR, &vector, &plain).unwrap();
            prop_assert_eq!(cipher.decrypt(SENSOR, &vector, &text).unwrap(), plain);
            let mut changed = text.clone();
            let at = at.index(changed.len());
            changed[at] ^= 1u8 << bit;
            prop_assert!(matches!(cipher.decrypt(SENSOR, &vector, &changed), Err(CipherError::Closed)));
            prop_assert!(matches!(cipher.decrypt(SENSOR, &vector, &text[..at]), Err(CipherError::Closed)));
            let mut longer = vector.clone();
            longer.push(0);
            prop_assert!(matches!(cipher.decrypt(SENSOR, &longer, &text), Err(CipherError::Closed)));
        }

        /// Whatever a module sends is closed, never worse.
        #[test]
        fn noise_is_closed(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let folder = tempfile::tempdir().unwrap();
            prop_assert!(matches!(cipher(&folder).decrypt(SENSOR, b"v", &text), Err(CipherError::Closed)));
        }
    }
}
