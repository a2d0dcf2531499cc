//! `hem method invoke`: a direct method, and the client's answer.

use reqwest::Method as HttpMethod;
use serde_json::{Value, json};

use super::client_path;
use crate::{
    args::{Args, Method},
    client::HubClient,
    error::CommandError,
    output,
};

/// Calls and prints status and payload.
pub(crate) async fn run(args: &Args, method: &Method) -> Result<(), CommandError> {
    let Method::Invoke { device, target, payload, timeout, connect_timeout } = method;
    let (module, name) = match target.as_slice() {
        [name] => (None, name),
        [module, name] => (Some(module.as_str()), name),
        _ => return Err(CommandError::Usage("give a method name, or a module and a method name".to_owned())),
    };
    let payload: Value = serde_json::from_str(payload).map_err(|error| {
        CommandError::Usage(format!("--payload takes JSON (a string needs its quotes): {error}"))
    })?;
    let body = json!({
        "methodName": name,
        "payload": payload,
        "responseTimeoutInSeconds": timeout,
        "connectTimeoutInSeconds": connect_timeout,
    });
    let mut path = client_path("twins", device, module);
    path.push("methods");
    let answer = HubClient::find(args)?.call(HttpMethod::POST, &path, Some(&body)).await?;
    output::value(&answer, args.output, |answer| {
        format!(
            "status {}\n{:#}\n",
            output::cell(answer.get("status")),
            answer.get("payload").unwrap_or(&Value::Null)
        )
    })
}
