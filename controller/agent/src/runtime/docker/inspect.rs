//! What an engine says about a container, as `Seen`. Pure, and tolerant: every engine has words of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::body;
use crate::module::{EngineStatus, Health, ModuleKey, ModuleKind, Seen};

/// Reads the answer of `GET /containers/{id}/json`; none when it carries no module name.
pub(super) fn seen(found: &Value) -> Option<Seen> {
    let label = |name: &str| {
        let labels = found.pointer("/Config/Labels")?.as_object()?;
        labels.get(name)?.as_str().map(str::to_owned)
    };
    let state = |name: &str| found.get("State")?.get(name);
    let text = |name: &str| state(name).and_then(Value::as_str).unwrap_or_default();
    let exit_code = state("ExitCode").and_then(Value::as_i64);
    let word = text("Status");
    let health = match found.pointer("/State/Health/Status").and_then(Value::as_str) {
        Some("starting") => Health::Starting,
        Some("healthy") => Health::Healthy,
        Some("unhealthy") => Health::Unhealthy,
        Some(_) | None => Health::None,
    };
    Some(Seen {
        id: found.get("Id").and_then(Value::as_str).map(str::to_owned),
        traits: traits(found),
        // Told by events, not by the container.
        by_hand: false,
        paused: word == "paused",
        key: ModuleKey { kind: ModuleKind::Docker, name: label(body::MODULE_LABEL)? },
        hash: label(body::SPEC_LABEL),
        status: status(word, exit_code, health),
        health: if word == "running" { health } else { Health::None },
        exit_code,
        started: time(text("StartedAt")),
        exited: time(text("FinishedAt")),
        description: describe(word, text("Error"), exit_code, state("OOMKilled").and_then(Value::as_bool)),
        image_hash: found.get("Image").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Where the settings of a container's host stand in a document.
pub(super) const HOST: &str = "createOptions.HostConfig.";

/// The name of the container.
pub(super) const NAME: &str = "name";

/// What `docker update` changes.
const UPDATED: &[&str] = &[
    "BlkioWeight",
    "CpuPeriod",
    "CpuQuota",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "PidsLimit",
    "RestartPolicy",
];

/// What the engine lets anybody change on a container that is there, by its path in the module's document.
pub(super) fn traits(found: &Value) -> BTreeMap<String, Value> {
    let host = |name: &&str| {
        let value = found.get("HostConfig")?.get(*name)?;
        Some((format!("{HOST}{name}"), value.clone()))
    };
    let name = found.get("Name").and_then(Value::as_str).map(|name| name.trim_start_matches('/'));
    let name = name.map(|name| (NAME.to_owned(), Value::from(name)));
    UPDATED.iter().filter_map(host).chain(name).collect()
}

fn status(word: &str, exit_code: Option<i64>, health: Health) -> EngineStatus {
    match word {
        "running" if health == Health::Unhealthy => EngineStatus::Unhealthy,
        "running" => EngineStatus::Running,
        "created" | "configured" | "initialized" | "paused" | "restarting" => EngineStatus::Stopped,
        "removing" | "exited" | "stopped" | "stopping" => match exit_code {
            Some(0) => EngineStatus::Stopped,
            Some(_) | None => EngineStatus::Failed,
        },
        "dead" => EngineStatus::Dead,
        _ => EngineStatus::Unknown,
    }
}

fn describe(word: &str, error: &str, exit_code: Option<i64>, out_of_memory: Option<bool>) -> String {
    if !error.is_empty() {
        return error.to_owned();
    }
    match (word, exit_code) {
        ("exited", Some(code)) if out_of_memory == Some(true) => {
            format!("exited with code {code}, out of memory")
        }
        ("exited", Some(code)) => format!("exited with code {code}"),
        (word, _) => word.to_owned(),
    }
}

/// Engines write year 1 for "never".
fn time(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.parse().ok()?;
    (at > Timestamp::UNIX_EPOCH).then_some(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn engine_words_become_states() {
        let table = [
            (json!({"Status": "created", "ExitCode": 0}), EngineStatus::Stopped),
            (json!({"Status": "running", "ExitCode": 0}), EngineStatus::Running),
            (json!({"Status": "running", "Health": {"Status": "starting"}}), EngineStatus::Running),
            (json!({"Status": "running", "Health": {"Status": "unhealthy"}}), EngineStatus::Unhealthy),
            (json!({"Status": "paused"}), EngineStatus::Stopped),
            (json!({"Status": "restarting"}), EngineStatus::Stopped),
            (json!({"Status": "exited", "ExitCode": 0}), EngineStatus::Stopped),
            (json!({"Status": "exited", "ExitCode": 137}), EngineStatus::Failed),
            (json!({"Status": "removing", "ExitCode": 1}), EngineStatus::Failed),
            (json!({"Status": "dead"}), EngineStatus::Dead),
            (json!({"Status": "sideways"}), EngineStatus::Unknown),
            (json!({}), EngineStatus::Unknown),
        ];
        for (state, expected) in table {
            let found = json!({"State": state, "Config": {"Labels": {"dev.hemline.module": "m"}}});
            assert_eq!(seen(&found).unwrap().status, expected, "{state}");
        }
    }

    #[test]
    fn year_one_means_never() {
        let found = json!({
            "State": {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "2026-01-01T00:00:00.5Z"},
            "Config": {"Labels": {"dev.hemline.module": "m"}},
        });
        let seen = seen(&found).unwrap();
        assert_eq!(seen.started, None);
        assert!(seen.exited.is_some());
    }

    #[test]
    fn foreign_containers_are_not_seen() {
        assert_eq!(seen(&json!({"State": {"Status": "running"}, "Config": {"Labels": null}})), None);
        assert_eq!(seen(&json!(null)), None);
    }
}
