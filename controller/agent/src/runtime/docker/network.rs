//! The network of modules that name none, and how containers reach this host.
//!
//! Several agents may share one engine and make the network at the same moment.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use serde_json::{Value, json};

use super::body::NETWORK;
use crate::unix_http::{UnixHttp, encode, message};

/// For the name of the hub; without an answer it is somewhere else.
const LOOKUP: Duration = Duration::from_secs(5);

/// Id of the network; made when it is not there.
///
/// Engines allow two networks of one name when both are made at once, and then refuse the name as ambiguous. So it is
/// used by its id, and of several the oldest counts for everyone; whoever made another one takes it away again.
pub(super) async fn ensure(engine: &UnixHttp) -> Result<String, String> {
    if let Some(id) = oldest(engine).await? {
        return Ok(id);
    }
    let wish = json!({ "Name": NETWORK, "CheckDuplicate": true, "Driver": "bridge" });
    let (status, answer) = engine.request("POST", "/networks/create", Some(&wish)).await?;
    // 409: somebody else made it in the meantime.
    if !matches!(status, 200 | 201 | 409) {
        return Err(format!("cannot make the network {NETWORK}: {}", message(&answer)));
    }
    let made = answer.get("Id").and_then(Value::as_str);
    let Some(id) = oldest(engine).await? else {
        return Err(format!("the network {NETWORK} is gone again; is somebody else removing it?"));
    };
    if let Some(made) = made.filter(|made| *made != id) {
        // It stays only when the engine does not let it go; by its id the other one is found all the same.
        engine.request("DELETE", &format!("/networks/{made}"), None).await?;
    }
    Ok(id)
}

async fn oldest(engine: &UnixHttp) -> Result<Option<String>, String> {
    let filters = json!({ "name": [NETWORK] }).to_string();
    let found = engine.get(&format!("/networks?filters={}", encode(&filters))).await?;
    // The filter matches parts of names too.
    let mut exact: Vec<(&str, &str)> = found
        .as_array()
        .into_iter()
        .flatten()
        .filter(|network| network.get("Name").and_then(Value::as_str) == Some(NETWORK))
        .filter_map(|network| Some((network.get("Created")?.as_str()?, network.get("Id")?.as_str()?)))
        .collect();
    exact.sort_unstable();
    Ok(exact.first().map(|(_, id)| (*id).to_owned()))
}

/// Address of this host by which containers of ours reach it. It may come into being only with the first container.
pub(super) async fn bridge_address(engine: &UnixHttp) -> Option<IpAddr> {
    // Docker's default bridge is always up, and containers of all its networks reach it. Of Podman's networks only
    // those with a container are up, so it must be the one that ours are on.
    let network =
        if is_podman(engine).await.ok()? { ensure(engine).await.ok()? } else { "bridge".to_owned() };
    let found = engine.get(&format!("/networks/{network}")).await.ok()?;
    let subnets = found.pointer("/IPAM/Config").and_then(Value::as_array);
    subnets.into_iter().flatten().find_map(gateway_of)
}

/// What stands in a container's hosts file for this host: Docker replaces `host-gateway` by the right address, older
/// Podman (before 4.7) writes that word as it is, so it gets the address.
pub(super) async fn host_for_containers(engine: &UnixHttp) -> Result<String, String> {
    const KEYWORD: &str = "host-gateway";
    if !is_podman(engine).await? {
        return Ok(KEYWORD.to_owned());
    }
    Ok(bridge_address(engine).await.map_or_else(|| KEYWORD.to_owned(), |address| address.to_string()))
}

/// Is the hub that containers dial by this name on this host? It is when the host itself dials it by another, and when its name
/// stands for this host here.
pub(super) async fn is_here(gateway: &str, host_gateway: &str) -> bool {
    if gateway != host_gateway {
        return true;
    }
    let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((gateway, 0))).await;
    // Only an address of this host can be listened on.
    let own = |address: SocketAddr| UdpSocket::bind((address.ip(), 0)).is_ok();
    found.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.any(own)))
}

async fn is_podman(engine: &UnixHttp) -> Result<bool, String> {
    let version = engine.get("/version").await?;
    let components = version.get("Components").and_then(Value::as_array);
    let mut names = components.into_iter().flatten().filter_map(|component| component.get("Name")?.as_str());
    Ok(names.any(|name| name.contains("Podman")))
}

/// The host's address in one subnet of a network: as the engine says, else the first of the subnet, which is what
/// engines take (a Docker that made its bridge itself does not say).
fn gateway_of(subnet: &Value) -> Option<IpAddr> {
    let text = |name: &str| subnet.get(name).and_then(Value::as_str);
    if let Some(gateway) = text("Gateway").and_then(|gateway| gateway.parse().ok()) {
        return Some(gateway);
    }
    let network: Ipv4Addr = text("Subnet")?.split('/').next()?.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(network).checked_add(1)?).into())
}

#[cfg(test)]
mod tests {
    use super::is_here;

    #[tokio::test]
    async fn where_the_hub_is() {
        assert!(is_here("gateway.hemline.internal", "127.0.0.1").await, "dialled by another name");
        assert!(is_here("localhost", "localhost").await);
        assert!(!is_here("192.0.2.1", "192.0.2.1").await, "elsewhere");
        assert!(!is_here("hub.invalid", "hub.invalid").await, "nobody knows it");
    }
}
