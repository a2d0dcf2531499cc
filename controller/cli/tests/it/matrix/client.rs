//! The rows of the matrix: who connects, as what, and over which transport.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::script::program;

/// The edge device that all module rows belong to.
pub(super) const EDGE: &str = "edge";

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) transport: Transport,
}

/// A library or tool, as its registry has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Python,
    PythonAsyncio,
    Node,
    Java,
    Paho,
    Mosquitto,
}

/// What the client is to the hub, and how it learns who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A device with a connection string.
    Device,
    /// A module with a connection string.
    Module,
    /// A module that `hem up` starts and that reads everything from its environment and the workload API.
    Edge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Mqtt,
    WebSocket,
    Http,
}

const fn row(kind: Kind, place: Place, transport: Transport) -> Client {
    Client { kind, place, transport }
}

/// All rows, in the order of the table.
pub(super) const CLIENTS: [Client; 23] = {
    use Kind::{Java, Mosquitto, Node, Paho, Python, PythonAsyncio};
    use Place::{Device, Edge, Module};
    use Transport::{Http, Mqtt, WebSocket};
    [
        row(Python, Device, Mqtt),
        row(Python, Device, WebSocket),
        row(Python, Module, Mqtt),
        row(Python, Module, WebSocket),
        row(Python, Edge, Mqtt),
        row(PythonAsyncio, Device, Mqtt),
        row(PythonAsyncio, Device, WebSocket),
        row(PythonAsyncio, Module, Mqtt),
        row(PythonAsyncio, Module, WebSocket),
        row(PythonAsyncio, Edge, WebSocket),
        row(Node, Device, Mqtt),
        row(Node, Device, WebSocket),
        row(Node, Device, Http),
        row(Node, Module, Mqtt),
        row(Node, Module, WebSocket),
        row(Node, Edge, Mqtt),
        row(Java, Device, Mqtt),
        row(Java, Module, Mqtt),
        row(Java, Edge, Mqtt),
        row(Paho, Device, Mqtt),
        row(Paho, Device, WebSocket),
        row(Paho, Module, Mqtt),
        row(Mosquitto, Device, Mqtt),
    ]
};

impl Client {
    /// Its name in the table.
    pub(super) fn title(self) -> String {
        let kind = match self.kind {
            Kind::Python => "Python azure-iot-device 2.14",
            Kind::PythonAsyncio => "Python azure-iot-device 2.14, asyncio",
            Kind::Node => "Node azure-iot-device 1.18",
            Kind::Java => "Java iot-device-client 2.5",
            Kind::Paho => "paho-mqtt 2.1, by hand",
            Kind::Mosquitto => "mosquitto_sub, _pub, _rr, by hand",
        };
        let place = match self.place {
            Place::Device => "device",
            Place::Module => "module",
            Place::Edge => "module, edge environment",
        };
        format!("{kind} · {place} · {}", self.transport.title())
    }

    /// Its id in the hub: of a device, or of a module on `EDGE`.
    pub(super) fn id(self) -> String {
        let kind = match self.kind {
            Kind::Python => "python",
            Kind::PythonAsyncio => "asyncio",
            Kind::Node => "node",
            Kind::Java => "java",
            Kind::Paho => "paho",
            Kind::Mosquitto => "mosquitto",
        };
        let place = match self.place {
            Place::Device => "device",
            Place::Module => "module",
            Place::Edge => "edge",
        };
        format!("{kind}-{place}-{}", self.transport.word())
    }

    /// Device id, and module id.
    pub(super) fn identity(self) -> (String, Option<String>) {
        match self.place {
            Place::Device => (self.id(), None),
            Place::Module | Place::Edge => (EDGE.to_owned(), Some(self.id())),
        }
    }

    /// The program and its arguments; None when its part is not here.
    pub(super) fn command(self, parts: &Parts, ca: &Path, connection: Option<&str>) -> Option<Vec<String>> {
        let script = |name: &str| program("matrix").join(name).display().to_string();
        let python =
            |python: &Path, name: &str| vec![python.display().to_string(), "-u".to_owned(), script(name)];
        let mut command = match self.kind {
            Kind::Python | Kind::PythonAsyncio => python(parts.python.as_ref()?, "azure_python.py"),
            Kind::Paho => python(parts.paho.as_ref()?, "with_paho.py"),
            Kind::Mosquitto => {
                python(parts.python.as_ref().filter(|_| parts.mosquitto)?, "with_mosquitto.py")
            }
            Kind::Node => {
                parts.npm.as_ref()?;
                vec!["node".to_owned(), script("azure_node.mjs")]
            }
            Kind::Java => {
                let jars = format!("{}/*", parts.java.as_ref()?.display());
                // A client is mostly waiting; a collector with threads of its own for each would not help.
                let frugal = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"].map(str::to_owned);
                let program = ["-cp".to_owned(), jars, script("java/Matrix.java")];
                [vec!["java".to_owned()], frugal.into(), program.into()].concat()
            }
        };
        let mut config = json!({"transport": self.transport.word(), "ca": ca});
        if self.kind == Kind::PythonAsyncio {
            config["style"] = json!("aio");
        } else {
            config["style"] = json!("sync");
        }
        if let Some(connection) = connection {
            config["connection"] = Value::from(connection);
        }
        command.push(config.to_string());
        Some(command)
    }
}

impl Transport {
    fn title(self) -> &'static str {
        match self {
            Self::Mqtt => "MQTT",
            Self::WebSocket => "MQTT over WebSocket",
            Self::Http => "HTTPS",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::WebSocket => "websocket",
            Self::Http => "http",
        }
    }
}

/// What of the clients this machine has.
pub(super) struct Parts {
    /// An interpreter with the Azure SDK.
    python: Option<PathBuf>,
    /// An interpreter with paho-mqtt 2; the Azure SDK wants 1.
    paho: Option<PathBuf>,
    /// A folder with packages of npm.
    pub(super) npm: Option<PathBuf>,
    /// A folder of jars.
    java: Option<PathBuf>,
    mosquitto: bool,
}

impl Parts {
    /// Looks for all of them; each that is missing is said.
    pub(super) fn find() -> Self {
        let prepared = |part: &str, variable: &str| {
            let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
            let there = hemline_testkit::require(part, path.is_some(), "run `cargo xtask test`");
            path.filter(|_| there)
        };
        let tools = ["mosquitto_sub", "mosquitto_pub", "mosquitto_rr"];
        let mosquitto = tools.iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
        Self {
            python: crate::script::python(),
            paho: prepared("paho-mqtt", "HEM_TEST_PAHO"),
            npm: crate::readers::npm(),
            java: prepared("azure sdk for java", "HEM_TEST_JAVA"),
            mosquitto: hemline_testkit::require("mosquitto", mosquitto, "apt-get install mosquitto-clients"),
        }
    }
}
