//! Rules for the texts of a body, and texts that were meant to be numbers.

use std::net::IpAddr;

use hemline_query::near;
use serde_json::Value;

use super::{body::Text, mount, port};
use crate::finding::Severity;

/// What is wrong with a text.
pub(super) struct Wrong {
    pub(super) severity: Severity,
    /// Bytes of the text.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) message: String,
    /// What was probably meant.
    pub(super) near: Option<String>,
}

const SIGNALS: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX", "UNUSED",
];

const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// What is wrong with a text where these rules hold.
pub(super) fn judge(rules: Text, text: &str) -> Option<Wrong> {
    let whole = |message: String, near: Option<&str>| {
        Some(Wrong {
            severity: Severity::Error,
            start: 0,
            end: text.len(),
            message,
            near: near.map(str::to_owned),
        })
    };
    match rules {
        Text::Any => None,
        Text::OneOf(_) | Text::Mode(_) if text.is_empty() => None,
        Text::Mode(_) if text.strip_prefix("container:").is_some_and(|name| !name.is_empty()) => None,
        Text::OneOf(known) | Text::Mode(known) => {
            if known.contains(&text) {
                return None;
            }
            let message = format!("{text:?} is not allowed; use one of {}", known.join(", "));
            whole(message, near(text, known.iter().copied()))
        }
        Text::Bind => mount::bind(text).err().map(|(start, end, message)| Wrong {
            severity: Severity::Error,
            start,
            end,
            message,
            near: None,
        }),
        Text::HostPort => {
            if text.is_empty() || port::range(text).is_some() {
                return None;
            }
            let message = match text.split_once(':') {
                Some(_) => format!("{text:?} is no port; the address goes into HostIp"),
                None => format!(
                    "{text:?} is no port of the host; write a number up to 65535, or two with a hyphen"
                ),
            };
            whole(message, None)
        }
        Text::Address => {
            let good = text.is_empty() || text.parse::<IpAddr>().is_ok();
            (!good).then(|| whole(format!("{text:?} is no IP address"), None)).flatten()
        }
        Text::Signal => signal(text).and_then(|(message, near)| whole(message, near.as_deref())),
        Text::Capability => {
            let upper = text.to_ascii_uppercase();
            let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if CAPABILITIES.contains(&name) {
                return None;
            }
            let meant = near(name, CAPABILITIES.into_iter());
            whole(format!("the kernel has no capability {text:?}"), meant)
        }
        Text::Variable => (text.is_empty() || text.starts_with('='))
            .then(|| whole(format!("{text:?} names no variable; write NAME=value"), None))
            .flatten(),
        Text::Path => (!text.starts_with('/') && !text.contains('\\'))
            .then(|| whole(format!("the path in the container must be absolute, this is {text:?}"), None))
            .flatten(),
        Text::Permissions => (!text.chars().all(|c| matches!(c, 'r' | 'w' | 'm')))
            .then(|| whole(format!("{text:?} is not allowed; permissions are made of r, w and m"), None))
            .flatten(),
        Text::Limit => (!LIMITS.contains(&text))
            .then(|| whole(format!("there is no limit {text:?}"), near(text, LIMITS.into_iter())))
            .flatten(),
        Text::Host => (!text.contains([':', '=']))
            .then(|| whole(format!("{text:?} is no host; write name:address"), None))
            .flatten(),
    }
}

fn signal(text: &str) -> Option<(String, Option<String>)> {
    if let Ok(number) = text.parse::<i64>() {
        return (!(1..=64).contains(&number)).then(|| (format!("there is no signal {number}"), None));
    }
    if text.is_empty() {
        return None;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let base = name.split(['+', '-']).next().unwrap_or(name);
    if SIGNALS.contains(&name) || (base.starts_with("RTM") && SIGNALS.contains(&base)) {
        return None;
    }
    let meant = near(name, SIGNALS.into_iter()).map(|near| format!("SIG{near}"));
    Some((format!("there is no signal {text:?}"), meant))
}

/// A value in the words of a problem.
pub(crate) fn words(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("the truth value {flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() <= 40 => format!("the text {text:?}"),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// Bytes of `64m`, `1g`, `512k`, as the engine's command line reads them; a bare number is itself.
pub(super) fn bytes(text: &str) -> Option<i64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor: i64 = match unit.trim() {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1024,
        "m" | "mb" | "mi" | "mib" => 1024 * 1024,
        "g" | "gb" | "gi" | "gib" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// Nanoseconds of `30s`, `5m`, `500ms`; a bare number is itself.
pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: i64 = match unit.trim() {
        "" | "ns" => 1,
        "us" => 1000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}
