//! The demo modules against a hub that does what the test says.

use rumqttc::Packet;
use serde_json::{Value, json};

use super::*;
use crate::edge_client::tests::{FILTER, LIMIT, TWIN_1, World, default_world};

#[tokio::test]
async fn the_sensor_does_at_once_what_is_desired() {
    let World { hub, agent: _agent, client } = default_world().await;
    let serve = async {
        let mut peer = hub.accept().await;
        // An hour between readings, until somebody wants it otherwise.
        peer.ready(r#"{"desired":{"intervalMs":3600000,"$version":1}}"#).await;
        peer.desired(2, r#"{"intervalMs":10,"base":100,"$version":2}"#).await;
        for sequence in 1..=5 {
            let publish = peer.publish().await;
            assert!(publish.topic.contains("%24.on=temperature&%24.ct=application%2Fjson&%24.ce=utf-8"));
            let reading: Value = serde_json::from_slice(&publish.payload).unwrap();
            assert_eq!((&reading["sequence"], &reading["unit"]), (&json!(sequence), &json!("C")));
            assert!((reading["temperature"].as_f64().unwrap() - 100.0).abs() < 3.0, "{reading}");
            peer.acknowledge(publish.pkid).await;
        }
    };
    tokio::select! {
        outcome = sensor::run(&client) => panic!("ended: {outcome:?}"),
        () = hemline_testkit::within(LIMIT * 2, "readings", serve) => {}
    }
    client.close().await;
}

#[tokio::test]
async fn the_filter_acknowledges_a_reading_when_its_alert_is_the_hubs() {
    let World { hub, agent: _agent, client } = default_world().await;
    let serve = async {
        let mut peer = hub.accept().await;
        assert_eq!(peer.ready(TWIN_1).await, [FILTER]);
        peer.input(2, "temperature", r#"{"temperature":21.5,"sequence":2}"#).await;
        let alert = peer.publish().await;
        assert!(alert.topic.contains("%24.on=alerts&"), "{}", alert.topic);
        let body: Value = serde_json::from_slice(&alert.payload).unwrap();
        assert_eq!(body, json!({"temperature": 21.5, "sequence": 2, "alert": true}));
        // The connection breaks before the hub has the alert: both come again, and only then is the reading done.
        drop(peer);
        let mut peer = hub.accept().await;
        peer.takes_reports = true;
        peer.ready(TWIN_1).await;
        let alert = peer.publish().await;
        peer.acknowledge(alert.pkid).await;
        peer.input(1, "temperature", r#"{"temperature":21.5,"sequence":2}"#).await;
        let again = peer.publish().await;
        assert_eq!(again.payload, alert.payload);
        peer.acknowledge(again.pkid).await;
        assert_eq!(peer.acknowledged().await, 1);
        peer.input(2, "another", "x").await;
        assert_eq!(peer.acknowledged().await, 2);
    };
    tokio::select! {
        outcome = filter::run(&client) => panic!("ended: {outcome:?}"),
        () = hemline_testkit::within(LIMIT * 2, "alerts", serve) => {}
    }
    client.close().await;
}

#[tokio::test]
async fn the_filter_keeps_what_is_no_alert_and_reports() {
    let World { hub, agent: _agent, client } = default_world().await;
    let serve = async {
        let mut peer = hub.accept().await;
        peer.ready(TWIN_1).await;
        peer.input(1, "temperature", r#"{"temperature":20.5,"sequence":1}"#).await;
        // The acknowledgement and the report, in either order, and nothing else.
        let mut acknowledged = false;
        let mut reported = false;
        while !(acknowledged && reported) {
            match peer.read().await {
                Some(Packet::PubAck(ack)) => acknowledged = ack.pkid == 1,
                Some(Packet::Publish(publish)) => {
                    assert!(publish.topic.starts_with("$iothub/twin/PATCH/properties/reported/"));
                    let counts: Value = serde_json::from_slice(&publish.payload).unwrap();
                    assert_eq!(counts, json!({"received": 1, "forwarded": 0}));
                    reported = true;
                }
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::select! {
        outcome = filter::run(&client) => panic!("ended: {outcome:?}"),
        () = hemline_testkit::within(LIMIT, "a report", serve) => {}
    }
    client.close().await;
}

#[tokio::test]
async fn work_ends_with_its_failure() {
    let failed = Stop::new().unwrap().or(std::future::ready(Err(ClientError::Closed))).await;
    assert!(matches!(failed, Err(DemoError::Client(ClientError::Closed))));
}
