//! Members of a body that exclude each other, or that are pointless beside each other.

use serde_json::{Map, Value};

use super::{
    escape, host, inner,
    judge::{At, Problem},
    member, mount,
};
use crate::finding::Severity;

/// Adds what is wrong between members.
pub(super) fn judge(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    memory(body, found);
    processors(body, found);
    restart(body, found);
    mounts(body, found);
    targets(body, found);
    limits(body, found);
    ports(body, found);
}

fn refused(pointer: impl Into<String>, at: At, message: impl Into<String>) -> Problem {
    Problem::new(Severity::Error, "create-options-value", pointer, at, message)
}

fn idle(pointer: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem::new(Severity::Warning, "create-options-idle", pointer, At::Key, message)
}

/// A whole number above zero.
fn number(body: &Map<String, Value>, name: &str) -> Option<(String, i64)> {
    let (pointer, value) = host(body, name)?;
    value.as_i64().filter(|number| *number > 0).map(|number| (pointer, number))
}

fn memory(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let limit = number(body, "Memory");
    if let (Some((_, memory)), Some((pointer, swap))) = (&limit, number(body, "MemorySwap"))
        && swap < *memory
    {
        let message =
            format!("MemorySwap counts memory and swap together, so it cannot be below Memory ({memory})");
        found.push(refused(pointer, At::Value, message).hint("-1 means as much swap as there is"));
    }
    if let (Some((_, memory)), Some((pointer, reserved))) = (&limit, number(body, "MemoryReservation"))
        && reserved > *memory
    {
        let message = format!("MemoryReservation cannot be above Memory ({memory})");
        found.push(refused(pointer, At::Value, message));
    }
    if limit.is_none()
        && let Some((pointer, Value::Bool(true))) = host(body, "OomKillDisable")
    {
        let message =
            "without a limit of Memory, a container that is never killed can take the whole host down";
        let problem = Problem::new(Severity::Warning, "create-options-idle", pointer, At::Key, message);
        found.push(problem.hint("set Memory, or remove it"));
    }
}

fn processors(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    if let Some((pointer, _)) = number(body, "NanoCpus") {
        for other in ["CpuPeriod", "CpuQuota"] {
            if number(body, other).is_some() {
                let message =
                    format!("NanoCpus and {other} say the same thing; the engine takes only one of them");
                found.push(refused(pointer.as_str(), At::Key, message));
            }
        }
    }
}

fn restart(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let policy = host(body, "RestartPolicy");
    let name = policy.as_ref().and_then(|(_, policy)| member(policy.as_object()?, "Name")?.1.as_str());
    let set = name.is_some_and(|name| !name.is_empty() && name != "no");
    let removes = host(body, "AutoRemove").filter(|(_, value)| **value == Value::Bool(true));
    if let Some((pointer, policy)) = &policy {
        let retries = policy.as_object().and_then(|policy| member(policy, "MaximumRetryCount"));
        if let Some((key, count)) = retries
            && name != Some("on-failure")
            && count.as_i64().is_some_and(|count| count > 0)
        {
            let at = format!("{pointer}/{}", escape(key));
            found.push(refused(at, At::Key, "only on-failure counts its retries"));
        }
        if set {
            let message =
                "the engine would start the container again beside the agent, which does so by restartPolicy";
            let problem =
                Problem::new(Severity::Warning, "create-options-restart", pointer.as_str(), At::Key, message);
            found.push(problem.hint("remove it, and set the module's restartPolicy"));
        }
    }
    if let Some((pointer, _)) = removes {
        if set {
            let message = "the engine refuses AutoRemove together with a RestartPolicy";
            found.push(refused(pointer, At::Key, message));
        } else {
            let message = "the container would be gone whenever it stops, with its logs and its exit code";
            let problem =
                Problem::new(Severity::Warning, "create-options-restart", pointer, At::Key, message);
            found.push(problem.hint("remove it; the agent removes what it no longer needs"));
        }
    }
}

