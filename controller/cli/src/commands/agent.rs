//! `hem agent`: the agent of one device, against a hub on another machine.

use hemline_agent::AgentConfig;
use hemline_model::Secret;
use hemline_protocol::connection_string::{ClientConnectionString, Credential};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Agent, Args},
    error::CommandError,
};

/// Runs until Ctrl-C. Modules are stopped with it, as IoT Edge does.
pub(crate) async fn run(args: &Args, agent: &Agent) -> Result<(), CommandError> {
    let device = ClientConnectionString::parse(agent.connection_string.trim()).map_err(|error| {
        CommandError::Usage(format!("--connection-string is not one of a device: {error}"))
    })?;
    let key = match &device.credential {
        Credential::Key { key, policy: None } => Secret::new(key.expose_base64()),
        Credential::Key { policy: Some(_), .. } | Credential::Token(_) | Credential::Certificate => {
            return Err(CommandError::Usage("the agent needs the device's own SharedAccessKey".to_owned()));
        }
    };
    let Some(ca) = &args.ca else {
        return Err(CommandError::Usage(
            "name the hub's certificate authority with --ca FILE (on the hub's machine: `hem ca > ca.pem`)"
                .to_owned(),
        ));
    };
    let ca_pem = std::fs::read_to_string(ca).map_err(|source| CommandError::File {
        action: "read",
        path: ca.clone(),
        source,
    })?;
    let data_dir = crate::data_dir::DataDir::open(&args.data_dir)?;
    let shim = std::env::current_exe().map_err(CommandError::Runtime)?;
    let gateway = device.gateway.clone().unwrap_or_else(|| device.host_name.clone());
    let config = AgentConfig {
        device: device.client.device.clone(),
        device_key: key,
        hub_name: device.host_name.clone(),
        container_gateway: None,
        gateway,
        mqtt_port: agent.mqtt_port,
        https_port: agent.https_port,
        ca_pem,
        data_dir: data_dir.path().join("agent"),
        search_path: shim.parent().map(ToOwned::to_owned),
        shim,
        docker: agent.docker.clone(),
        age_key_file: agent.age_key_file.clone(),
        stop_modules: true,
    };
    let stop = CancellationToken::new();
    let handle =
        hemline_agent::start(config, stop.clone()).map_err(|error| CommandError::part("the agent", error))?;
    tokio::signal::ctrl_c().await.map_err(CommandError::Runtime)?;
    stop.cancel();
    handle.join().await;
    Ok(())
}
