//! What the engine's container-create call understands: the shape of its body as data ([`body`]), what is wrong with one
//! ([`judge`]), and the parts that containers of one host share: ports ([`port`]) and mounts ([`mount`]).
//!
//! The facts are those of the public Engine API (Docker and, through the same call, Podman). Not here: where a value
//! stands in a file, rules about modules (`valid`), clashes between modules (`plan`), and making the body (`agent`).

mod body;
mod danger;
mod inert;
mod judge;
pub mod mount;
pub mod port;
mod text;
mod together;

pub use judge::{At, Change, Problem};
pub(crate) use text::words;

use serde_json::{Map, Value};

use crate::{finding::Severity, pointer::escape};

/// Most problems of one body; nobody reads more.
pub const PROBLEMS: usize = 40;

/// Everything that is wrong with the body of a container-create call, or worth a look.
#[must_use]
pub fn problems(body: &Map<String, Value>) -> Vec<Problem> {
    let mut found = judge::judge(body);
    together::judge(body, &mut found);
    danger::judge(body, &mut found);
    inert::judge(body, &mut found);
    if found.len() > PROBLEMS {
        // What the engine refuses comes first.
        found.sort_by_key(|problem| problem.severity != Severity::Error);
        found.truncate(PROBLEMS);
    }
    found
}

/// A member, whatever the case of its name: the engine reads names without regard to case, the exact one first.
#[must_use]
pub fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<(&'a str, &'a Value)> {
    let exact = map.get_key_value(name);
    let found = exact.or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
    found.map(|(key, value)| (key.as_str(), value))
}

/// A member that is an object, with its name as written.
fn inner<'a>(map: &'a Map<String, Value>, name: &str) -> Option<(&'a str, &'a Map<String, Value>)> {
    let (key, value) = member(map, name)?;
    Some((key, value.as_object()?))
}

/// A member of `HostConfig`, with the pointer of the member inside the body.
fn host<'a>(body: &'a Map<String, Value>, name: &str) -> Option<(String, &'a Value)> {
    let (outer, host) = inner(body, "HostConfig")?;
    let (key, value) = member(host, name)?;
    Some((format!("/{}/{}", escape(outer), escape(key)), value))
}
