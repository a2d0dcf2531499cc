//! Modules as containers of a Docker-compatible engine (Docker, Podman) over its unix socket.
//!
//! bollard is used here and below only. Creating and looking go as raw JSON (`unix_http.rs`): typed bodies would drop
//! what an author wrote in createOptions, and would refuse states that another engine invents.

mod body;
mod hands;
mod image;
mod inspect;
mod logs;
mod mend;
mod network;
mod probe;
mod socket;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use bollard::{
    Docker,
    query_parameters::{
        EventsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
        StopContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::{OnceCell, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Discarded, LogLine, LogQuery, Pulled, Removed, Runtime, RuntimeError, RuntimeEvent, Started, Stopped,
    Verdict,
};
use hands::Hands;

use crate::{
    module::{ContainerSpec, IMAGE, ModuleKey, ModuleKind, ModuleSpec, Probe, Seen, SpecBody},
    unix_http::{UnixHttp, encode, message},
};

/// Seconds between SIGTERM and SIGKILL, as for processes.
const GRACE_SECONDS: i32 = 10;

/// For one request to the engine; engines under load take long to start a container.
const DEADLINE_SECONDS: u64 = 120;

/// Between attempts to follow the engine's events: doubling from the first to the second while it does not last.
const EVENTS_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Whose containers these are. Several agents may share one engine.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Device id.
    pub device: String,
    /// Hub name.
    pub hub: String,
}

impl Owner {
    fn labels(&self) -> Vec<String> {
        vec![
            format!("{}={}", body::OWNER_LABEL, body::OWNER),
            format!("{}={}", body::DEVICE_LABEL, self.device),
            format!("{}={}", body::HUB_LABEL, self.hub),
        ]
    }
}

/// How long an engine may take to name its bridge address: whoever asks has not started yet.
const BRIDGE_DEADLINE: Duration = Duration::from_secs(1);

/// Address of this host by which containers reach it, perhaps before it exists (see `network`); none when no engine
/// answers within a second. `socket` as in [`DockerRuntime::new`].
pub async fn bridge_address(socket: Option<&str>) -> Option<IpAddr> {
    let engine = UnixHttp::new(socket::find(socket).ok()?);
    tokio::time::timeout(BRIDGE_DEADLINE, network::bridge_address(&engine)).await.ok().flatten()
}

/// What is known of an engine that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Name and version, as `Docker Engine 28.2.2`.
    pub version: String,
    /// Log driver of containers that name none.
    pub logging: String,
    /// Its socket.
    pub socket: String,
}

/// Asks the engine that modules would run on. `socket` as for [`DockerRuntime::new`].
///
/// # Errors
/// In words, when there is none or it does not answer like one.
pub async fn engine_facts(socket: Option<&str>) -> Result<EngineFacts, String> {
    let socket = socket::find(socket)?;
    let engine = UnixHttp::new(socket.clone());
    let socket = socket.display().to_string();
    let asked = async { Ok::<_, String>((engine.get("/version").await?, engine.get("/info").await?)) };
    let (version, info) = tokio::time::timeout(BRIDGE_DEADLINE, asked)
        .await
        .map_err(|_| format!("{socket} does not answer"))?
        .map_err(|error| format!("{socket} does not answer like a container engine: {error}"))?;
    let text = |value: &Value, pointer: &str| {
        value.pointer(pointer).and_then(Value::as_str).unwrap_or("unknown").to_owned()
    };
    let name = text(&version, "/Components/0/Name");
    let number = text(&version, "/Version");
    Ok(EngineFacts { version: format!("{name} {number}"), logging: text(&info, "/LoggingDriver"), socket })
}

/// Runs modules as containers.
pub struct DockerRuntime {
    owner: Owner,
    configured: Option<String>,
    hands: Hands,
    /// Found when first needed: the engine may be started after the agent. What is known of it then (version, bridge, log
    /// driver) holds until the agent starts again.
    connection: OnceCell<Connection>,
}

#[derive(Clone)]
struct Connection {
    docker: Docker,
    engine: Arc<UnixHttp>,
    /// What a container's hosts file needs to reach this host.
    host: String,
    /// Does the engine write container logs to files without end?
    unbounded_logs: bool,
}

