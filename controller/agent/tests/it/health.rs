//! Health checks of process modules: asked at a port of this test, so that it decides what the module answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use hemline_agent::{
    module::Probe,
    runtime::{Runtime as _, Verdict},
};
use hemline_testkit::within;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    agent::{Running, config, desired, status},
    fake_hub::FakeHub,
    process::{open, shell},
};

const LIMIT: Duration = Duration::from_secs(20);
const FOREVER: &str = "while true; do sleep 0.05; done";

/// Answers every request with a status that the test sets.
struct Answers {
    port: u16,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicU16>,
    _task: AbortOnDropHandle<()>,
}

impl Answers {
    async fn with(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (status, asked) = (Arc::new(AtomicU16::new(status)), Arc::new(AtomicU16::new(0)));
        let (says, counts) = (Arc::clone(&status), Arc::clone(&asked));
        let serve = async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                let read = stream.read(&mut request).await.unwrap_or_default();
                let is_right = request[..read].starts_with(b"GET /healthz?deep=1 HTTP/1.1\r\n");
                let status = if is_right { says.load(Ordering::SeqCst) } else { 404 };
                counts.fetch_add(1, Ordering::SeqCst);
                drop(
                    stream
                        .write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes())
                        .await,
                );
            }
        };
        Self { port, status, asked, _task: AbortOnDropHandle::new(tokio::spawn(serve)) }
    }

    fn say(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

fn module(order: u32, health: &Value) -> Value {
    json!({"type": "process", "status": "running", "restartPolicy": "on-unhealthy", "startupOrder": order,
        "health": health, "settings": {"command": ["/bin/sh", "-c", FOREVER]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_asked_and_restarted_when_it_is_unhealthy_and_later_ones_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let answers = Answers::with(503).await;
    let health = json!({"http": {"port": answers.port, "path": "/healthz?deep=1"}, "interval": "1s", "retries": 1, "startPeriod": "1h"});
    let mut later = module(1, &Value::Null);
    later.as_object_mut().unwrap().remove("health");
    let hub = FakeHub::start(desired(&json!({"early": module(0, &health), "late": later}))).await;
    hub.identity("early", "g");
    hub.identity("late", "g");
    let agent = Running::start(config(&hub, folder.path(), true));
    hub.until("early runs, and is not healthy yet", |reported| status(reported, "early") == "running").await;
    let asked = || answers.asked.load(Ordering::SeqCst);
    hemline_testkit::eventually(LIMIT, "it was asked twice", || async { (asked() >= 2).then_some(()) }).await;
    assert!(!folder.path().join("modules/late").exists(), "early is not ready");

    answers.say(204);
    hub.until("late runs", |reported| status(reported, "late") == "running").await;

    answers.say(500);
    let reported = hub
        .until("early was restarted", |reported| {
            reported["modules"]["early"]["restartCount"].as_u64() >= Some(1)
        })
        .await;
    assert_eq!(reported["modules"]["late"]["restartCount"], 0);
    agent.end().await;
}

#[tokio::test]
async fn commands_run_beside_the_module() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    let spec = shell("one", FOREVER);
    runtime.create(&spec).await.unwrap();
    runtime.start("one").await.unwrap();
    let command = |script: &str| Probe::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec());
    let ask = async |probe: &Probe| within(LIMIT, "the answer", runtime.probe(&spec, probe)).await.unwrap();
    let passed = "test \"$GREETING $(basename $PWD)\" = 'hello one'";
    assert_eq!(ask(&command(passed)).await, Verdict::Passed);
    let failed = Verdict::Failed("the check exited with 3: no water".to_owned());
    assert_eq!(ask(&command("echo no water >&2; exit 3")).await, failed);
    let Verdict::Failed(why) = ask(&Probe::Command(vec!["/no/such/check".to_owned()])).await else {
        panic!("it passed")
    };
    assert!(why.contains("/no/such/check"), "{why}");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    assert_eq!(ask(&Probe::Tcp { port }).await, Verdict::Passed);
    drop(free);
    assert!(matches!(ask(&Probe::Tcp { port }).await, Verdict::Failed(_)));
    runtime.remove("one").await.unwrap();
}
