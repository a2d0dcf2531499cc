//! Members that the engine or the agent takes no notice of.

use serde_json::{Map, Value};

use super::{
    escape, host,
    judge::{At, Problem},
    member,
};
use crate::finding::Severity;

/// Members of `HostConfig` without effect on the hosts that run modules.
const HOST: [(&str, &str); 10] = [
    ("ContainerIDFile", "the engine's API does not write it"),
    ("KernelMemory", "the engine no longer acts on it"),
    ("KernelMemoryTCP", "the engine no longer acts on it"),
    ("Capabilities", "the engine no longer acts on it; use CapAdd and CapDrop"),
    ("CpuCount", "only Windows has it"),
    ("CpuPercent", "only Windows has it"),
    ("IOMaximumIOps", "only Windows has it"),
    ("IOMaximumBandwidth", "only Windows has it"),
    ("Isolation", "only Windows has it"),
    ("ConsoleSize", "only Windows has it"),
];

/// Adds what is idle.
pub(super) fn judge(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let mut idle = |pointer: String, message: String, hint: &str| {
        let problem = Problem::new(Severity::Warning, "create-options-idle", pointer, At::Key, message);
        found.push(problem.hint(hint));
    };
    if let Some((key, Value::String(_))) = member(body, "Image") {
        let message = "the module's image takes the place of this one".to_owned();
        idle(format!("/{}", escape(key)), message, "remove it, and set `image:`");
    }
    for name in ["ArgsEscaped", "OnBuild"] {
        if let Some((key, value)) = member(body, name)
            && says(value)
        {
            let message = format!("{name} has no effect on a container");
            idle(format!("/{}", escape(key)), message, "remove it");
        }
    }
    for (name, why) in HOST {
        if let Some((pointer, value)) = host(body, name)
            && says(value)
        {
            idle(pointer, format!("{name} has no effect: {why}"), "remove it");
        }
    }
    if let Some((key, Value::Object(health))) = member(body, "Healthcheck")
        && let Some((test, Value::Array(words))) = member(health, "Test")
        && let Some(first) = words.first().and_then(Value::as_str)
        && !matches!(first, "NONE" | "CMD" | "CMD-SHELL")
    {
        let pointer = format!("/{}/{}/0", escape(key), escape(test));
        let message = format!(
            "a health check starts with CMD, CMD-SHELL or NONE; with {first:?} nothing is ever checked"
        );
        let problem = Problem::new(Severity::Warning, "create-options-idle", pointer, At::Value, message);
        found.push(problem.hint("write [CMD-SHELL, command] or [CMD, program, argument]"));
    }
}

/// Does the value say anything? An inspected container names every member, most of them empty.
fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "default",
        Value::Array(items) => items.iter().any(says),
        Value::Object(map) => !map.is_empty(),
    }
}