impl DockerRuntime {
    /// Names the engine's socket (`/path` or `unix:///path`); none means to look in the usual places.
    #[must_use]
    pub fn new(owner: Owner, socket: Option<String>) -> Self {
        Self { owner, configured: socket, hands: Hands::default(), connection: OnceCell::new() }
    }

    async fn connection(&self) -> Result<&Connection, RuntimeError> {
        self.connection.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Connection, RuntimeError> {
        let path = socket::find(self.configured.as_deref()).map_err(unavailable)?;
        let text = path.to_string_lossy();
        let docker = Docker::connect_with_unix(&text, DEADLINE_SECONDS, bollard::API_DEFAULT_VERSION)
            .map_err(|error| unavailable(error.to_string()))?
            .negotiate_version()
            .await
            .map_err(|error| {
                unavailable(format!("{text} does not answer like a container engine: {error}"))
            })?;
        tracing::info!(socket = %text, "container engine found");
        let engine = Arc::new(UnixHttp::new(path.clone()));
        let host = network::host_for_containers(&engine).await.map_err(unavailable)?;
        let unbounded_logs = logs::unbounded(&engine).await.map_err(unavailable)?;
        Ok(Connection { docker, engine, host, unbounded_logs })
    }

    async fn ids(&self, module: Option<&str>) -> Result<Vec<String>, RuntimeError> {
        let mut labels = self.owner.labels();
        labels.extend(module.map(|module| format!("{}={module}", body::MODULE_LABEL)));
        let filters = json!({ "label": labels }).to_string();
        let path = format!("/containers/json?all=true&filters={}", encode(&filters));
        let found = self.connection().await?.engine.get(&path).await.map_err(unavailable)?;
        let ids = found.as_array().into_iter().flatten().filter_map(|one| one.get("Id")?.as_str());
        Ok(ids.map(str::to_owned).collect())
    }

    async fn id(&self, name: &str) -> Result<String, RuntimeError> {
        let ids = self.ids(Some(name)).await?;
        ids.into_iter().next().ok_or_else(|| no_such_module(name))
    }

    async fn list_modules(&self) -> Result<Vec<Seen>, RuntimeError> {
        let mut seen = Vec::new();
        let mut names = image::Names::default();
        for id in self.ids(None).await? {
            let answer =
                self.connection().await?.engine.request("GET", &format!("/containers/{id}/json"), None).await;
            let (status, found) = answer.map_err(unavailable)?;
            match status {
                200 => {
                    if let Some(mut module) = inspect::seen(&found) {
                        if let Some(id) = names.id_of(&self.connection().await?.engine, &found).await {
                            module.traits.insert(IMAGE.to_owned(), Value::String(id));
                        }
                        seen.push(self.hands.judge(module));
                    }
                }
                // Removed between the two questions.
                404 => {}
                other => {
                    return Err(unavailable(format!(
                        "looking at container {id} gave {other}: {}",
                        message(&found)
                    )));
                }
            }
        }
        Ok(seen)
    }

    async fn create_module(&self, spec: &ModuleSpec) -> Result<(), RuntimeError> {
        let name = spec.key.name.as_str();
        let container = container(spec)?;
        let connection = self.connection().await?;
        if let Some(id) = self.ids(Some(name)).await?.first() {
            return mend::mend(&connection.engine, id, spec).await;
        }
        let network = if body::needs_network(&container.create_options) {
            Some(
                network::ensure(&connection.engine)
                    .await
                    .map_err(|reason| refused("create", name, reason))?,
            )
        } else {
            None
        };
        // The plain name is what other modules resolve; it may be taken by another device on the same engine.
        let fallback = format!("{name}.{}", body::container_name(&self.owner.device));
        let hub_is_here = network::is_here(&container.gateway, &container.host_gateway).await;
        for candidate in [name, &fallback] {
            let (network, host) = (network.as_deref(), connection.host.as_str());
            let unbounded_logs = connection.unbounded_logs;
            let place = body::Place {
                owner: &self.owner,
                name: candidate,
                network,
                host,
                hub_is_here,
                unbounded_logs,
            };
            let body = body::create_body(spec, container, &place);
            let path = format!("/containers/create?name={}", encode(candidate));
            let (status, answer) =
                connection.engine.request("POST", &path, Some(&body)).await.map_err(unavailable)?;
            match status {
                201 => {
                    for warning in answer.get("Warnings").and_then(Value::as_array).into_iter().flatten() {
                        tracing::warn!(module = name, %warning, "container engine warns about a module");
                    }
                    return Ok(());
                }
                409 if candidate == name => {
                    tracing::info!(module = name, other = %fallback, "container name is taken, using another");
                }
                _ => return Err(refused("create", name, message(&answer))),
            }
        }
        Err(refused("create", name, format!("the names {name} and {fallback} are taken by other containers")))
    }

    async fn start_module(&self, name: &str) -> Result<Started, RuntimeError> {
        let id = self.id(name).await?;
        let connection = self.connection().await?;
        if is_running(&connection.engine, &id).await.map_err(unavailable)? {
            return Ok(Started::Already);
        }
        let started = connection.docker.start_container(&id, None::<StartContainerOptions>).await;
        started.map_err(|error| translate("start", name, &error))?;
        Ok(Started::Now)
    }

    async fn stop_module(&self, name: &str) -> Result<Stopped, RuntimeError> {
        let id = self.id(name).await?;
        let connection = self.connection().await?;
        if !is_running(&connection.engine, &id).await.map_err(unavailable)? {
            return Ok(Stopped::Already);
        }
        let _ours = self.hands.ours(&id);
        let options = StopContainerOptionsBuilder::default().t(GRACE_SECONDS).build();
        let stopped = connection.docker.stop_container(&id, Some(options)).await;
        stopped.map_err(|error| translate("stop", name, &error))?;
        Ok(Stopped::Now)
    }

    async fn remove_module(&self, name: &str) -> Result<Removed, RuntimeError> {
        let mut removed = Removed::Already;
        for id in self.ids(Some(name)).await? {
            let _ours = self.hands.ours(&id);
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            match self.connection().await?.docker.remove_container(&id, Some(options)).await {
                Ok(()) => removed = Removed::Now,
                Err(error) => match translate("remove", name, &error) {
                    RuntimeError::NoSuchModule { .. } => {}
                    other => return Err(other),
                },
            }
        }
        Ok(removed)
    }

    /// Tells of everything that happens until the engine ends the stream.
    async fn follow(&self, sender: &mpsc::Sender<RuntimeEvent>) {
        let Ok(connection) = self.connection().await else { return };
        // What happened while nobody followed is found by the look that this event causes; what happens between that look
        // and the beginning of the stream is told again by the engine.
        let since = Timestamp::now().as_second().saturating_sub(1).to_string();
        drop(sender.try_send(RuntimeEvent { kind: ModuleKind::Docker, module: None }));
        let mut filters = HashMap::new();
        filters.insert("type", vec!["container".to_owned()]);
        filters.insert("label", self.owner.labels());
        let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
        let containers = connection.docker.events(Some(options)).map(|event| (Of::Container, event));
        // Images have no labels of ours: any of them may get a name that a module asks for.
        let filters = HashMap::from([("type", vec!["image".to_owned()])]);
        let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
        let images = connection.docker.events(Some(options)).map(|event| (Of::Image, event));
        let mut events = Box::pin(stream::select(containers, images));
        while let Some((of, Ok(event))) = events.next().await {
            let action = event.action.unwrap_or_default();
            let word = action.split(':').next().unwrap_or_default();
            if of == Of::Image {
                if NAMING.contains(&word) {
                    drop(sender.try_send(RuntimeEvent { kind: ModuleKind::Docker, module: None }));
                }
                continue;
            }
            if OF_INTEREST.contains(&word) {
                let actor = event.actor.unwrap_or_default();
                let attributes = actor.attributes.unwrap_or_default();
                let at = event.time_nano.and_then(|nanos| Timestamp::from_nanosecond(nanos.into()).ok());
                if let Some(id) = &actor.id {
                    let signal = attributes.get("signal").map(String::as_str);
                    self.hands.told(id, word, signal, at.unwrap_or_else(Timestamp::now));
                }
                let name = attributes.get(body::MODULE_LABEL).cloned();
                let module = name.map(|name| ModuleKey { kind: ModuleKind::Docker, name });
                drop(sender.try_send(RuntimeEvent { kind: ModuleKind::Docker, module }));
            }
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Container,
    Image,
}

/// Events after which a name may stand for another image.
const NAMING: &[&str] = &["tag", "untag", "pull", "import", "load", "loadfromarchive", "build"];

/// Events after which a container may differ from what it should be: `died` and `remove` are Podman's words.
const OF_INTEREST: &[&str] = &[
    "create",
    "start",
    "die",
    "died",
    "stop",
    "kill",
    "oom",
    "pause",
    "unpause",
    "destroy",
    "remove",
    "rename",
    "update",
    "health_status",
];

impl Runtime for DockerRuntime {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Seen>, RuntimeError>> {
        Box::pin(self.list_modules())
    }

    fn pull<'a>(&'a self, spec: &'a ModuleSpec) -> BoxFuture<'a, Result<Pulled, RuntimeError>> {
        Box::pin(async move {
            let connection = self.connection().await?;
            image::pull(&connection.docker, &connection.engine, &spec.key.name, container(spec)?).await
        })
    }

    fn create<'a>(&'a self, spec: &'a ModuleSpec) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.create_module(spec))
    }

    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Started, RuntimeError>> {
        Box::pin(self.start_module(name))
    }

    fn stop<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Stopped, RuntimeError>> {
        Box::pin(self.stop_module(name))
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Removed, RuntimeError>> {
        Box::pin(self.remove_module(name))
    }

    fn probe<'a>(
        &'a self,
        spec: &'a ModuleSpec,
        probe: &'a Probe,
    ) -> BoxFuture<'a, Result<Verdict, RuntimeError>> {
        Box::pin(async move {
            let name = &spec.key.name;
            let id = self.id(name).await?;
            probe::probe(self.connection().await?, &id, name, probe).await
        })
    }

    fn discard<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Discarded, RuntimeError>> {
        Box::pin(async move { image::discard(&self.connection().await?.engine, image).await })
    }

    fn logs<'a>(
        &'a self,
        name: &'a str,
        query: LogQuery,
    ) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>> {
        Box::pin(async move {
            let id = self.id(name).await?;
            logs::read(&self.connection().await?.docker, &id, name, &query).await
        })
    }

