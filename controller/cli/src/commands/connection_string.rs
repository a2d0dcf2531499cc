//! `hem connection-string`: what an SDK or a tool needs besides the certificate authority.

use reqwest::Method;
use serde_json::Value;

use super::client_path;
use crate::{
    args::{Args, ConnectionString, Output},
    client::HubClient,
    error::CommandError,
    output,
};

/// Prints one connection string.
pub(crate) async fn run(args: &Args, whose: &ConnectionString) -> Result<(), CommandError> {
    let hub = HubClient::find(args)?;
    let text = match (&whose.policy, &whose.device) {
        (Some(policy), _) => {
            let found = hub.call(Method::GET, &["api", "v1", "policies", policy], None).await?;
            let key = found.get("primaryKey").and_then(Value::as_str).unwrap_or_default();
            format!("HostName={};SharedAccessKeyName={policy};SharedAccessKey={key}", hub.host())
        }
        (None, Some(device)) => {
            let module = whose.module.as_deref();
            let identity = hub.call(Method::GET, &client_path("devices", device, module), None).await?;
            of_identity(hub.host(), device, module, &identity)?
        }
        (None, None) => return Err(CommandError::Usage("name --policy or --device".to_owned())),
    };
    match args.output {
        Output::Table | Output::Wide => output::text(&format!("{text}\n")),
        Output::Json | Output::Yaml => {
            output::value(&serde_json::json!({ "connectionString": text }), args.output, |_| String::new())
        }
    }
}

/// The connection string of a device or module. Device SDKs dial fixed ports, so the host stands without one.
pub(crate) fn of_identity(
    host: &str,
    device: &str,
    module: Option<&str>,
    identity: &Value,
) -> Result<String, CommandError> {
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let module = module.map(|module| format!(";ModuleId={module}")).unwrap_or_default();
    let prefix = format!("HostName={host};DeviceId={device}{module}");
    let authentication = identity.get("authentication");
    match authentication.and_then(|a| a.get("type")).and_then(Value::as_str) {
        Some("sas") => {
            let key = identity.pointer("/authentication/symmetricKey/primaryKey").and_then(Value::as_str);
            Ok(format!("{prefix};SharedAccessKey={}", key.unwrap_or_default()))
        }
        Some("selfSigned" | "certificateAuthority") => Ok(format!("{prefix};x509=true")),
        Some(_) | None => Err(CommandError::Usage(format!("{device} cannot authenticate by itself"))),
    }
}
