//! The process runtime with real processes under the real shim.

use std::{path::Path, sync::Arc, time::Duration};

use hemline_agent::{
    module::{EngineStatus, Limits, ModuleKey, ModuleKind, ModuleSpec, ProcessSpec, Seen, SpecBody},
    runtime::{LogQuery, Removed, Runtime as _, RuntimeError, Started, Stopped, process::ProcessRuntime},
};
use hemline_testkit::{eventually, within};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn open(root: &Path) -> ProcessRuntime {
    ProcessRuntime::open(root.join("modules"), env!("CARGO_BIN_EXE_hemline-shim").into(), None).unwrap()
}

pub(crate) fn shell(name: &str, script: &str) -> ModuleSpec {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ModuleSpec {
        key: ModuleKey { kind: ModuleKind::Process, name: name.to_owned() },
        hash: format!("hash of {name}"),
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
        secret_env: Vec::new(),
        health: None,
        traits: std::collections::BTreeMap::new(),
        body: SpecBody::Process(ProcessSpec { command, working_directory: None, limits: Limits::default() }),
    }
}

pub(crate) async fn only(runtime: &ProcessRuntime) -> Seen {
    let mut all = runtime.list().await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

async fn ended(runtime: &ProcessRuntime) -> Seen {
    let look =
        || async { Some(only(runtime).await).filter(|seen| !seen.status.is_up() && seen.exited.is_some()) };
    eventually(LIMIT, "the end of the module", look).await
}

#[tokio::test]
async fn a_module_runs_ends_and_leaves_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    let spec = shell("one", "echo $GREETING from $(basename $PWD); echo oops >&2; exit 3");
    runtime.create(&spec).await.unwrap();
    let made = only(&runtime).await;
    assert_eq!(
        (made.status, made.started, made.hash.as_deref()),
        (EngineStatus::Stopped, None, Some("hash of one"))
    );

    assert_eq!(runtime.start("one").await.unwrap(), Started::Now);
    let seen = ended(&runtime).await;
    assert_eq!((seen.status, seen.exit_code), (EngineStatus::Failed, Some(3)));
    assert_eq!(seen.description, "exited with code 3");
    let lines = runtime.logs("one", LogQuery::default()).await.unwrap();
    let text: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(text, ["hello from one", "oops"]);
    assert!(lines.iter().all(|line| line.at.is_some()));
    let last = runtime.logs("one", LogQuery { tail: Some(1), ..LogQuery::default() }).await.unwrap();
    assert_eq!(last[0].text, "oops");

    assert_eq!(runtime.remove("one").await.unwrap(), Removed::Now);
    assert_eq!(runtime.remove("one").await.unwrap(), Removed::Already);
    assert!(runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn starting_and_stopping_twice_is_once() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    runtime.create(&shell("one", "exec sleep 1000")).await.unwrap();
    assert_eq!(runtime.stop("one").await.unwrap(), Stopped::Already);
    assert_eq!(runtime.start("one").await.unwrap(), Started::Now);
    assert_eq!(runtime.start("one").await.unwrap(), Started::Already);
    assert_eq!(only(&runtime).await.status, EngineStatus::Running);
    assert_eq!(runtime.stop("one").await.unwrap(), Stopped::Now);
    assert_eq!(runtime.stop("one").await.unwrap(), Stopped::Already);
    let seen = only(&runtime).await;
    assert_eq!(
        (seen.status, seen.exit_code, seen.description.as_str()),
        (EngineStatus::Failed, Some(143), "ended by signal 15")
    );
    assert!(matches!(runtime.start("other").await, Err(RuntimeError::NoSuchModule { .. })));
}

#[tokio::test]
async fn children_of_a_module_end_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    runtime.create(&shell("one", "sleep 1000 & echo $!; wait")).await.unwrap();
    runtime.start("one").await.unwrap();
    let child = eventually(LIMIT, "the pid of the grandchild", || async {
        let lines = runtime.logs("one", LogQuery::default()).await.unwrap();
        lines.first().and_then(|line| line.text.parse::<u32>().ok())
    })
    .await;
    runtime.stop("one").await.unwrap();
    let gone = || async {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    };
    eventually(LIMIT, "the end of the grandchild", gone).await;
}

