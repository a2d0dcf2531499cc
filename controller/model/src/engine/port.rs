//! Ports that a container takes from its host.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::{escape, host, member};

/// One published port, or one range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Pointer of the value inside the body that says the host port.
    pub pointer: String,
    /// First and last port of the host.
    pub ports: (u16, u16),
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Address of the host; `None` for all of them.
    pub address: Option<IpAddr>,
}

impl Published {
    /// Would the host refuse to give out both?
    #[must_use]
    pub fn clashes(&self, other: &Self) -> bool {
        let addresses = match (self.address, other.address) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        // A range is a choice, of which the engine takes a free port.
        let fixed = self.ports.0 == self.ports.1 && self.ports == other.ports;
        addresses && fixed && self.protocol == other.protocol
    }
}

/// The ports that the body publishes at fixed numbers. What is malformed is left out; [`super::problems`] says so.
#[must_use]
pub fn published(body: &Map<String, Value>) -> Vec<Published> {
    let mut found = Vec::new();
    let host_network = host(body, "NetworkMode").is_some_and(|(_, mode)| mode.as_str() == Some("host"));
    let Some((at, bindings)) = host(body, "PortBindings").filter(|_| !host_network) else { return found };
    for (key, entries) in bindings.as_object().into_iter().flatten() {
        let protocol = key.split_once('/').map_or("tcp", |(_, protocol)| protocol).to_ascii_lowercase();
        for (index, entry) in entries.as_array().into_iter().flatten().enumerate() {
            let Some(entry) = entry.as_object() else { continue };
            let Some((name, Value::String(port))) = member(entry, "HostPort") else { continue };
            let Some(ports) = range(port).filter(|ports| ports.0 != 0) else { continue };
            let address = member(entry, "HostIp").and_then(|(_, address)| address.as_str());
            let address =
                address.and_then(|text| text.parse::<IpAddr>().ok()).filter(|ip| !ip.is_unspecified());
            let pointer = format!("{at}/{}/{index}/{}", escape(key), escape(name));
            found.push(Published { pointer, ports, protocol: protocol.clone(), address });
        }
    }
    found
}

/// `80` or `8000-8010`.
#[must_use]
pub fn range(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

fn number(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What is wrong with a key such as `80/tcp`. `ranges` tells whether `80-90/tcp` will do.
pub(super) fn wrong_key(key: &str, ranges: bool) -> Option<String> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol.to_ascii_lowercase().as_str()) {
        return Some(format!("{key:?} has no known protocol; write it like 80/tcp, with tcp, udp or sctp"));
    }
    match range(port) {
        Some((first, last)) if first != 0 && (ranges || first == last) => None,
        Some((0, _)) => Some(format!("{key:?} names port 0; a container's port is 1 to 65535")),
        Some(_) => Some(format!("{key:?} is a range; write each port of the container by itself")),
        None if port.contains(':') => {
            Some(format!("{key:?} is not the container's port; the host's port is said by HostPort below it"))
        }
        None => Some(format!("{key:?} is no port; write it like 80/tcp")),
    }
}
