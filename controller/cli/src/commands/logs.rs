//! `hem logs DEVICE MODULE`: asks the device's agent, as `GetModuleLogs` of IoT Edge does (reference edge-runtime §3.11).

use reqwest::Method;
use serde_json::{Value, json};

use super::client_path;
use crate::{
    args::{Args, Logs},
    client::HubClient,
    error::CommandError,
    output,
};

/// Prints the last lines.
pub(crate) async fn run(args: &Args, logs: &Logs) -> Result<(), CommandError> {
    let body = json!({
        "methodName": "GetModuleLogs",
        "payload": {
            "schemaVersion": "1.1",
            "items": [{ "id": format!("^{}$", escape(&logs.module)), "filter": { "tail": logs.tail } }],
            "encoding": "none",
            "contentType": "text",
        },
        "responseTimeoutInSeconds": 30,
        "connectTimeoutInSeconds": 0,
    });
    let mut path = client_path("twins", &logs.device, Some("$edgeAgent"));
    path.push("methods");
    let answer = HubClient::find(args)?.call(Method::POST, &path, Some(&body)).await?;
    let status = answer.get("status").and_then(Value::as_i64).unwrap_or_default();
    let payload = answer.get("payload").cloned().unwrap_or_default();
    if status != 200 {
        let said = payload.get("message").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
        return Err(CommandError::Refused {
            status: 502,
            code: format!("agent status {status}"),
            message: said,
        });
    }
    let text: String = payload
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item.get("payload").and_then(Value::as_str))
        .collect();
    output::value(&payload, args.output, |_| text)
}

/// The agent takes a regular expression; a module id is meant literally.
fn escape(id: &str) -> String {
    id.chars()
        .flat_map(|c| (!c.is_ascii_alphanumeric() && c != '_').then_some('\\').into_iter().chain([c]))
        .collect()
}
