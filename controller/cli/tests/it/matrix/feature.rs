//! The columns of the matrix, and which of them a client cannot have by its nature.

use super::client::{Client, Kind, Place, Transport};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    Connect,
    TwinGet,
    Reported,
    Desired,
    Method,
    Telemetry,
    CloudToDevice,
    InputOutput,
    Upload,
    Reconnect,
    Renewal,
    Restart,
}

/// In the order of the table, which is also the order of trying.
pub(super) const FEATURES: [Feature; 12] = [
    Feature::Connect,
    Feature::TwinGet,
    Feature::Reported,
    Feature::Desired,
    Feature::Method,
    Feature::Telemetry,
    Feature::CloudToDevice,
    Feature::InputOutput,
    Feature::Upload,
    Feature::Reconnect,
    Feature::Renewal,
    Feature::Restart,
];

impl Feature {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::TwinGet => "twin get",
            Self::Reported => "reported",
            Self::Desired => "desired push",
            Self::Method => "method",
            Self::Telemetry => "telemetry",
            Self::CloudToDevice => "cloud to device",
            Self::InputOutput => "input, output",
            Self::Upload => "file upload",
            Self::Reconnect => "reconnect",
            Self::Renewal => "token renewal",
            Self::Restart => "hub restart",
        }
    }

    /// Why this client does not have it, whatever the hub does.
    pub(super) fn absent(self, client: Client) -> Option<&'static str> {
        let http = client.transport == Transport::Http;
        let module = client.place != Place::Device;
        match self {
            Self::TwinGet | Self::Reported | Self::Desired | Self::Method if http => {
                Some("the SDK has twins and methods over connections only")
            }
            Self::Reconnect if http => Some("each request is a connection of its own"),
            Self::Method if client.kind == Kind::Mosquitto => {
                Some("an answer must come by the connection of its call, and each tool has its own")
            }
            Self::CloudToDevice if module => Some("for devices only, as in IoT Hub"),
            Self::InputOutput if !module => Some("for modules only"),
            Self::Upload if module => Some("the SDKs have it for devices only"),
            Self::Upload if matches!(client.kind, Kind::Paho | Kind::Mosquitto) => {
                Some("needs HTTPS; the library speaks MQTT only")
            }
            Self::Renewal if client.kind == Kind::Java && client.place == Place::Edge => {
                Some("the SDK signs for an hour there, whatever it is told")
            }
            Self::Connect
            | Self::TwinGet
            | Self::Reported
            | Self::Desired
            | Self::Method
            | Self::Telemetry
            | Self::CloudToDevice
            | Self::InputOutput
            | Self::Upload
            | Self::Reconnect
            | Self::Renewal
            | Self::Restart => None,
        }
    }

    /// What to know of it where it works.
    pub(super) fn remark(self, client: Client) -> Option<&'static str> {
        match self {
            Self::Telemetry if client.transport == Transport::Http => {
                Some("properties are headers: no unicode, no `?#&/` in names, no missing values")
            }
            Self::Telemetry if client.kind == Kind::Java => {
                Some("the SDK leaves out properties with an empty value, and has no missing ones")
            }
            Self::Telemetry if !client.can_say(Property::Missing) => {
                Some("all kinds of properties but a missing value, which the SDK cannot send")
            }
            Self::TwinGet | Self::Reported if client.kind == Kind::Java => Some(
                "now and then the SDK loses the answer between two threads of its own; the program asks again",
            ),
            Self::InputOutput if client.kind == Kind::Java && client.place == Place::Module => {
                Some("with `GatewayHostName` in its connection string; the SDK has no inputs otherwise")
            }
            Self::Restart if client.kind == Kind::Java && client.place == Place::Edge => {
                Some("the SDK gives up while the workload API is away; the program opens the client again")
            }
            Self::Restart if client.kind == Kind::Mosquitto => {
                Some("mosquitto_sub ends with a connection that breaks, and is started again")
            }
            Self::Renewal if matches!(client.kind, Kind::Java | Kind::Paho | Kind::Mosquitto) => {
                Some("comes back with a new token when the hub has closed the connection of the old one")
            }
            _ => None,
        }
    }
}

/// A kind of application property that has broken somebody's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    Unicode,
    Plus,
    Percent,
    Dollar,
    Reserved,
    Empty,
    Missing,
}

pub(super) const PROPERTIES: [Property; 7] = [
    Property::Unicode,
    Property::Plus,
    Property::Percent,
    Property::Dollar,
    Property::Reserved,
    Property::Empty,
    Property::Missing,
];

impl Property {
    /// Name and value; the kind is in both where it can be.
    pub(super) fn pair(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Unicode => ("größe", Some("Ünï ✓ 漢字")),
            Self::Plus => ("a+b", Some("1 + 1 = 2")),
            Self::Percent => ("100%", Some("50%25")),
            Self::Dollar => ("cash$", Some("$HOME")),
            Self::Reserved => ("q?#&/", Some("?a=b&c/d#e")),
            Self::Empty => ("empty", Some("")),
            Self::Missing => ("missing", None),
        }
    }
}

impl Client {
    /// Can it send such a property?
    pub(super) fn can_say(self, property: Property) -> bool {
        match property {
            Property::Unicode | Property::Reserved => self.transport != Transport::Http,
            Property::Missing => matches!(self.kind, Kind::Paho | Kind::Mosquitto),
            Property::Empty => self.kind != Kind::Java,
            Property::Plus | Property::Percent | Property::Dollar => true,
        }
    }
}
