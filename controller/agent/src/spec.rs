//! From a desired module to what a runtime needs and what a decision needs. Pure.
//!
//! Here the environment of modules is put together (reference edge-runtime §3.8, device-protocol §2.2) and the spec hash
//! is taken. Not here: reading the twin (`model::edge`), the ContainerCreate body (`runtime/docker/body.rs`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hemline_model::Secret;
use hemline_model::edge::{
    AgentDesired, AgentModule, EnvEntry, ImagePullPolicy, ModuleSettings, ModuleStatus,
    RegistryCredential as Login,
};
use serde_json::{Value, json};

use crate::{
    decide::{Goal, Wanted, spec_hash::spec_hash},
    module::{
        ContainerSpec, Identity, ModuleKey, ModuleKind, ModuleSpec, ProcessSpec, PullPolicy,
        RegistryCredential, SpecBody, network_mode,
    },
    secrets::Values,
};

/// Version of the workload API that modules are told (reference edge-runtime §4).
pub const WORKLOAD_API_VERSION: &str = "2022-08-03";

/// Where a container finds its workload socket.
const CONTAINER_SOCKET: &str = "/var/run/iotedge/workload.sock";

/// What all modules of a device have in common.
#[derive(Debug, Clone)]
pub struct Site {
    /// Device id.
    pub device: String,
    /// Name of the hub.
    pub hub: String,
    /// Host that process modules dial.
    pub gateway: String,
    /// Host that containers dial.
    pub container_gateway: String,
    /// MQTT port there. SDKs know 8883 only; another one is told to our own client by [`MQTT_PORT`].
    pub mqtt_port: u16,
}

impl Site {
    fn gateway_of(&self, module: &AgentModule) -> &str {
        match &module.settings {
            ModuleSettings::Docker(_) => &self.container_gateway,
            ModuleSettings::Process(_) => &self.gateway,
        }
    }
}

/// Variable that names the MQTT port when it is not 8883.
pub const MQTT_PORT: &str = "HEM_GATEWAY_MQTT_PORT";

/// What belongs to one module and stands in no document.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Its identity in the hub.
    pub identity: &'a Identity,
    /// Its workload socket on the host.
    pub socket: &'a Path,
    /// The secrets that it wants.
    pub secrets: &'a Values,
}

/// Builds one module from its desired settings and what is its own.
#[must_use]
pub fn build(
    site: &Site,
    desired: &AgentDesired,
    name: &str,
    module: &AgentModule,
    own: Own<'_>,
) -> (Wanted, ModuleSpec) {
    let Own { identity, socket, secrets } = own;
    let kind = match &module.settings {
        ModuleSettings::Docker(_) => ModuleKind::Docker,
        ModuleSettings::Process(_) => ModuleKind::Process,
    };
    let key = ModuleKey { kind, name: name.to_owned() };
    let workload = match kind {
        ModuleKind::Docker => format!("unix://{CONTAINER_SOCKET}"),
        ModuleKind::Process => format!("unix://{}", socket.display()),
    };
    let hash = hash(site, name, module, own);
    let pull = match module.image_pull_policy {
        ImagePullPolicy::OnCreate => PullPolicy::OnCreate,
        ImagePullPolicy::Never => PullPolicy::Never,
    };
    let wanted = Wanted {
        key: key.clone(),
        hash: hash.clone(),
        goal: match module.status {
            ModuleStatus::Running => Goal::Running,
            ModuleStatus::Stopped => Goal::Stopped,
        },
        policy: module.restart_policy.into(),
        order: module.startup_order.unwrap_or(u32::MAX),
        pull,
    };
    let env = environment(site, name, module, identity, &workload);
    let body = body(site, desired, module, pull, socket);
    // Configurations whose checks are not sound are refused when they are read.
    let health = module.health.as_ref().and_then(|health| health.check().ok());
    (
        wanted,
        ModuleSpec {
            key,
            hash,
            traits: BTreeMap::new(),
            env,
            secret_env: secret_env(module, secrets),
            health,
            body,
        },
    )
}

fn body(
    site: &Site,
    desired: &AgentDesired,
    module: &AgentModule,
    pull: PullPolicy,
    socket: &Path,
) -> SpecBody {
    match &module.settings {
        ModuleSettings::Docker(docker) => SpecBody::Container(ContainerSpec {
            image: docker.image.clone(),
            create_options: docker.create_options.clone(),
            pull,
            credential: credential(&docker.image, desired.runtime.settings.registry_credentials.values()),
            socket_dir: socket.parent().map(Path::to_owned).unwrap_or_default(),
            gateway: site.container_gateway.clone(),
            host_gateway: site.gateway.clone(),
        }),
        ModuleSettings::Process(process) => SpecBody::Process(ProcessSpec {
            command: process.command.clone(),
            working_directory: process.working_directory.as_ref().map(PathBuf::from),
            limits: process.limits.unwrap_or_default(),
        }),
    }
}

