//! `hem check`: is this machine fit to run a fleet, and does what runs on it answer? One file per check; each looks, judges, and
//! says what to do.
//!
//! Ids and the shape of the JSON follow those of `iotedge check`, where both look at the same (reference edge-runtime §7.3).
//! Not here: how devices and modules are (`hem status`).

mod authority;
mod connect_https;
mod connect_mqtt;
mod connect_websocket;
mod container_connect;
mod container_engine;
mod data_directory;
mod dial;
mod disk_space;
mod hub_running;
mod hub_version;
mod local_time;
mod open_files;
mod private_keys;
mod scene;
mod server_certificate;
mod source;
mod storage_lasts;
mod verdict;

use std::process::ExitCode;

use clap::ValueEnum as _;
use serde_json::{Map, json};

use self::{
    scene::Scene,
    verdict::{Verdict, as_text},
};
use crate::{
    args::{Args, Check, CheckId, Output},
    error::{CommandError, exit},
    output,
};

/// Runs the checks in their order.
pub(crate) async fn run(args: &Args, typed: &Check) -> Result<ExitCode, CommandError> {
    if typed.list {
        let rows = CheckId::value_variants().iter().map(|id| vec![id.name(), id.looks_at()]);
        output::text(&output::table(&["id", "what must be true"], rows))?;
        return Ok(ExitCode::from(exit::SUCCESS));
    }
    let scene = Scene::look(args, typed).await;
    let mut found = Vec::new();
    for id in CheckId::value_variants() {
        let verdict = if typed.dont_run.contains(id) { Verdict::Ignored } else { one(*id, &scene).await };
        found.push((*id, verdict));
    }
    match args.output {
        Output::Table | Output::Wide => output::text(&as_text(&found))?,
        Output::Json | Output::Yaml => {
            let checks: Map<_, _> =
                found.iter().map(|(id, verdict)| (id.name(), verdict.as_json())).collect();
            let told = json!({ "additional_info": scene.additional_info(), "checks": checks });
            output::value(&told, args.output, |_| String::new())?;
        }
    }
    let wrong = found.iter().any(|(_, verdict)| match verdict {
        Verdict::Error { .. } => true,
        Verdict::Warning { .. } => typed.warnings_as_errors,
        Verdict::Ok(_) | Verdict::Skipped(_) | Verdict::Ignored => false,
    });
    Ok(ExitCode::from(if wrong { exit::FAILURE } else { exit::SUCCESS }))
}

async fn one(id: CheckId, scene: &Scene) -> Verdict {
    match id {
        CheckId::DataDirectory => data_directory::check(scene),
        CheckId::DiskSpace => disk_space::check(scene),
        CheckId::StorageLasts => storage_lasts::check(scene),
        CheckId::PrivateKeys => private_keys::check(scene),
        CheckId::OpenFiles => open_files::check(scene),
        CheckId::HostLocalTime => local_time::check(scene).await,
        CheckId::LocalCaCertificateExpiry => authority::check(scene),
        CheckId::ContainerEngine => container_engine::check(scene).await,
        CheckId::HubRunning => hub_running::check(scene),
        CheckId::HubVersion => hub_version::check(scene),
        CheckId::HostConnectHubHttps => connect_https::check(scene).await,
        CheckId::HostConnectHubMqtt => connect_mqtt::check(scene).await,
        CheckId::HostConnectHubMqttWs => connect_websocket::check(scene).await,
        CheckId::ServerCertificate => server_certificate::check(scene).await,
        CheckId::ContainerConnectHubMqtt => container_connect::check(scene).await,
        CheckId::Source => source::check(scene),
    }
}

impl CheckId {
    /// As it is typed.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The first sentence of its help.
    fn looks_at(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| Some(value.get_help()?.to_string())).unwrap_or_default()
    }
}
