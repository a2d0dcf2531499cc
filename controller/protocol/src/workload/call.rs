//! Which call of the workload API a request is: verb, path and api-version (reference edge-runtime §4, §4.3).
//!
//! Ids are percent-decoded once. Not here: who may ask, and bodies.

use percent_encoding::percent_decode_str;

/// The first version; every later date is taken for one that knows at least as much.
pub const OLDEST_VERSION: &str = "2018-06-28";

/// Longest part of a path or version that an error repeats.
const REPEATED: usize = 60;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkloadCall {
    /// `GET /modules`
    Modules,
    /// `GET /trust-bundle`
    TrustBundle,
    /// `GET /manifest-trust-bundle`
    ManifestTrustBundle,
    /// In the name of a module, which only that module may do.
    Module {
        /// As the path names it.
        module: String,
        /// What it wants.
        call: ModuleCall,
    },
}

/// What a module asks for itself. Generation ids are those of its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleCall {
    /// `POST /modules/{m}/genid/{g}/sign`
    Sign(String),
    /// `POST /modules/{m}/genid/{g}/encrypt`
    Encrypt(String),
    /// `POST /modules/{m}/genid/{g}/decrypt`
    Decrypt(String),
    /// `POST /modules/{m}/genid/{g}/certificate/server`
    ServerCertificate(String),
    /// `POST /modules/{m}/certificate/identity`
    IdentityCertificate,
}

/// Why a request is no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No such path.
    #[error("the workload API has no {0}; see the calls below /modules/{{module}}/genid/{{generation}}")]
    Path(String),
    /// The path is there, for another verb.
    #[error("{path} takes {allowed} only")]
    Verb {
        /// Which.
        path: String,
        /// What it takes.
        allowed: &'static str,
    },
    /// No version.
    #[error("api-version is missing; append ?api-version={OLDEST_VERSION} or a later one")]
    NoVersion,
    /// No date, or one before the first version.
    #[error("api-version {0:?} is none of this API; name {OLDEST_VERSION} or a later one")]
    Version(String),
    /// A version that did not have this call yet.
    #[error("{path} came with api-version {since}; name that or a later one")]
    TooEarly {
        /// Which.
        path: &'static str,
        /// Since when it is there.
        since: &'static str,
    },
    /// An id that is no text.
    #[error("{0:?} in the path is not UTF-8 after percent-decoding")]
    NotUtf8(String),
}

impl CallError {
    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Path(_) | Self::TooEarly { .. } => 404,
            Self::Verb { .. } => 405,
            Self::NoVersion | Self::Version(_) | Self::NotUtf8(_) => 400,
        }
    }
}

impl WorkloadCall {
    /// Reads verb, path (without query) and query. A slash at the end is tolerated.
    ///
    /// # Errors
    /// When it is no call, or names no version that has it.
    pub fn parse(verb: &str, path: &str, query: Option<&str>) -> Result<Self, CallError> {
        let (call, allowed) = Self::named(path)?.ok_or_else(|| CallError::Path(short(path)))?;
        let version = version(query)?;
        if verb != allowed {
            return Err(CallError::Verb { path: short(path), allowed });
        }
        let since = call.since();
        if version.as_str() < since {
            return Err(CallError::TooEarly { path: "/manifest-trust-bundle", since });
        }
        Ok(call)
    }

    /// What a path stands for, and the verb it takes.
    fn named(path: &str) -> Result<Option<(Self, &'static str)>, CallError> {
        let Some(path) = path.strip_prefix('/') else { return Ok(None) };
        let path = path.strip_suffix('/').unwrap_or(path);
        // One more than the longest path has, so that a longer one is seen to be longer.
        let parts: Vec<&str> = path.splitn(7, '/').collect();
        let (module, call) = match parts.as_slice() {
            ["modules"] => return Ok(Some((Self::Modules, "GET"))),
            ["trust-bundle"] => return Ok(Some((Self::TrustBundle, "GET"))),
            ["manifest-trust-bundle"] => return Ok(Some((Self::ManifestTrustBundle, "GET"))),
            ["modules", module, "genid", generation, "sign"] => {
                (module, ModuleCall::Sign(decoded(generation)?))
            }
            ["modules", module, "genid", generation, "encrypt"] => {
                (module, ModuleCall::Encrypt(decoded(generation)?))
            }
            ["modules", module, "genid", generation, "decrypt"] => {
                (module, ModuleCall::Decrypt(decoded(generation)?))
            }
            ["modules", module, "genid", generation, "certificate", "server"] => {
                (module, ModuleCall::ServerCertificate(decoded(generation)?))
            }
            ["modules", module, "certificate", "identity"] => (module, ModuleCall::IdentityCertificate),
            _ => return Ok(None),
        };
        Ok(Some((Self::Module { module: decoded(module)?, call }, "POST")))
    }

