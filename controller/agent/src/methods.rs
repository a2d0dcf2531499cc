//! Direct methods of `$edgeAgent` (reference edge-runtime §3.11): ping, RestartModule, GetModuleLogs.
//!
//! They run beside the reconcile loop, so a slow pull delays no answer. Names are compared without case.

use hemline_protocol::method::MAX_NAME;
use jiff::{SignedDuration, SpanRelativeTo, Timestamp};
use regex_lite::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    module::{ModuleKey, Seen},
    reconcile::Runtimes,
    runtime::{LogLine, LogQuery},
    uplink::MethodCall,
};

/// Longest answer with logs, in bytes.
const LARGEST_LOGS: usize = 127_000;

/// Status and payload.
type Answer = (i32, Value);

/// Answers methods until `stop`.
pub async fn serve(
    runtimes: Runtimes,
    hub: String,
    device: String,
    mut calls: mpsc::Receiver<MethodCall>,
    stop: CancellationToken,
) {
    let desk = std::sync::Arc::new(Desk { runtimes, hub, device });
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        // Both arms only wait.
        let call = tokio::select! {
            call = calls.recv() => call,
            () = stop.cancelled() => None,
        };
        let Some(call) = call else { break };
        let desk = std::sync::Arc::clone(&desk);
        running.spawn(async move {
            let answer = desk.answer(&call.name, call.payload).await;
            // Whoever asked may be gone.
            drop(call.reply.send(answer));
        });
    }
    running.shutdown().await;
}

struct Desk {
    runtimes: Runtimes,
    hub: String,
    device: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RestartRequest {
    #[serde(default)]
    schema_version: Option<String>,
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogsRequest {
    #[serde(default)]
    schema_version: Option<String>,
    items: OneOrMany,
    #[serde(default)]
    encoding: Option<String>,
    #[serde(default)]
    content_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<LogsItem>),
    One(LogsItem),
}

#[derive(Deserialize)]
struct LogsItem {
    id: String,
    #[serde(default)]
    filter: LogsFilter,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct LogsFilter {
    tail: Option<usize>,
    since: Option<Value>,
    until: Option<Value>,
    loglevel: Option<u8>,
    regex: Option<String>,
    include_timestamp: Option<bool>,
}

impl Desk {
    async fn answer(&self, name: &str, payload: Value) -> Answer {
        match name.to_ascii_lowercase().as_str() {
            "ping" => (200, Value::Null),
            "restartmodule" => self.restart(payload).await,
            "getmodulelogs" => self.logs(payload).await,
            _ => {
                let name: String = name.chars().take(MAX_NAME).collect();
                said(
                    404,
                    format!("the agent has no method {name:?}; it has ping, RestartModule and GetModuleLogs"),
                )
            }
        }
    }

    async fn restart(&self, payload: Value) -> Answer {
        let wish: RestartRequest = match serde_json::from_value(payload) {
            Ok(wish) => wish,
            Err(error) => return said(400, format!("not a RestartModule request: {error}")),
        };
        if let Some(answer) = unsupported(wish.schema_version.as_deref()) {
            return answer;
        }
        let modules = self.modules().await;
        let Some(key) = modules.into_iter().map(|seen| seen.key).find(|key| key.name == wish.id) else {
            return said(500, format!("there is no module {:?} on this device", wish.id));
        };
        let Some(runtime) = self.runtimes.get(&key.kind) else {
            return said(500, format!("there is no {} runtime", key.kind));
        };
        let outcome = async {
            runtime.stop(&key.name).await?;
            runtime.start(&key.name).await
        };
        match outcome.await {
            Ok(_) => (200, Value::Null),
            Err(error) => said(500, error.full()),
        }
    }

    async fn logs(&self, payload: Value) -> Answer {
        let wish: LogsRequest = match serde_json::from_value(payload) {
            Ok(wish) => wish,
            Err(error) => return said(400, format!("not a GetModuleLogs request: {error}")),
        };
        if let Some(answer) = unsupported(wish.schema_version.as_deref()) {
            return answer;
        }
        if wish.encoding.as_deref().is_some_and(|encoding| !encoding.eq_ignore_ascii_case("none")) {
            return said(400, "only the encoding \"none\" is supported");
        }
        let as_json = wish.content_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("json"));
        let items = match wish.items {
            OneOrMany::Many(items) => items,
            OneOrMany::One(item) => vec![item],
        };
        match self.collect_logs(&items, as_json).await {
            Ok(answers) => {
                let answer = Value::Array(answers);
                if answer.to_string().len() > LARGEST_LOGS {
                    let message = format!(
                        "the logs are longer than {LARGEST_LOGS} bytes; narrow them with tail or since"
                    );
                    return said(400, message);
                }
                (200, answer)
            }
            Err(answer) => answer,
        }
    }

