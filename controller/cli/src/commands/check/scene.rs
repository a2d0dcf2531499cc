//! What the checks look at: found once, so that one that fails does not fail sixteen times.

use std::path::{Path, PathBuf};

use hemline_api::StatusDocument;
use hemline_sources::chain;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    args::{Args, Check},
    client::{HubClient, pem_certificates},
    data_dir,
};

/// What there is to look at.
pub(super) struct Scene {
    /// The data directory, as typed.
    pub(super) data_dir: PathBuf,
    /// Where the hub listens; why that is not known.
    pub(super) hub: Result<HubAt, String>,
    /// What the hub says of itself; why it does not.
    pub(super) status: Result<StatusDocument, String>,
    /// Socket of the container engine, as typed.
    pub(super) docker: Option<String>,
    /// Time server, as typed.
    pub(super) ntp_server: Option<String>,
}

/// Where a hub listens.
pub(super) struct HubAt {
    /// As in connection strings.
    pub(super) name: String,
    pub(super) https: u16,
    pub(super) mqtt: u16,
    /// The authority that its certificate comes from.
    pub(super) ca_pem: String,
    /// It runs on this machine, with this data directory.
    pub(super) is_here: bool,
}

impl Scene {
    pub(super) async fn look(args: &Args, typed: &Check) -> Self {
        let client = HubClient::find(args).map_err(|error| chain(&error));
        let hub = client.as_ref().map_err(Clone::clone).and_then(|client| at(args, client));
        let status = match &client {
            Ok(client) => status(client).await,
            Err(error) => Err(error.clone()),
        };
        let (docker, ntp_server) = (typed.docker.clone(), typed.ntp_server.clone());
        Self { data_dir: args.data_dir.clone(), hub, status, docker, ntp_server }
    }

    /// The data directory, if this machine has it.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.data_dir.is_dir().then_some(self.data_dir.as_path())
    }

    /// Where the hub is, or the reason not to look: `hub-running` tells the rest.
    pub(super) fn hub(&self) -> Result<&HubAt, &'static str> {
        self.hub.as_ref().map_err(|_| "no hub is known here; see hub-running")
    }

    /// What is worth knowing beside the results.
    pub(super) fn additional_info(&self) -> Value {
        json!({
            "now": jiff::Timestamp::now().to_string(),
            "version": env!("CARGO_PKG_VERSION"),
            "dataDirectory": self.data_dir.display().to_string(),
            "hub": self.hub.as_ref().ok().map(|hub| hub.name.clone()),
        })
    }
}

impl HubAt {
    /// The certificates to trust.
    pub(super) fn roots(&self) -> Result<rustls::RootCertStore, String> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in pem_certificates(&self.ca_pem).map_err(|error| error.to_string())? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        Ok(roots)
    }
}

fn at(args: &Args, client: &HubClient) -> Result<HubAt, String> {
    let ca_pem = client.ca_pem().to_owned();
    if args.server.is_some() {
        // What SDKs dial, unless they are told otherwise.
        return Ok(HubAt { name: client.host().to_owned(), https: 443, mqtt: 8883, ca_pem, is_here: false });
    }
    let (endpoint, _) = data_dir::discover(&args.data_dir).map_err(|error| chain(&error))?;
    Ok(HubAt { name: endpoint.host_name, https: endpoint.https, mqtt: endpoint.mqtt, ca_pem, is_here: true })
}

async fn status(client: &HubClient) -> Result<StatusDocument, String> {
    let found =
        client.call(Method::GET, &["api", "v1", "status"], None).await.map_err(|error| chain(&error))?;
    serde_json::from_value(found).map_err(|error| error.to_string())
}
