//! A new agent finds the modules of an old one that was killed, and does not make them anew.

use hemline_agent::{
    module::EngineStatus,
    runtime::{LogQuery, Runtime as _, Started},
};
use hemline_testkit::eventually;

use super::process::{LIMIT, only, open, shell};

#[tokio::test]
async fn a_running_module_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    first.create(&shell("one", "echo up; while true; do sleep 0.05; done")).await.unwrap();
    first.start("one").await.unwrap();
    // The shell may be slow to start: it must have spoken before it is stopped.
    eventually(LIMIT, "the first line", || async {
        first.logs("one", LogQuery::default()).await.unwrap().pop()
    })
    .await;
    let before = only(&first).await;
    drop(first);

    let second = open(folder.path());
    let after = only(&second).await;
    assert_eq!(after, before);
    assert_eq!(second.start("one").await.unwrap(), Started::Already);
    second.stop("one").await.unwrap();
    assert_eq!(only(&second).await.exit_code, Some(143));
    assert_eq!(second.logs("one", LogQuery::default()).await.unwrap()[0].text, "up");
}

#[tokio::test]
async fn a_module_whose_supervisor_was_killed_still_counts() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path());
    runtime.create(&shell("one", "while true; do sleep 0.05; done")).await.unwrap();
    runtime.start("one").await.unwrap();
    let record = std::fs::read(folder.path().join("modules/one/run.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let shim = i32::try_from(record["shim"]["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(shim).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let running = only(&runtime).await;
    assert_eq!(running.status, EngineStatus::Running);
    runtime.stop("one").await.unwrap();
    let seen = eventually(LIMIT, "the end", || async {
        Some(only(&runtime).await).filter(|seen| !seen.status.is_up())
    })
    .await;
    assert_eq!((seen.status, seen.exit_code), (EngineStatus::Failed, Some(-1)));
    assert_eq!(runtime.start("one").await.unwrap(), Started::Now);
    runtime.remove("one").await.unwrap();
}