    fn events(&self, sender: mpsc::Sender<RuntimeEvent>, stop: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut pause = EVENTS_AGAIN.0;
            loop {
                // Both arms only wait; events missed in between are found by the next look at everything.
                let began = Instant::now();
                tokio::select! {
                    () = self.follow(&sender) => {}
                    () = stop.cancelled() => return,
                }
                let lasted = began.elapsed() > EVENTS_AGAIN.1;
                pause = if lasted { EVENTS_AGAIN.0 } else { (pause * 2).min(EVENTS_AGAIN.1) };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => return,
                }
            }
        })
    }
}

// === Engine answers ===

async fn is_running(engine: &UnixHttp, id: &str) -> Result<bool, String> {
    let found = engine.get(&format!("/containers/{id}/json")).await?;
    Ok(found.pointer("/State/Running").and_then(Value::as_bool).unwrap_or(false))
}

fn container(spec: &ModuleSpec) -> Result<&ContainerSpec, RuntimeError> {
    match &spec.body {
        SpecBody::Container(container) => Ok(container),
        SpecBody::Process(_) => {
            Err(refused("create", &spec.key.name, "it is not a container module".to_owned()))
        }
    }
}

fn unavailable(reason: String) -> RuntimeError {
    RuntimeError::Unavailable { kind: ModuleKind::Docker, reason }
}

fn no_such_module(name: &str) -> RuntimeError {
    RuntimeError::NoSuchModule { kind: ModuleKind::Docker, name: name.to_owned() }
}

fn refused(what: &'static str, name: &str, reason: String) -> RuntimeError {
    RuntimeError::Refused { what, name: name.to_owned(), reason }
}

fn translate(what: &'static str, name: &str, error: &bollard::errors::Error) -> RuntimeError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code: 404, .. } => no_such_module(name),
        Error::DockerResponseServerError { message, .. } => refused(what, name, message.clone()),
        Error::DockerStreamError { error } => refused(what, name, error.clone()),
        Error::RequestTimeoutError => {
            RuntimeError::TimedOut { what, name: name.to_owned(), seconds: DEADLINE_SECONDS }
        }
        // The remaining kinds are connections that break and answers that cannot be read.
        other => refused(what, name, other.to_string()),
    }
}