    /// The version that it came with.
    fn since(&self) -> &'static str {
        match self {
            Self::ManifestTrustBundle => "2020-07-07",
            Self::Modules | Self::TrustBundle | Self::Module { .. } => OLDEST_VERSION,
        }
    }
}

/// A date; dates compare as texts.
fn version(query: Option<&str>) -> Result<String, CallError> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| *name == "api-version").map(|(_, value)| value);
    let text = named.next().filter(|text| !text.is_empty()).ok_or(CallError::NoVersion)?;
    let text = decoded(text)?;
    let is_date = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if is_date && text.as_str() >= OLDEST_VERSION { Ok(text) } else { Err(CallError::Version(short(&text))) }
}

fn decoded(segment: &str) -> Result<String, CallError> {
    match percent_decode_str(segment).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(CallError::NotUtf8(short(segment))),
    }
}

fn short(text: &str) -> String {
    text.chars().take(REPEATED).collect()
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calls() {
        let mut told = Vec::new();
        for (verb, path, query) in [
            ("GET", "/modules", "api-version=2018-06-28"),
            ("GET", "/modules/", "x=1&api-version=2022-08-03"),
            ("GET", "/trust-bundle", "api-version=2018-06-28"),
            ("GET", "/manifest-trust-bundle", "api-version=2020-07-07"),
            ("GET", "/manifest-trust-bundle", "api-version=2019-11-05"),
            ("POST", "/modules/a%2Db/genid/g1/sign", "api-version=2018-06-28"),
            ("POST", "/modules/m/genid/g/encrypt", "api-version=2099-01-01"),
            ("POST", "/modules/m/genid/g/decrypt/", "api-version=2021%2D12-07"),
            ("POST", "/modules/m/genid/g/certificate/server", "api-version=2021-12-07"),
            ("POST", "/modules/%24edgeAgent/certificate/identity", "api-version=2021-12-07"),
            ("POST", "/modules/%ff/certificate/identity", "api-version=2021-12-07"),
            ("POST", "/modules/m/genid/g/certificate/identity", "api-version=2021-12-07"),
            ("POST", "/modules/m/genid/g/sign/more/and/more", "api-version=2021-12-07"),
            ("GET", "/modules/m/genid/g/sign", "api-version=2021-12-07"),
            ("PUT", "/trust-bundle", "api-version=2021-12-07"),
            ("GET", "/trust-bundle", ""),
            ("GET", "/trust-bundle", "api-version="),
            ("GET", "/trust-bundle", "api-version=2017-01-01"),
            ("GET", "/trust-bundle", "api-version=latest"),
            ("GET", "//trust-bundle", "api-version=2021-12-07"),
            ("GET", "*", "api-version=2021-12-07"),
            ("GET", "", ""),
        ] {
            let read = match WorkloadCall::parse(verb, path, Some(query)) {
                Ok(call) => format!("{call:?}"),
                Err(error) => format!("{} {error}", error.status()),
            };
            told.push(format!("{verb} {path}?{query}\n    {read}"));
        }
        insta::assert_snapshot!(told.join("\n"));
    }

    proptest! {
        /// Whatever an id is, it comes through as it is, and leads to no other call.
        #[test]
        fn any_id_comes_through(module in ".{0,40}", generation in ".{0,40}") {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let path = format!("/modules/{}/genid/{}/encrypt", encode(&module), encode(&generation));
            let call = WorkloadCall::parse("POST", &path, Some("api-version=2021-12-07"));
            prop_assert_eq!(call, Ok(WorkloadCall::Module { module, call: ModuleCall::Encrypt(generation) }));
        }

        #[test]
        fn anything_is_a_call_or_an_error(verb in ".{0,8}", path in ".{0,80}", query in ".{0,40}") {
            if let Err(error) = WorkloadCall::parse(&verb, &path, Some(&query)) {
                prop_assert!((400..=405).contains(&error.status()) && error.to_string().chars().count() < 800);
            }
        }
    }
}
