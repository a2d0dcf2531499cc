//! Ends: in order, and when the disk fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use hemline_hub::{
    HubError,
    store::{MemoryStore, Store, StoreError},
};
use hemline_hub_core::{
    message::{Message, Sequence},
    service::{ServiceError, ServiceRequest},
    write::{Restored, Write},
};
use hemline_testkit::within;
use rumqttc::{Packet, QoS};

use super::world::{SOON, World};

/// A disk that can fill up.
struct Brittle {
    inner: MemoryStore,
    full: Arc<AtomicBool>,
}

impl Store for Brittle {
    fn load(&mut self) -> Result<Restored, StoreError> {
        self.inner.load()
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full("no space left on device".into()));
        }
        self.inner.commit(writes)
    }

    fn events(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        self.inner.events(after, limit)
    }
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_stops_the_hub() {
    let (inner, full) = (MemoryStore::new(), Arc::new(AtomicBool::new(false)));
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let store = Brittle { inner: inner.clone(), full: full.clone() };
    let world = World::start(folder.clone(), |_| {}, Some(Box::new(store))).await;
    let key = world.device("d", false).await;
    let mut client = world.connect("d", &key).in_now().await;
    client.publish("devices/d/messages/events/", "kept").await;
    full.store(true, Ordering::SeqCst);
    client.mqtt.publish("devices/d/messages/events/", QoS::AtLeastOnce, false, "lost").await.unwrap();
    while let Some(packet) = client.next().await {
        assert!(!matches!(packet, Packet::PubAck(_)), "acknowledged and not on disk");
    }
    let handle = world.handle.clone();
    let ended = within(SOON, "the hub to stop", world.hub.join()).await;
    assert!(matches!(ended, Err(HubError::Store(StoreError::Full(_)))), "{ended:?}");
    assert!(!world.shutdown.is_cancelled(), "the owner decides what to do about it");
    assert_eq!(handle.call(ServiceRequest::Statistics).await, Err(ServiceError::Unavailable));
    assert!(matches!(handle.read_events(Sequence(0), 1).await, Err(StoreError::Stopped)));

    // Started again with room on the disk, it goes on from what was acknowledged.
    full.store(false, Ordering::SeqCst);
    let world = World::start(folder, |_| {}, Some(Box::new(inner))).await;
    let mut client = world.connect("d", &key).in_now().await;
    client.publish("devices/d/messages/events/", "again").await;
    let kept = world.handle.read_events(Sequence(0), 10).await.unwrap();
    assert_eq!(kept.iter().map(|message| &message.body[..]).collect::<Vec<_>>(), [&b"kept"[..], b"again"]);
    world.stop().await;
}

#[tokio::test]
async fn requests_that_wait_are_answered_at_the_end() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let mut client = world.connect("d", &key).in_now().await;
    client.subscribe("$iothub/methods/POST/#").await;
    let handle = world.handle.clone();
    let call = tokio::spawn(async move {
        let client = "d".parse().unwrap();
        let (response_timeout, connect_timeout) = (300, 0);
        let name = "never".into();
        handle
            .call(ServiceRequest::InvokeMethod {
                client,
                name,
                payload: None,
                response_timeout,
                connect_timeout,
            })
            .await
    });
    client.message().await;
    let handle = world.handle.clone();
    world.stop().await;
    assert!(within(SOON, "the answer", call).await.unwrap().is_err());
    client.closed().await;
    assert_eq!(handle.call(ServiceRequest::Statistics).await, Err(ServiceError::Unavailable));
}

#[tokio::test]
async fn policies_are_made_once() {
    let world = World::new().await;
    let policy = |world: &World| {
        let handle = world.handle.clone();
        async move { handle.call(ServiceRequest::GetPolicy("service".into())).await.unwrap() }
    };
    let before = policy(&world).await;
    let folder = world.stop().await;
    let world = World::on(folder).await;
    assert_eq!(policy(&world).await, before);
    world.stop().await;
}

#[tokio::test]
async fn a_taken_address_is_said() {
    let world = World::new().await;
    let taken = world.mqtt();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let names = vec!["hub.test".to_owned()];
    let pki = hemline_hub::pki::open(folder.path(), &names, jiff::Timestamp::now()).unwrap();
    let mut config = hemline_hub::HubConfig::new(folder.path(), names, pki.server_config());
    config.mqtt = vec![taken];
    let stop = tokio_util::sync::CancellationToken::new();
    let started = hemline_hub::Hub::start(config, |_| axum::Router::new(), stop).await;
    let error = started.err().unwrap().to_string();
    assert_eq!(
        error.replace(&taken.to_string(), "ADDRESS"),
        "cannot listen on ADDRESS for MQTT; stop the program that uses it, or choose another address"
    );
    world.stop().await;
}