#[tokio::test]
async fn a_command_that_cannot_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    let mut spec = shell("one", "");
    let SpecBody::Process(process) = &mut spec.body else { unreachable!() };
    process.command = vec!["/no/such/program".to_owned()];
    runtime.create(&spec).await.unwrap();
    let error = runtime.start("one").await.unwrap_err().to_string();
    assert!(error.contains("/no/such/program") && error.contains("No such file"), "{error}");
    assert_eq!(only(&runtime).await.exit_code, Some(127));
}

#[tokio::test]
async fn limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    let mut spec = shell("one", "ulimit -n; ulimit -v; ulimit -t");
    let SpecBody::Process(process) = &mut spec.body else { unreachable!() };
    process.limits = serde_json::from_value(
        serde_json::json!({"openFiles": 77, "memoryBytes": 104_857_600, "cpuSeconds": 9}),
    )
    .unwrap();
    runtime.create(&spec).await.unwrap();
    runtime.start("one").await.unwrap();
    let seen = ended(&runtime).await;
    assert_eq!(seen.exit_code, Some(0), "{}", seen.description);
    let lines = runtime.logs("one", LogQuery::default()).await.unwrap();
    let text: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(text, ["77", "102400", "9"]);
}

#[tokio::test]
async fn the_end_of_a_module_is_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Arc::new(open(folder.path()));
    let (sender, mut events) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let watching = tokio::spawn({
        let (runtime, stop) = (Arc::clone(&runtime), stop.clone());
        async move { runtime.events(sender, stop).await }
    });
    runtime.create(&shell("one", "read line < /dev/zero; sleep 0.2")).await.unwrap();
    let mut spec = shell("one", "sleep 0.2");
    spec.hash = "other".to_owned();
    runtime.create(&spec).await.unwrap();
    runtime.start("one").await.unwrap();
    let event = within(LIMIT, "the event", events.recv()).await.unwrap();
    assert_eq!(event.module.unwrap().name, "one");
    assert!(!only(&runtime).await.status.is_up());
    stop.cancel();
    within(LIMIT, "the end of the watch", watching).await.unwrap();
}

#[tokio::test]
async fn names_never_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    for name in ["../evil", "a/b", "", ".", "a b"] {
        assert!(runtime.create(&shell(name, "true")).await.is_err(), "{name:?}");
        assert!(runtime.logs(name, LogQuery::default()).await.is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn a_damaged_record_is_a_module_to_be_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    runtime.create(&shell("one", "true")).await.unwrap();
    std::fs::write(folder.path().join("modules/one/spec.json"), "{").unwrap();
    let seen = only(&runtime).await;
    assert_eq!((seen.hash, seen.status), (None, EngineStatus::Failed));
    runtime.remove("one").await.unwrap();
    runtime.create(&shell("one", "true")).await.unwrap();
}

#[tokio::test]
async fn the_log_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    runtime
        .create(&shell("one", "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done"))
        .await
        .unwrap();
    let spec_file = folder.path().join("modules/one/spec.json");
    let mut spec: serde_json::Value = serde_json::from_slice(&std::fs::read(&spec_file).unwrap()).unwrap();
    spec["log"] = serde_json::json!({"maxBytes": 2000, "files": 3});
    std::fs::write(&spec_file, spec.to_string()).unwrap();
    runtime.start("one").await.unwrap();
    assert_eq!(ended(&runtime).await.exit_code, Some(0));
    let sizes: Vec<u64> = ["log", "log.1", "log.2"]
        .iter()
        .map(|name| std::fs::metadata(folder.path().join("modules/one").join(name)).unwrap().len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= 2000), "{sizes:?}");
    assert!(!folder.path().join("modules/one/log.3").exists());
    let lines = runtime.logs("one", LogQuery::default()).await.unwrap();
    assert_eq!(lines.last().unwrap().text, "line 199");
    assert!(lines.len() > 60, "{}", lines.len());
}
