//! Requests to the workload API: a line `VERB PATH?QUERY`, then the body.

use hemline_protocol::workload::{
    DecryptRequest, EncryptRequest, ModuleCall, OLDEST_VERSION, ServerCertificateRequest, SignRequest,
    WorkloadCall,
};

/// Reads bytes as a request.
///
/// # Panics
/// When a law is broken.
pub fn workload(bytes: &[u8]) {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    bodies(bytes.get(line.len() + 1..).unwrap_or_default());
    let Ok(line) = std::str::from_utf8(line) else { return };
    let (verb, target) = line.split_once(' ').unwrap_or(("", line));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    match WorkloadCall::parse(verb, path, query) {
        Ok(call) => {
            assert!(query.is_some_and(|query| query.contains("api-version=")), "{line:?} names no version");
            let (reads, module) = match &call {
                WorkloadCall::Modules | WorkloadCall::TrustBundle | WorkloadCall::ManifestTrustBundle => {
                    (true, None)
                }
                WorkloadCall::Module { module, call } => (false, Some((module, call))),
            };
            assert_eq!(verb, if reads { "GET" } else { "POST" }, "{line:?}");
            if let Some((module, call)) = module {
                same_again(module, call);
            }
            // A slash at the end changes nothing, and a verb of another kind is not taken.
            if !path.ends_with('/') {
                assert_eq!(WorkloadCall::parse(verb, &format!("{path}/"), query), Ok(call));
            }
            assert!(WorkloadCall::parse("DELETE", path, query).is_err(), "{line:?}");
            assert!(WorkloadCall::parse(verb, path, None).is_err(), "{line:?}");
        }
        Err(error) => {
            assert!((400..=405).contains(&error.status()), "{error}");
            assert!(error.to_string().chars().count() < 800, "a long answer to {line:?}");
        }
    }
}

/// Ids come through as they are: spelled with escapes only, they are the same call.
fn same_again(module: &str, call: &ModuleCall) {
    let (words, generation) = match call {
        ModuleCall::Sign(generation) => ("sign", Some(generation)),
        ModuleCall::Encrypt(generation) => ("encrypt", Some(generation)),
        ModuleCall::Decrypt(generation) => ("decrypt", Some(generation)),
        ModuleCall::ServerCertificate(generation) => ("certificate/server", Some(generation)),
        ModuleCall::IdentityCertificate => ("certificate/identity", None),
    };
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let path = match generation {
        Some(generation) => format!("/modules/{}/genid/{}/{words}", escaped(module), escaped(generation)),
        None => format!("/modules/{}/{words}", escaped(module)),
    };
    let version = format!("api-version={OLDEST_VERSION}");
    let expected = WorkloadCall::Module { module: module.to_owned(), call: call.clone() };
    assert_eq!(WorkloadCall::parse("POST", &path, Some(&version)), Ok(expected));
}

/// Bodies are read or refused, and what is read prints no secret.
fn bodies(body: &[u8]) {
    drop(serde_json::from_slice::<SignRequest>(body));
    drop(serde_json::from_slice::<DecryptRequest>(body));
    drop(serde_json::from_slice::<ServerCertificateRequest>(body));
    if let Ok(wish) = serde_json::from_slice::<EncryptRequest>(body) {
        assert!(format!("{wish:?}").contains("***"));
    }
}
