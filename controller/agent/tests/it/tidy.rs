//! The loop takes images away that nobody uses any more, through whatever runtime it has.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hemline_agent::{
    AgentStatus,
    decide::shelf::Shelf,
    module::{Identities, ModuleKind, ModuleSpec, Probe, Seen},
    reconcile::{ReconcileEnds, Runtimes, prepare, store::Store},
    runtime::{
        Discarded, LogLine, LogQuery, Pulled, Removed, Runtime, RuntimeError, RuntimeEvent, Started, Stopped,
        Verdict,
    },
    spec::Site,
    uplink::LinkState,
    workload::{RunDir, Workload, WorkloadConfig},
};
use hemline_testkit::within;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// An engine without containers, and what it was asked to take away.
struct Engine {
    asked: mpsc::UnboundedSender<String>,
    gone: Mutex<Vec<String>>,
}

impl Runtime for Engine {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Seen>, RuntimeError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn pull<'a>(&'a self, _: &'a ModuleSpec) -> BoxFuture<'a, Result<Pulled, RuntimeError>> {
        Box::pin(async { Ok(Pulled::AlreadyThere) })
    }

    fn create<'a>(&'a self, _: &'a ModuleSpec) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async { Ok(()) })
    }

    fn start<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Started, RuntimeError>> {
        Box::pin(async { Ok(Started::Now) })
    }

    fn stop<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Stopped, RuntimeError>> {
        Box::pin(async { Ok(Stopped::Already) })
    }

    fn remove<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Removed, RuntimeError>> {
        Box::pin(async { Ok(Removed::Already) })
    }

    fn probe<'a>(&'a self, _: &'a ModuleSpec, _: &'a Probe) -> BoxFuture<'a, Result<Verdict, RuntimeError>> {
        Box::pin(async { Ok(Verdict::Passed) })
    }

    fn discard<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Result<Discarded, RuntimeError>> {
        Box::pin(async move {
            self.gone.lock().unwrap().push(image.to_owned());
            self.asked.send(image.to_owned()).unwrap();
            Ok(Discarded::Now)
        })
    }

    fn logs<'a>(&'a self, _: &'a str, _: LogQuery) -> BoxFuture<'a, Result<Vec<LogLine>, RuntimeError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn events(&self, _: mpsc::Sender<RuntimeEvent>, stop: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async move { stop.cancelled().await })
    }
}

#[tokio::test]
async fn an_image_that_nobody_uses_any_more_goes_and_a_young_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (now, mut shelf) = (Timestamp::now(), Shelf::default());
    shelf.fetched("sha256:old".to_owned(), "a:1".to_owned(), now - SignedDuration::from_hours(8 * 24));
    shelf.fetched("sha256:young".to_owned(), "a:2".to_owned(), now);
    let store = || Store::new(folder.path().to_owned());
    store().save_shelf(&shelf);

    let (asked_in, mut asked) = mpsc::unbounded_channel();
    let engine = Arc::new(Engine { asked: asked_in, gone: Mutex::default() });
    let runtimes: Runtimes = [(ModuleKind::Docker, Arc::clone(&engine) as Arc<dyn Runtime>)].into();
    let site = Site {
        device: "press-01".to_owned(),
        hub: "hub.test".to_owned(),
        gateway: "127.0.0.1".to_owned(),
        container_gateway: "127.0.0.1".to_owned(),
        mqtt_port: 1,
    };
    let (stop, later) = (CancellationToken::new(), CancellationToken::new());
    let workload = Workload::new(
        WorkloadConfig {
            place: RunDir::open(folder.path()).unwrap(),
            data_dir: folder.path().to_owned(),
            processes: folder.path().join("modules"),
            hub: site.hub.clone(),
            device: site.device.clone(),
            ca_pem: String::new(),
        },
        later.clone(),
    );
    let (_desired, desired) = watch::channel(None);
    let (_identities, identities) = watch::channel(Arc::new(Identities::default()));
    let (_link, link) = watch::channel(LinkState::default());
    let (_events, events) = mpsc::channel(1);
    let (report, _report) = watch::channel(None);
    let (_acknowledged, acknowledged) = watch::channel(None);
    let (status, _status) = watch::channel(AgentStatus::default());
    let ends = ReconcileEnds { desired, identities, link, events, report, acknowledged, status };
    let reconciler = prepare(site, runtimes, workload, store(), ends).tidying(SignedDuration::ZERO);
    let running = tokio::spawn(reconciler.run(stop.clone(), false));
    let first = within(Duration::from_secs(20), "the first image goes", asked.recv()).await;
    assert_eq!(first.as_deref(), Some("sha256:old"));
    stop.cancel();
    within(Duration::from_secs(20), "the end of the loop", running).await.unwrap();
    later.cancel();
    assert_eq!(*engine.gone.lock().unwrap(), ["sha256:old"]);
    // What is gone is not on the shelf any more, what is not is.
    let left = serde_json::to_string(&store().load_shelf()).unwrap();
    assert!(left.contains("sha256:young") && !left.contains("sha256:old"), "{left}");
}
