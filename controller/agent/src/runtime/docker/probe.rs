//! Asking a container whether it does its work: by a command inside it, or at its address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bollard::{exec::StartExecResults, models::ExecConfig};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::{
    super::{RuntimeError, Verdict, probe as network},
    Connection, translate, unavailable,
};
use crate::module::Probe;

/// Of a command's output that much is read.
const OUTPUT: usize = 4096;

pub(super) async fn probe(
    connection: &Connection,
    id: &str,
    name: &str,
    probe: &Probe,
) -> Result<Verdict, RuntimeError> {
    match probe {
        Probe::Command(command) => run(connection, id, name, command).await,
        Probe::Tcp { port } => Ok(match address(connection, id).await? {
            Some(ip) => network::tcp(SocketAddr::new(ip, *port)).await,
            None => nowhere(),
        }),
        Probe::Http { port, path } => Ok(match address(connection, id).await? {
            Some(ip) => network::http(SocketAddr::new(ip, *port), path).await,
            None => nowhere(),
        }),
    }
}

async fn run(
    connection: &Connection,
    id: &str,
    name: &str,
    command: &[String],
) -> Result<Verdict, RuntimeError> {
    const WHAT: &str = "check the health of";
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..ExecConfig::default()
    };
    let docker = &connection.docker;
    let made = docker.create_exec(id, config).await.map_err(|error| translate(WHAT, name, &error))?;
    let begun = docker.start_exec(&made.id, None).await.map_err(|error| translate(WHAT, name, &error))?;
    let mut said = Vec::new();
    if let StartExecResults::Attached { mut output, .. } = begun {
        while let Some(Ok(piece)) = output.next().await {
            let room = OUTPUT.saturating_sub(said.len());
            said.extend(piece.into_bytes().iter().take(room));
        }
    }
    let ended = docker.inspect_exec(&made.id).await.map_err(|error| translate(WHAT, name, &error))?;
    Ok(network::command(ended.exit_code, &said))
}

/// Where this host reaches the container.
async fn address(connection: &Connection, id: &str) -> Result<Option<IpAddr>, RuntimeError> {
    let found = connection.engine.get(&format!("/containers/{id}/json")).await.map_err(unavailable)?;
    Ok(address_in(&found))
}

fn address_in(found: &Value) -> Option<IpAddr> {
    if found.pointer("/HostConfig/NetworkMode").and_then(Value::as_str) == Some("host") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let networks = found.pointer("/NetworkSettings/Networks").and_then(Value::as_object)?;
    networks.values().find_map(|network| network.get("IPAddress")?.as_str()?.parse().ok())
}

fn nowhere() -> Verdict {
    Verdict::Failed("the container has no address that this host could reach".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses() {
        for (found, expected) in [
            (json!({"HostConfig": {"NetworkMode": "host"}}), Some("127.0.0.1")),
            (
                json!({"NetworkSettings": {"Networks": {"a": {"IPAddress": ""}, "b": {"IPAddress": "172.18.0.2"}}}}),
                Some("172.18.0.2"),
            ),
            (json!({"NetworkSettings": {"Networks": {}}}), None),
            (json!(null), None),
        ] {
            assert_eq!(address_in(&found), expected.map(|ip| ip.parse().unwrap()), "{found}");
        }
    }
}
