//! The parent hub that `hem up` was told of.

use std::{fs, path::Path};

use hemline_hub::upstream::{Timing, UpstreamConfig, trust};
use hemline_hub_core::upstream::Dialect;
use hemline_model::id::ModuleId;
use hemline_protocol::connection_string::{ClientConnectionString, Credential};

use crate::{
    args::upstream::{DialectName, UpstreamFlags},
    error::CommandError,
};

/// Names of hubs that know only what IoT Hub documents.
const AZURE: &str = ".azure-devices.net";

/// The parent, if there is to be one.
pub(super) fn parent(flags: &UpstreamFlags) -> Result<Option<UpstreamConfig>, CommandError> {
    let text = match (&flags.upstream, &flags.upstream_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => return Ok(None),
    };
    let Some(ca) = &flags.upstream_ca else {
        return Err(CommandError::Usage("--upstream needs --upstream-ca FILE: whom to believe".to_owned()));
    };
    let found = ClientConnectionString::parse(text.trim())
        .map_err(|error| CommandError::Usage(format!("--upstream: {error}")))?;
    let ClientConnectionString { host_name, client, credential, gateway } = found;
    if client.module.as_ref().is_some_and(|module| *module != ModuleId::edge_hub()) {
        return Err(CommandError::Usage(format!(
            "--upstream names {client}; give the connection string of the edge device {}, or of its $edgeHub",
            client.device
        )));
    }
    let key = match credential {
        Credential::Key { key, policy: None } => key,
        Credential::Key { policy: Some(_), .. } | Credential::Token(_) | Credential::Certificate => {
            return Err(CommandError::Usage(
                "--upstream needs the SharedAccessKey of the device or of its $edgeHub: a token would run out, and certificates are not used towards a parent yet"
                    .to_owned(),
            ));
        }
    };
    let dialect = match flags.upstream_dialect {
        Some(DialectName::Plain) => Dialect::Plain,
        None if host_name.to_ascii_lowercase().ends_with(AZURE) => Dialect::Plain,
        Some(DialectName::Nested) | None => Dialect::Nested,
    };
    let trust = trust(&read(ca)?)
        .map_err(|error| CommandError::Usage(format!("--upstream-ca {}: {error}", ca.display())))?;
    Ok(Some(UpstreamConfig {
        host: gateway.unwrap_or_else(|| host_name.clone()),
        hub_name: host_name,
        port: flags.upstream_port,
        device: client.device,
        key,
        trust,
        dialect,
        timing: Timing::default(),
    }))
}

fn read(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path).map_err(|source| CommandError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_says_why_and_shows_no_key() {
        let key = "c2VjcmV0c2VjcmV0c2VjcmV0";
        let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let told: Vec<String> = [
            format!("HostName=hub.test;DeviceId=edge-1;ModuleId=camera;SharedAccessKey={key}"),
            format!("HostName=hub.test;SharedAccessKeyName=iothubowner;SharedAccessKey={key}"),
            format!("HostName=hub.test;DeviceId=edge-1;SharedAccessKeyName=device;SharedAccessKey={key}"),
            "HostName=hub.test;DeviceId=edge-1;x509=true".to_owned(),
            format!("HostName=hub.test;DeviceId=edge-1;SharedAccessKey={key}"),
        ]
        .into_iter()
        .map(|text| {
            let flags = UpstreamFlags {
                upstream: Some(text),
                upstream_ca: Some(ca.clone()),
                ..UpstreamFlags::default()
            };
            match parent(&flags) {
                Ok(found) => format!("{found:?}"),
                Err(error) => error.to_string().replace(&*ca.to_string_lossy(), "CA"),
            }
        })
        .collect();
        let told = told.join("\n");
        assert!(!told.contains(key), "{told}");
        insta::assert_snapshot!(told);
    }
}
