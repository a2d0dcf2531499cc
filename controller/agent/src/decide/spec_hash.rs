//! The hash that tells whether a module is made as desired. Pure.
//!
//! It is written on the module itself (container label `dev.hemline.spec`, or the process module's folder), so a lost
//! store recreates nothing, and it is taken over normalised JSON, so the order of keys never recreates anything.

use hemline_model::twin::canonical;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 over the canonical JSON text, 32 hexadecimal characters of it.
#[must_use]
pub fn spec_hash(spec: &Value) -> String {
    let digest = Sha256::digest(canonical(spec).as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