/// Entries of `Mounts`, each by itself.
fn mounts(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let Some((at, mounts)) = host(body, "Mounts") else { return };
    for (index, entry) in mounts.as_array().into_iter().flatten().enumerate() {
        let Some(entry) = entry.as_object() else { continue };
        let at = format!("{at}/{index}");
        let text = |name: &str| member(entry, name).and_then(|(_, value)| value.as_str());
        let place = |name: &str| {
            member(entry, name).map(|(key, _)| format!("{at}/{}", escape(key))).unwrap_or_else(|| at.clone())
        };
        let kind = text("Type");
        if text("Target").is_none_or(str::is_empty) && !entry.contains_key("Target") {
            found.push(refused(at.as_str(), At::Key, "the mount has no Target, a path in the container"));
        }
        let source = text("Source").filter(|source| !source.is_empty());
        match kind {
            Some("bind") => match source {
                None => found.push(refused(
                    place("Type"),
                    At::Value,
                    "a bind mount needs a Source, a path on the host",
                )),
                Some(path) if !path.starts_with('/') && !path.contains('\\') => {
                    let message = format!("the path on the host must be absolute, this is {path:?}");
                    found.push(refused(place("Source"), At::Value, message));
                }
                Some(_) => {}
            },
            Some("tmpfs") if source.is_some() => {
                found.push(refused(place("Source"), At::Key, "a tmpfs mount has no Source"));
            }
            Some(_) | None => {}
        }
        for (options, its) in [
            ("BindOptions", "bind"),
            ("VolumeOptions", "volume"),
            ("TmpfsOptions", "tmpfs"),
            ("ImageOptions", "image"),
        ] {
            if let Some(kind) = kind
                && kind != its
                && member(entry, options).is_some_and(|(_, value)| !value.is_null())
            {
                let message = format!("{options} belong to a mount of type {its}, this one is {kind}");
                found.push(refused(place(options), At::Key, message));
            }
        }
    }
}

/// Two mounts on one path of the container.
fn targets(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let mounts = mount::mounted(body);
    for (index, mount) in mounts.iter().enumerate() {
        let Some(first) =
            mounts.get(..index).and_then(|before| before.iter().find(|one| one.target == mount.target))
        else {
            continue;
        };
        let message = format!("{} is mounted twice in the container", mount.target);
        let from = first.source.as_deref().map(|source| format!("the other one comes from {source}"));
        let mut problem =
            Problem::new(Severity::Error, "mount-clash", mount.pointer.as_str(), At::Value, message);
        problem.hint = from;
        found.push(problem);
    }
}

fn limits(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let Some((at, limits)) = host(body, "Ulimits") else { return };
    for (index, limit) in limits.as_array().into_iter().flatten().enumerate() {
        let Some(limit) = limit.as_object() else { continue };
        let number = |name: &str| member(limit, name).and_then(|(key, value)| Some((key, value.as_i64()?)));
        if let (Some((key, soft)), Some((_, hard))) = (number("Soft"), number("Hard"))
            && hard != -1
            && (soft > hard || soft == -1)
        {
            let message = format!("the soft limit cannot be above the hard one ({hard})");
            found.push(refused(format!("{at}/{index}/{}", escape(key)), At::Value, message));
        }
    }
}

fn ports(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let mode = host(body, "NetworkMode").and_then(|(_, mode)| mode.as_str());
    let Some(mode) = mode.filter(|mode| matches!(*mode, "host" | "none") || mode.starts_with("container:"))
    else {
        return;
    };
    for name in ["PortBindings", "PublishAllPorts"] {
        let said = host(body, name).filter(|(_, value)| match value {
            Value::Object(map) => !map.is_empty(),
            Value::Bool(flag) => *flag,
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
        });
        if let Some((pointer, _)) = said {
            let message = format!("{name} is idle with NetworkMode {mode:?}: no port is published");
            found.push(idle(pointer, message).hint("remove it, or choose another network"));
        }
    }
    if mode == "host"
        && let Some((networking, map)) = inner(body, "NetworkingConfig")
        && inner(map, "EndpointsConfig")
            .is_some_and(|(_, networks)| networks.keys().any(|name| name != "host"))
    {
        let message = "with NetworkMode \"host\" the container can be on no other network";
        found.push(refused(format!("/{}", escape(networking)), At::Key, message));
    }
}