/// Everything whose change means that the module has to be made anew: what it runs and with which environment, and what
/// it was told about its identity and its hub. What only the agent acts on (`status`, `restartPolicy`, `startupOrder`,
/// `imagePullPolicy`, `health`) changes live, as plans say; IoT Edge recreates for most of it (reference edge-runtime §3.3).
fn hash(site: &Site, name: &str, module: &AgentModule, own: Own<'_>) -> String {
    let Own { identity, socket, secrets } = own;
    let settings = match &module.settings {
        ModuleSettings::Docker(docker) => json!({
            "type": "docker",
            "image": docker.image.trim(),
            "createOptions": docker.create_options,
            "digest": docker.digest,
        }),
        ModuleSettings::Process(process) => json!({ "type": "process", "process": process }),
    };
    let gateway = match &module.settings {
        // Its hosts file says where that is.
        ModuleSettings::Docker(docker) if network_mode(&docker.create_options) == Some("host") => {
            format!("{} at {}", site.container_gateway, site.gateway)
        }
        ModuleSettings::Docker(_) | ModuleSettings::Process(_) => site.gateway_of(module).to_owned(),
    };
    let env: serde_json::Map<String, Value> =
        module.env.iter().map(|(name, entry)| (name.clone(), Value::String(entry.as_text()))).collect();
    // Another value means another module; of the values themselves only this hash leaves the device.
    let secret: Vec<(String, &str)> = secrets
        .iter()
        .map(|(secret, value)| (format!("{}/{}", secret.name, secret.key), value.expose()))
        .collect();
    let secret = (!secret.is_empty()).then(|| spec_hash(&json!(secret)));
    spec_hash(&json!({
        "name": name,
        "version": module.version.as_deref().unwrap_or_default(),
        "settings": settings,
        "env": env,
        "secrets": secret,
        "generationId": identity.generation_id,
        "hub": site.hub,
        "gateway": gateway,
        "mqttPort": site.mqtt_port,
        "socket": socket.display().to_string(),
    }))
}

/// The manifest's variables, then the injected ones, which win.
fn environment(
    site: &Site,
    name: &str,
    module: &AgentModule,
    identity: &Identity,
    workload: &str,
) -> Vec<(String, String)> {
    let injected = [
        ("IOTEDGE_WORKLOADURI", workload),
        ("IOTEDGE_AUTHSCHEME", "sasToken"),
        ("IOTEDGE_MODULEGENERATIONID", &identity.generation_id),
        ("IOTEDGE_IOTHUBHOSTNAME", &site.hub),
        ("IOTEDGE_GATEWAYHOSTNAME", site.gateway_of(module)),
        ("IOTEDGE_DEVICEID", &site.device),
        ("IOTEDGE_MODULEID", name),
        ("IOTEDGE_APIVERSION", WORKLOAD_API_VERSION),
    ];
    let mut env: Vec<(String, String)> = module
        .env
        .iter()
        .filter(|(name, _)| injected.iter().all(|(reserved, _)| reserved != name))
        .filter(|(_, entry)| entry.secret_ref.is_none())
        .map(|(name, entry)| (name.clone(), entry.as_text()))
        .collect();
    if !module.env.contains_key("RuntimeLogLevel") {
        env.push(("RuntimeLogLevel".to_owned(), "Information".to_owned()));
    }
    if site.mqtt_port != 8883 {
        env.push((MQTT_PORT.to_owned(), site.mqtt_port.to_string()));
    }
    env.extend(injected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env
}

/// Variables whose values only the device knows.
fn secret_env(module: &AgentModule, secrets: &Values) -> Vec<(String, Secret)> {
    let one = |(name, entry): (&String, &EnvEntry)| {
        let value = secrets.get(entry.secret_ref.as_ref()?)?;
        Some((name.clone(), value.clone()))
    };
    module.env.iter().filter_map(one).collect()
}

/// The login for an image's registry (reference edge-runtime §1.4.3).
fn credential<'a>(image: &str, logins: impl Iterator<Item = &'a Login>) -> Option<RegistryCredential> {
    let registry = registry(image)?;
    let mut matching = logins.filter(|login| login.address.trim().eq_ignore_ascii_case(registry));
    matching.next().map(|login| RegistryCredential {
        address: login.address.clone(),
        username: login.username.clone(),
        password: login.password.clone(),
    })
}

