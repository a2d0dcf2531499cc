//! Who takes part: how a client logs in, and what it listens to. Pure.

use hemline_model::id::ClientId;
use hemline_protocol::{
    sas::{SasToken, SymmetricKey},
    topic,
    username::API_VERSION,
};
use jiff::Timestamp;

/// One client.
#[derive(Clone)]
pub(crate) struct Actor {
    /// MQTT client id.
    pub(crate) client: String,
    /// User name and password.
    pub(crate) login: Option<(String, String)>,
    /// Does the server forget it when it goes?
    pub(crate) clean: bool,
    /// What it subscribes to, in one packet.
    pub(crate) filters: Vec<String>,
    /// Whom it plays.
    pub(crate) role: Role,
}

/// What a client does with messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// A device or module of a hub: tells of desired properties, answers methods.
    Hub(ClientId),
    /// A client of a broker.
    Broker,
}

impl Actor {
    /// A device or module of a hub, with a token that its key signs. Its session is kept, as the SDKs want it.
    pub(crate) fn of_hub(hub: &str, client: &ClientId, key: &SymmetricKey, expiry: Timestamp) -> Self {
        let (resource, user) = match &client.module {
            None => (format!("{hub}/devices/{}", client.device), format!("{hub}/{}", client.device)),
            Some(module) => (
                format!("{hub}/devices/{}/modules/{module}", client.device),
                format!("{hub}/{}/{module}", client.device),
            ),
        };
        let user = format!("{user}/?api-version={API_VERSION}");
        Self {
            client: client.to_string(),
            login: Some((user, SasToken::sign(key, &resource, expiry, None))),
            clean: false,
            filters: Vec::new(),
            role: Role::Hub(client.clone()),
        }
    }

    /// A client of a broker that asks for no proof, or for the same from all.
    pub(crate) fn of_broker(client: String, login: Option<(String, String)>) -> Self {
        Self { client, login, clean: true, filters: Vec::new(), role: Role::Broker }
    }

    /// With these subscriptions.
    pub(crate) fn listening_to(mut self, filters: impl IntoIterator<Item = String>) -> Self {
        self.filters = filters.into_iter().collect();
        self
    }
}

/// What a device of a hub subscribes to while it has nothing to do.
pub(crate) fn device_filters() -> [String; 3] {
    [topic::TWIN_RESPONSES, topic::DESIRED_PATCHES, topic::METHODS].map(str::to_owned)
}

/// As many filters of a broker, of the same length.
pub(crate) fn broker_filters(client: &str) -> [String; 3] {
    ["answers", "properties/changed", "calls"].map(|what| format!("load/{client}/{what}/#"))
}

#[cfg(test)]
mod tests {
    use hemline_model::id::{DeviceId, ModuleId};

    use super::*;

    #[test]
    fn a_module_says_who_it_is() {
        let client = ClientId::module(DeviceId::new("d").unwrap(), ModuleId::new("m").unwrap());
        let key = SymmetricKey::from_bytes(vec![7; 32]).unwrap();
        let actor = Actor::of_hub("hub.local", &client, &key, Timestamp::from_second(2_000_000_000).unwrap());
        let (user, password) = actor.login.unwrap();
        assert_eq!((actor.client.as_str(), user.as_str()), ("d/m", "hub.local/d/m/?api-version=2021-04-12"));
        let token = SasToken::parse(&password).unwrap();
        assert!(token.verify(&key) && token.resource().covers(&["devices", "d", "modules", "m"]));
        assert!(!token.resource().covers(&["devices", "d"]));
    }
}
