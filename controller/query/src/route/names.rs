//! Names in routes: the characters they are made of, and the system properties there are (reference query-language
//! §6.1, §6.2, §8.2).

use crate::near;

/// System properties in their one spelling: those of the edge hub, then those that only cloud-side routing has.
const SYSTEM: [&str; 22] = [
    "messageId",
    "enqueuedTime",
    "to",
    "cid",
    "correlationId",
    "userId",
    "ack",
    "connectionDeviceId",
    "connectionModuleId",
    "connectionDeviceGenerationId",
    "connectionAuthMethod",
    "inputName",
    "outputName",
    "contentType",
    "contentEncoding",
    "messageSchema",
    "creationTime",
    "operation",
    "dt-subject",
    "iothub-interface-id",
    "creation-time-utc",
    "dt-dataschema",
];

// ---------------------------------------------------------------------------------------------------------------

/// Whether a character may stand in a property name. Most may, operators included; see the trap in `lint.rs`.
pub(crate) fn is_name(character: char) -> bool {
    !character.is_whitespace() && !character.is_control() && !"()<>@,;:\\\"/[]?={}".contains(character)
}

/// Whether a character may stand in a name that starts with `$`.
pub(crate) fn is_dollar_name(character: char) -> bool {
    is_name(character) || character == '[' || character == ']'
}

/// The one spelling of a system property, without `$`; `None` for a name that is none.
#[must_use]
pub fn system(name: &str) -> Option<&'static str> {
    SYSTEM.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

/// The system property that was probably meant by an unknown one, without `$`.
#[must_use]
pub fn near_system(name: &str) -> Option<&'static str> {
    near(name, SYSTEM.iter().copied())
}

/// What follows `prefix`, whatever its case: `$Body.a` is `a` after `$body.`.
pub(crate) fn after<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let head = name.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { name.get(prefix.len()..) } else { None }
}
