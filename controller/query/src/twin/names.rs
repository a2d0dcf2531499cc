//! The names of a row that the service gives: their one spelling whatever case a query uses, their aliases, and the
//! near name for one that does not exist (reference query-language §3.2, §5; service-api §6). Keys of users are case
//! sensitive and are left alone.

use super::ast::Step;
use crate::near;

/// Members of device and module twins.
pub(crate) const TWIN: [&str; 21] = [
    "deviceId",
    "moduleId",
    "etag",
    "version",
    "deviceEtag",
    "status",
    "statusReason",
    "statusUpdateTime",
    "connectionState",
    "connectionStateUpdatedTime",
    "lastActivityTime",
    "cloudToDeviceMessageCount",
    "authenticationType",
    "x509Thumbprint",
    "capabilities",
    "modelId",
    "deviceScope",
    "parentScopes",
    "configurations",
    "properties",
    "tags",
];

/// Members of a row of `devices.jobs`.
pub(crate) const JOB: [&str; 10] = [
    "deviceId",
    "jobId",
    "jobType",
    "status",
    "startTimeUtc",
    "endTimeUtc",
    "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc",
    "outcome",
    "error",
];

/// Second names for members, as clients write them.
const ALIASES: [(&str, &str); 3] =
    [("id", "deviceId"), ("statusUpdatedTime", "statusUpdateTime"), ("createdTimeUtc", "createdDateTimeUtc")];

/// Members of system members.
const BELOW: [(&str, &[&str]); 5] = [
    ("properties", &["desired", "reported"]),
    ("capabilities", &["iotEdge"]),
    ("x509Thumbprint", &["primaryThumbprint", "secondaryThumbprint"]),
    ("outcome", &["deviceMethodResponse"]),
    ("error", &["code", "description"]),
];

/// Words that cannot start a path and have to be written in `[[ ]]` there.
const KEYWORDS: [&str; 17] = [
    "SELECT",
    "TOP",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "NIN",
    "true",
    "false",
    "null",
    "undefined",
    "devices",
];

// ---------------------------------------------------------------------------------------------------------------

/// Whether `name` is a word of the language in this position; `devices` is not, it may start a path.
pub(crate) fn is_keyword(name: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name)) && !name.eq_ignore_ascii_case("devices")
}

/// Whether a printed first step needs `[[ ]]`: a keyword, or `devices`, which would be read as the prefix.
pub(crate) fn needs_brackets_first(name: &str) -> bool {
    is_keyword(name) || name.eq_ignore_ascii_case("devices")
}

pub(crate) fn starts_name(character: char) -> bool {
    character.is_alphabetic() || character == '_' || character == '$'
}

pub(crate) fn continues_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || character == '$' || character == '-'
}

/// Gives system names their one spelling.
pub(crate) fn resolve(written: &[Step]) -> Vec<Step> {
    let mut resolved = written.to_vec();
    let Some(Step::Name(root)) = resolved.first_mut() else { return resolved };
    if let Some(known) = system_name(root) {
        known.clone_into(root);
    }
    let below = BELOW.iter().find(|(above, _)| above == root).map(|(_, names)| *names);
    if let (Some(names), Some(Step::Name(second))) = (below, resolved.get_mut(1))
        && let Some(known) = spelled(second, names.iter().copied())
    {
        known.clone_into(second);
    }
    resolved
}

/// The root of a row that was probably meant by an unknown one.
pub(crate) fn near_root(name: &str, known: &[&'static str]) -> Option<&'static str> {
    near(name, known.iter().copied())
}

fn system_name(name: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map(|(_, known)| *known);
    alias.or_else(|| spelled(name, TWIN.iter().chain(&JOB).copied()))
}

fn spelled<'n>(name: &str, mut known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known.find(|known| known.eq_ignore_ascii_case(name))
}