    async fn collect_logs(&self, items: &[LogsItem], as_json: bool) -> Result<Vec<Value>, Answer> {
        let modules = self.modules().await;
        let mut answers: Vec<Value> = Vec::new();
        for item in items {
            let bad = |what: &str, error: String| said(400, format!("{what} of {:?}: {error}", item.id));
            let filter = &item.filter;
            let now = Timestamp::now();
            let query = LogQuery {
                tail: filter.tail,
                since: instant(filter.since.as_ref(), now).map_err(|error| bad("since", error))?,
                until: instant(filter.until.as_ref(), now).map_err(|error| bad("until", error))?,
            };
            let pattern = match &filter.regex {
                Some(regex) => Some(Regex::new(regex).map_err(|error| bad("regex", error.to_string()))?),
                None => None,
            };
            let named = named(&item.id, &modules).map_err(|error| bad("id", error))?;
            if named.is_empty() {
                return Err(said(404, format!("no module matches {:?}", item.id)));
            }
            for key in named {
                let Some(runtime) = self.runtimes.get(&key.kind) else { continue };
                let lines = runtime.logs(&key.name, query.clone()).await;
                let lines = lines.map_err(|error| said(500, error.full()))?;
                let kept: Vec<&LogLine> = lines
                    .iter()
                    .filter(|line| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&line.text)))
                    .filter(|line| filter.loglevel.is_none_or(|most| level(&line.text).0 <= most))
                    .collect();
                let payload = if as_json { self.as_json(key, &kept) } else { as_text(filter, &kept) };
                answers.push(json!({ "id": key.name, "payload": payload }));
            }
        }
        Ok(answers)
    }

    fn as_json(&self, key: &ModuleKey, lines: &[&LogLine]) -> String {
        let item = |line: &&LogLine| {
            let (loglevel, text) = level(&line.text);
            json!({
                "iothub": self.hub, "device": self.device, "id": key.name, "stream": "stdout",
                "loglevel": loglevel, "text": text, "timestamp": line.at.map(|at| at.to_string()),
            })
        };
        Value::Array(lines.iter().map(item).collect()).to_string()
    }

    async fn modules(&self) -> Vec<Seen> {
        let mut modules = Vec::new();
        for runtime in self.runtimes.values() {
            // A runtime that does not answer has no modules to speak of.
            modules.extend(runtime.list().await.unwrap_or_default());
        }
        modules
    }
}

fn said(status: i32, message: impl AsRef<str>) -> Answer {
    (status, json!({ "message": message.as_ref() }))
}

/// Any 1.x will do.
fn unsupported(schema_version: Option<&str>) -> Option<Answer> {
    let version = schema_version?;
    let good = version == "1" || version.starts_with("1.");
    (!good).then(|| said(400, format!("schemaVersion {version:?} is not supported; use 1.0")))
}

fn named<'a>(id: &str, modules: &'a [Seen]) -> Result<Vec<&'a ModuleKey>, String> {
    if id == "all" {
        return Ok(modules.iter().map(|seen| &seen.key).collect());
    }
    let exact: Vec<&ModuleKey> = modules.iter().map(|seen| &seen.key).filter(|key| key.name == id).collect();
    if !exact.is_empty() {
        return Ok(exact);
    }
    let pattern = Regex::new(id).map_err(|error| error.to_string())?;
    Ok(modules.iter().map(|seen| &seen.key).filter(|key| pattern.is_match(&key.name)).collect())
}

/// RFC 3339, seconds since 1970, or a duration before now such as `2d` or `1 hour`.
fn instant(value: Option<&Value>, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(other @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
            other.to_string()
        }
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Some(at));
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).map(Some).map_err(|error| error.to_string());
    }
    let unknown = || format!("{text:?} is no time; write 2026-01-31T12:00:00Z, seconds since 1970, or 2d");
    let span: jiff::Span = text.parse().map_err(|_| unknown())?;
    let ago = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| unknown())?;
    now.checked_sub(ago.max(SignedDuration::ZERO)).map(Some).map_err(|_| unknown())
}

/// `<4> 2026-01-31 … text`: syslog's number, else 6 and the whole line.
fn level(line: &str) -> (u8, &str) {
    let marked = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match marked.and_then(|(number, text)| Some((number.parse().ok()?, text.trim_start()))) {
        Some((number, text)) if number <= 7 => (number, text),
        Some(_) | None => (6, line),
    }
}

fn as_text(filter: &LogsFilter, lines: &[&LogLine]) -> String {
    let mut text = String::new();
    for line in lines {
        if let Some(at) = line.at.filter(|_| filter.include_timestamp == Some(true)) {
            text.push_str(&at.to_string());
            text.push(' ');
        }
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_form() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (value, expected) in [
            (json!("2026-01-30T00:00:00Z"), "2026-01-30T00:00:00Z"),
            (json!(1_769_817_600), "2026-01-31T00:00:00Z"),
            (json!("1769817600"), "2026-01-31T00:00:00Z"),
            (json!("2d"), "2026-01-29T12:00:00Z"),
            (json!("1 hour"), "2026-01-31T11:00:00Z"),
        ] {
            assert_eq!(instant(Some(&value), now).unwrap().unwrap().to_string(), expected, "{value}");
        }
        assert_eq!(instant(None, now), Ok(None));
        assert!(instant(Some(&json!("soon")), now).is_err());
    }

    #[test]
    fn levels_of_lines() {
        assert_eq!(level("<4> low battery"), (4, "low battery"));
        for line in ["plain", "<x> no number", "<12> no level", "<4 open"] {
            assert_eq!(level(line), (6, line));
        }
    }
}
