//! The log of a container, as lines; and whether the engine would let it grow without end.

use bollard::{Docker, query_parameters::LogsOptionsBuilder};
use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::super::{LogLine, LogQuery, RuntimeError};
use crate::unix_http::UnixHttp;

/// Never more than that is read.
const LARGEST: usize = 16 * 1024 * 1024;

/// Docker's default driver keeps everything in one file. Other drivers have bounds of their own, and Podman has its own
/// default; who configured one of them wants it.
pub(super) async fn unbounded(engine: &UnixHttp) -> Result<bool, String> {
    let info = engine.get("/info").await?;
    let driver = info.get("LoggingDriver").and_then(serde_json::Value::as_str);
    Ok(driver == Some("json-file"))
}

pub(super) async fn read(
    docker: &Docker,
    id: &str,
    name: &str,
    query: &LogQuery,
) -> Result<Vec<LogLine>, RuntimeError> {
    let tail = query.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    let mut options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).tail(&tail);
    // Whole seconds only; the exact bounds are applied below.
    if let Some(since) = query.since {
        options = options.since(seconds(since));
    }
    if let Some(until) = query.until {
        options = options.until(seconds(until).saturating_add(1));
    }
    let mut output = Box::pin(docker.logs(id, Some(options.build())));
    let mut bytes = Vec::new();
    while let Some(chunk) = output.next().await {
        let chunk = chunk.map_err(|error| super::translate("read the log of", name, &error))?;
        bytes.extend_from_slice(&chunk.into_bytes());
        if bytes.len() > LARGEST {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(parse).filter(|line| query.covers(line.at)).collect())
}

fn seconds(at: Timestamp) -> i32 {
    i32::try_from(at.as_second()).unwrap_or(i32::MAX)
}

fn parse(line: &str) -> LogLine {
    let line = line.trim_end_matches('\r');
    let stamped = line.split_once(' ').and_then(|(at, text)| Some((at.parse().ok()?, text)));
    match stamped {
        Some((at, text)) => LogLine { at: Some(at), text: text.to_owned() },
        None => LogLine { at: None, text: line.to_owned() },
    }
}
