//! Clients that take nothing of what they are sent, or acknowledge nothing of it: they lose their place, and nobody else does.

use std::{sync::Arc, time::Duration};

use hemline_hub_core::service::{IfMatch, ServiceRequest};
use hemline_testkit::{eventually, within};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

use super::world::{SOON, World};

#[tokio::test]
async fn who_reads_no_answer_loses_its_place() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let world = World::start(
        folder,
        |config| {
            config.limits.write_stall = Duration::from_millis(300);
            // Not what ends it here.
            config.limits.head_read = Duration::from_secs(600);
            config.limits.https_connections = 1;
        },
        None,
    )
    .await;
    let stream = TcpStream::connect(world.hub.https_addr()[0]).await.unwrap();
    let connector = TlsConnector::from(Arc::new(world.tls()));
    let mut deaf = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    // Question after question without reading one answer, until the hub has enough.
    let ask = b"GET /devices/nobody HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let flood = async { while deaf.write_all(&ask).await.is_ok() && deaf.flush().await.is_ok() {} };
    within(SOON, "the hub to close", flood).await;
    // There is one place, and it is free again.
    let rest = world.rest("iothubowner").await;
    assert_eq!(rest.get("/statistics/devices").await.status, 200);
    drop(rest);
    world.stop().await;
}

#[tokio::test]
async fn who_acknowledges_nothing_is_closed_and_the_witness_gets_everything() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let world = World::start(folder, |config| config.limits.unacknowledged = 32, None).await;
    let (mute_key, witness_key) = (world.device("mute", false).await, world.device("witness", false).await);
    let filter = "$iothub/twin/PATCH/properties/desired/#";
    let mut mute = world.connect_mute("mute", &mute_key).in_now().await;
    mute.subscribe(filter).await;
    let mut witness = world.connect("witness", &witness_key).in_now().await;
    witness.subscribe(filter).await;
    for number in 0..40 {
        for client in ["mute", "witness"] {
            let desired = json!({"number": number}).as_object().cloned();
            let client = client.parse().unwrap();
            let operation = ServiceRequest::PatchTwin { client, tags: None, desired, if_match: IfMatch::Any };
            world.handle.call(operation).await.unwrap();
        }
        let told = witness.message().await;
        assert_eq!(told.payload, json!({"number": number, "$version": number + 2}).to_string());
    }
    mute.closed().await;
    eventually(SOON, "the slow client to be counted", || async {
        (world.handle.head_statistics().slow_clients == 1).then_some(())
    })
    .await;
    // It comes back and is as good as any.
    let mut again = world.connect("mute", &mute_key).in_now().await;
    again.publish("devices/mute/messages/events/", "x").await;
    world.stop().await;
}
