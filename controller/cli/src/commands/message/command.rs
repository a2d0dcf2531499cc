//! `hem message send`, `hem message feedback`, `hem message purge`: messages to devices, and what became of them.

use std::{collections::BTreeMap, path::Path};

use base64::Engine as _;
use hemline_api::{BodyForm, CommandDocument, FeedbackDocument, FeedbackRow, PurgedRow, SentRow};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    args::{Args, SendMessage},
    client::HubClient,
    error::CommandError,
    output,
};

/// Sends one message and says what the hub calls it.
pub(crate) async fn send(args: &Args, typed: &SendMessage) -> Result<(), CommandError> {
    let (body, body_form) = body(typed)?;
    let document = CommandDocument {
        body,
        body_form,
        properties: properties(&typed.property)?,
        message_id: typed.message_id.clone(),
        correlation_id: typed.correlation_id.clone(),
        content_type: typed.content_type.clone(),
        content_encoding: typed.content_encoding.clone(),
        expiry_time: typed.expiry.as_deref().map(|text| expiry(text, Timestamp::now())).transpose()?,
        ack: typed.ack.map(|ack| ack.as_str().to_owned()),
    };
    let document =
        serde_json::to_value(&document).map_err(|error| CommandError::part("the message", error))?;
    let hub = HubClient::find(args)?;
    let path = ["api", "v1", "devices", &typed.device, "messages"];
    let sent: SentRow = read(&hub, hub.call(Method::POST, &path, Some(&document)).await?)?;
    output::value(&sent, args.output, |sent| {
        format!("stored as {}; {} can take it until {}\n", sent.message_id, typed.device, sent.expiry_time)
    })
}

/// Prints all feedback there is. It is gone from the hub once it is printed, unless it is to be kept.
pub(crate) async fn feedback(args: &Args, keep: bool) -> Result<(), CommandError> {
    let hub = HubClient::find(args)?;
    let mut rows: Vec<FeedbackRow> = Vec::new();
    let mut locks: Vec<String> = Vec::new();
    loop {
        let answer = hub.call(Method::GET, &["api", "v1", "feedback"], None).await?;
        let batch: FeedbackDocument = read(&hub, answer)?;
        rows.extend(batch.records);
        match batch.lock {
            Some(lock) => locks.push(lock),
            None => break,
        }
    }
    output::value(&rows, args.output, |rows| as_table(rows))?;
    // Only now: what could not be printed is told again.
    for lock in &locks {
        if keep {
            hub.call(Method::POST, &["api", "v1", "feedback", lock, "abandon"], None).await?;
        } else {
            hub.call(Method::DELETE, &["api", "v1", "feedback", lock], None).await?;
        }
    }
    Ok(())
}

fn as_table(rows: &[FeedbackRow]) -> String {
    if rows.is_empty() {
        return "no feedback; messages ask for it with --ack\n".to_owned();
    }
    let cells = rows.iter().map(|row| {
        let time = row.time.strftime("%Y-%m-%d %H:%M:%S").to_string();
        vec![time, row.device_id.clone(), row.message_id.clone(), row.status.clone()]
    });
    output::table(&["time", "device", "message", "status"], cells)
}

/// Empties the queue of a device.
pub(crate) async fn purge(args: &Args, device: &str) -> Result<(), CommandError> {
    let hub = HubClient::find(args)?;
    let path = ["api", "v1", "devices", device, "messages"];
    let purged: PurgedRow = read(&hub, hub.call(Method::DELETE, &path, None).await?)?;
    output::value(&purged, args.output, |purged| {
        format!("{} messages for {} are gone\n", purged.purged, purged.device_id)
    })
}

fn read<T: DeserializeOwned>(hub: &HubClient, answer: Value) -> Result<T, CommandError> {
    serde_json::from_value(answer)
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })
}

fn body(typed: &SendMessage) -> Result<(Value, Option<BodyForm>), CommandError> {
    let bytes = match (&typed.body, &typed.body_file) {
        (Some(text), _) => return Ok((Value::String(text.clone()), None)),
        (None, Some(path)) => file(path)?,
        (None, None) => return Ok((Value::Null, None)),
    };
    Ok(match String::from_utf8(bytes) {
        Ok(text) => (Value::String(text), None),
        Err(error) => {
            let text = base64::engine::general_purpose::STANDARD.encode(error.as_bytes());
            (Value::String(text), Some(BodyForm::Base64))
        }
    })
}

fn file(path: &Path) -> Result<Vec<u8>, CommandError> {
    std::fs::read(path).map_err(|source| CommandError::File { action: "read", path: path.to_owned(), source })
}

fn properties(typed: &[String]) -> Result<BTreeMap<String, String>, CommandError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(CommandError::Usage(format!("--property {text:?} is not NAME=VALUE"))),
    };
    typed.iter().map(pair).collect()
}

/// A time, or how long from now.
fn expiry(text: &str, now: Timestamp) -> Result<String, CommandError> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.to_string());
    }
    let after = text.parse::<SignedDuration>().ok().and_then(|life| now.checked_add(life).ok());
    after.map(|at| at.to_string()).ok_or_else(|| {
        CommandError::Usage(format!(
            "--expiry {text:?} is neither a duration such as 90s or 2h nor a time such as 2026-01-31T12:00:00Z"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90s", Some("2026-01-01T00:01:30Z")),
            ("2h", Some("2026-01-01T02:00:00Z")),
            ("1h30m", Some("2026-01-01T01:30:00Z")),
            ("2026-01-31T12:00:00Z", Some("2026-01-31T12:00:00Z")),
            ("2026-01-31T12:00:00+01:00", Some("2026-01-31T11:00:00Z")),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(expiry(text, now).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn pairs() {
        let typed = ["a=1".to_owned(), "b=c=d".to_owned(), "e=".to_owned()];
        let read = properties(&typed).unwrap();
        assert_eq!(
            read.into_iter().collect::<Vec<_>>(),
            [("a".into(), "1".into()), ("b".into(), "c=d".into()), ("e".into(), String::new()),]
        );
        for wrong in ["a", "=1", ""] {
            assert!(properties(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