/// The first component when it looks like a host; the engine's public registry when there are several components.
fn registry(image: &str) -> Option<&str> {
    let (first, _) = image.split_once('/')?;
    if first.contains(['.', ':']) { Some(first) } else { Some("docker.io") }
}

#[cfg(test)]
mod tests {
    use hemline_model::edge::SecretKeyRef;

    use super::*;

    fn desired(module: &Value) -> AgentDesired {
        let section = json!({
            "schemaVersion": "1.1",
            "runtime": {"type": "docker", "settings": {"registryCredentials": {
                "r1": {"username": "u", "password": "p", "address": "registry.example:5000"}}}},
            "modules": {"m": module},
        });
        AgentDesired::parse(section.as_object().unwrap()).unwrap()
    }

    fn built(module: &Value, generation: &str) -> (Wanted, ModuleSpec) {
        let desired = desired(module);
        let site = Site {
            device: "press-07".into(),
            hub: "hub.local".into(),
            gateway: "127.0.0.1".into(),
            container_gateway: "gateway.local".into(),
            mqtt_port: 8883,
        };
        let identity = Identity { generation_id: generation.into(), key: Secret::new("a2V5") };
        let secrets = Values::from([(
            SecretKeyRef { name: "cam".into(), key: "token".into() },
            Secret::new(generation.replace('g', "value ")),
        )]);
        let module = &desired.modules["m"];
        let secrets =
            if module.env.values().any(|entry| entry.secret_ref.is_some()) { secrets } else { Values::new() };
        let socket = Path::new("/run/hem/m/workload.sock");
        build(&site, &desired, "m", module, Own { identity: &identity, socket, secrets: &secrets })
    }

    #[test]
    fn secrets_reach_the_module_and_its_hash_only() {
        let mut module = docker("{}");
        module["env"]["TOKEN"] = json!({"secretRef": {"name": "cam", "key": "token"}});
        let (wanted, spec) = built(&module, "g1");
        assert!(spec.whole_env().contains(&("TOKEN".to_owned(), "value 1".to_owned())));
        assert!(!format!("{spec:?}").contains("value 1"), "{spec:?}");
        assert_ne!(wanted.hash, built(&module, "g2").0.hash);
    }

    fn docker(options: &str) -> Value {
        json!({"type": "docker", "status": "running", "restartPolicy": "always",
            "env": {"A": {"value": 1}, "IOTEDGE_DEVICEID": {"value": "forged"}},
            "settings": {"image": "registry.example:5000/camera:1", "createOptions": options}})
    }

    #[test]
    fn container_module() {
        let (wanted, spec) = built(&docker(r#"{"HostConfig":{"Memory":1}}"#), "g1");
        insta::assert_debug_snapshot!((wanted, spec));
    }

    #[test]
    fn order_of_keys_and_status_do_not_change_the_hash() {
        let one = built(&docker(r#"{"A":1,"B":{"C":2,"D":3}}"#), "g1").0.hash;
        let same = built(&docker(r#" {"B":{"D":3,"C":2},"A":1} "#), "g1").0.hash;
        assert_eq!(one, same);
        for (member, value) in [
            ("status", json!("stopped")),
            ("restartPolicy", json!("never")),
            ("startupOrder", json!(1)),
            ("imagePullPolicy", json!("never")),
        ] {
            let mut live = docker(r#"{"A":1,"B":{"C":2,"D":3}}"#);
            live[member] = value;
            assert_eq!(one, built(&live, "g1").0.hash, "{member}");
        }
        for (member, value) in [("version", json!("2")), ("env", json!({}))] {
            let mut other = docker(r#"{"A":1,"B":{"C":2,"D":3}}"#);
            other[member] = value;
            assert_ne!(one, built(&other, "g1").0.hash, "{member}");
        }
        assert_ne!(one, built(&docker(r#"{"A":1,"B":{"C":2,"D":3}}"#), "g2").0.hash);
    }

    #[test]
    fn process_module() {
        let module = json!({"type": "process", "status": "stopped", "restartPolicy": "never", "startupOrder": 3,
            "settings": {"command": ["hem", "demo", "sensor"], "limits": {"memoryBytes": 1000}}});
        let (wanted, spec) = built(&module, "g1");
        insta::assert_debug_snapshot!((wanted, spec));
    }

    #[test]
    fn registry_of_an_image() {
        for (image, expected) in [
            ("camera", None),
            ("team/camera", Some("docker.io")),
            ("registry.example/camera", Some("registry.example")),
            ("localhost:5000/team/camera:1", Some("localhost:5000")),
        ] {
            assert_eq!(registry(image), expected, "{image}");
        }
    }
}
