//! A folder of documents, a hub without listeners, and a controller between them.

use std::{fs, sync::Arc, time::Duration};

use hemline_hub::{Hub, HubConfig, HubHandle, pki};
use hemline_hub_core::service::{IfMatch, ServiceReply, ServiceRequest};
use hemline_model::id::{ClientId, DeviceId};
use hemline_reconcile::{ControllerHandle, ControllerView, Options, PassReport, start};
use hemline_sources::{AnySource, Directory};
use hemline_testkit::within;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    data: tempfile::TempDir,
    running: Option<Running>,
}

struct Running {
    hub: Hub,
    controller: ControllerHandle,
    view: ControllerView,
    stop: CancellationToken,
}

impl World {
    /// Nothing runs yet.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), data: tempfile::tempdir().unwrap(), running: None }
    }

    pub(crate) async fn start(&mut self) {
        let source = Directory::open(self.folder.path()).unwrap();
        self.start_on(source.into(), Duration::from_secs(30)).await;
    }

    /// The same with another source than the folder, and passes at least so often.
    pub(crate) async fn start_on(&mut self, source: AnySource, every: Duration) {
        let stop = CancellationToken::new();
        let names = vec!["127.0.0.1".to_owned()];
        let certificates = pki::open(self.data.path(), &names, jiff_now()).unwrap();
        let config = HubConfig::new(self.data.path(), names, certificates.server_config());
        let hub = Hub::start(config, |_| axum::Router::new(), stop.clone()).await.unwrap();
        let options = Options {
            every,
            debounce: Duration::from_millis(20),
            ..Options::new(self.data.path().join("last-good"))
        };
        let controller = start(source, hub.handle(), options, stop.clone());
        let view = controller.view();
        self.running = Some(Running { hub, controller, view, stop });
    }

    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.stop.cancel();
        within(SOON, "the controller ends", running.controller.join()).await;
        within(SOON, "the hub ends", running.hub.join()).await.unwrap();
    }

    pub(crate) fn hub(&self) -> HubHandle {
        self.running.as_ref().unwrap().hub.handle()
    }

    pub(crate) fn view(&self) -> ControllerView {
        self.running.as_ref().unwrap().view.clone()
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        // As editors do it: half a document is never there.
        let temporary = self.folder.path().join(".new");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.folder.path().join(name)).unwrap();
    }

    /// Waits for a report.
    pub(crate) async fn report(
        &mut self,
        what: &str,
        wanted: impl Fn(&PassReport) -> bool,
    ) -> Arc<PassReport> {
        let view = &mut self.running.as_mut().unwrap().view;
        let mut last = view.latest();
        let found = async {
            loop {
                match &last {
                    Some(report) if wanted(report) => return Arc::clone(report),
                    Some(_) | None => last = Some(view.changed().await.unwrap()),
                }
            }
        };
        within(SOON, what, found).await
    }

    /// Waits until a twin looks right.
    pub(crate) async fn twin(&self, client: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let client: ClientId = client.parse().unwrap();
        let hub = self.hub();
        hemline_testkit::eventually(SOON, what, || {
            let (hub, client) = (hub.clone(), client.clone());
            async move {
                match hub.call(ServiceRequest::GetTwin(client)).await {
                    Ok(ServiceReply::Twin { document, .. }) => Some(document),
                    Ok(_) | Err(_) => None,
                }
            }
        })
        .await;
        loop {
            // Before the look, or a change between the two is never heard of.
            let mut notices = hub.notices();
            let Ok(ServiceReply::Twin { document, .. }) =
                hub.call(ServiceRequest::GetTwin(client.clone())).await
            else {
                panic!("the twin of {client} went away");
            };
            if wanted(&document) {
                return document;
            }
            // Falling behind is news too.
            drop(within(SOON, what, notices.recv()).await);
        }
    }

    pub(crate) async fn devices(&self) -> Vec<String> {
        match self.hub().call(ServiceRequest::ListDevices { top: 100 }).await.unwrap() {
            ServiceReply::Identities(list) => {
                let mut ids: Vec<_> =
                    list.iter().map(|d| d["deviceId"].as_str().unwrap().to_owned()).collect();
                ids.sort();
                ids
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn modules(&self, device: &str) -> Vec<String> {
        let request = ServiceRequest::ListModules(DeviceId::new(device).unwrap());
        match self.hub().call(request).await.unwrap() {
            ServiceReply::Identities(list) => {
                let mut ids: Vec<_> =
                    list.iter().map(|d| d["moduleId"].as_str().unwrap().to_owned()).collect();
                ids.sort();
                ids
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn modules_become(&self, device: &str, wanted: &[&str]) {
        hemline_testkit::eventually(SOON, "the modules of the device", || async {
            (self.modules(device).await == wanted).then_some(())
        })
        .await;
    }

    pub(crate) async fn patch(&self, client: &str, desired: Value) {
        let request = ServiceRequest::PatchTwin {
            client: client.parse().unwrap(),
            tags: None,
            desired: Some(desired.as_object().cloned().unwrap_or_else(Map::new)),
            if_match: IfMatch::Any,
        };
        self.hub().call(request).await.unwrap();
    }

    /// Waits until a status file, empty when it is not there, is as wanted: what is known is told a little later.
    pub(crate) async fn status(&self, path: &str, wanted: impl Fn(&str) -> bool) {
        let path = self.folder.path().join("status").join(path);
        hemline_testkit::eventually(SOON, &format!("{} as wanted", path.display()), || async {
            let text = fs::read_to_string(&path).unwrap_or_default();
            wanted(&text).then_some(())
        })
        .await;
    }
}

fn jiff_now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
