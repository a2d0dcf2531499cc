//! Under which names and ports the hub is reached.

use std::net::{IpAddr, SocketAddr, TcpListener};

use hemline_hub::upstream::UpstreamConfig;

use crate::{args::Up, error::CommandError};

/// Name by which a container reaches the hub on its host; the agent maps it to the host's gateway address.
pub(crate) const CONTAINER_GATEWAY: &str = "gateway.hemline.internal";

/// Where the hub listens and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// Stands in connection strings. Contains a dot: Java and C clients refuse names without one.
    pub(crate) advertised: String,
    /// Names that the hub accepts in user names and tokens; the first is the advertised one.
    pub(crate) hub: Vec<String>,
    /// Names in the server certificate.
    pub(crate) certificate: Vec<String>,
    /// Addresses to listen on.
    pub(crate) listen: Vec<IpAddr>,
    /// Port of MQTT over TLS.
    pub(crate) mqtt_port: u16,
    /// Port of MQTT without TLS on this machine, if it is wanted.
    pub(crate) plain_mqtt_port: Option<u16>,
    /// Port of HTTPS.
    pub(crate) https_port: u16,
}

impl Names {
    /// From what was typed, and from what the machine allows.
    pub(crate) async fn choose(up: &Up, parent: Option<&UpstreamConfig>) -> Result<Self, CommandError> {
        let machine = hostname::get().ok().and_then(|name| name.into_string().ok());
        let advertised = match (&up.host_name, &machine) {
            (Some(name), _) if name.contains('.') => name.clone(),
            (Some(name), _) => {
                return Err(CommandError::Usage(format!(
                    "--host-name {name:?} has no dot, and Java and C clients refuse such a name; use for example {name}.local"
                )));
            }
            (None, Some(name)) if up.listen.is_unspecified() && name.contains('.') => name.clone(),
            (None, _) if up.listen.is_unspecified() => "127.0.0.1".to_owned(),
            (None, _) => up.listen.to_string(),
        };
        let mut listen = vec![up.listen];
        if up.listen.is_loopback()
            && !up.no_agents
            && may_run_containers(up)
            && let Some(bridge) = hemline_agent::bridge_address(up.docker.as_deref()).await
        {
            // A container cannot reach the host's loopback, but it reaches the bridge's address. The hub takes it when it
            // can: processes work without.
            listen.push(bridge);
        }
        let mut hub = vec![advertised.clone()];
        hub.extend(["localhost", "127.0.0.1"].map(ToOwned::to_owned));
        hub.push(CONTAINER_GATEWAY.to_owned());
        hub.extend(machine);
        if !up.listen.is_unspecified() {
            hub.push(up.listen.to_string());
        }
        let certificate = distinct(hub.clone());
        // Whoever comes through a gateway dials the gateway and still calls the hub by its own name (reference
        // device-protocol §1.3): accepted here, and not promised by the certificate.
        hub.extend(parent.map(|parent| parent.hub_name.clone()));
        hub.extend(up.hub_name.iter().cloned());
        let hub = distinct(hub);
        Ok(Self {
            certificate,
            https_port: up.https_port.unwrap_or_else(|| default_https_port(up.listen)),
            mqtt_port: up.mqtt_port,
            plain_mqtt_port: up.plain_mqtt_port,
            advertised,
            hub,
            listen,
        })
    }

    /// Where MQTT listens.
    pub(crate) fn mqtt_addresses(&self) -> Vec<SocketAddr> {
        self.listen.iter().map(|ip| SocketAddr::new(*ip, self.mqtt_port)).collect()
    }

    /// Where HTTPS listens.
    pub(crate) fn https_addresses(&self) -> Vec<SocketAddr> {
        self.listen.iter().map(|ip| SocketAddr::new(*ip, self.https_port)).collect()
    }
}

/// Each name once, whatever its case.
fn distinct(mut names: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.to_lowercase()));
    names
}

/// Is a container among the modules of the folder? A repository is not read before it is fetched: it may.
fn may_run_containers(up: &Up) -> bool {
    if !up.source.also.is_empty() || super::sources::is_one(&up.source.source) {
        return true;
    }
    let Ok((files, _)) =
        hemline_sources::read_paths(&[up.source.source.clone().into()], hemline_sources::Limits::default())
    else {
        return true;
    };
    let Some(fleet) = hemline_model::load(&files).fleet else { return true };
    let modules = fleet.deployments.values().flat_map(|deployment| deployment.spec.modules.values());
    modules
        .into_iter()
        .any(|module| module.kind.unwrap_or_default() == hemline_model::document::ModuleType::Docker)
}

/// 443 is what Node's service SDK dials; an ordinary user may not bind it, and then it is 8443.
fn default_https_port(listen: IpAddr) -> u16 {
    match TcpListener::bind((listen, 443)) {
        Ok(_) => 443,
        Err(_) => 8443,
    }
}
