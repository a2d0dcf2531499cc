//! Both stores: what is retained on user-defined topics, and what waits there for whom.

use std::sync::Arc;

use bytes::Bytes;
use hemline_hub_core::{
    event::Qos,
    message::Sequence,
    topics::{TopicMessage, TopicReceiver},
    write::Write,
};
use hemline_model::id::{ClientId, DeviceId};

use super::store::on_both;

fn client(id: &str) -> ClientId {
    id.parse().unwrap()
}

fn device(id: &str) -> DeviceId {
    id.parse().unwrap()
}

fn message(sequence: u64, topic: &str) -> Arc<TopicMessage> {
    Arc::new(TopicMessage {
        sequence: Sequence(sequence),
        at: "2026-01-02T03:04:05.123456789Z".parse().unwrap(),
        topic: topic.into(),
        qos: if sequence.is_multiple_of(2) { Qos::AtLeastOnce } else { Qos::AtMostOnce },
        body: Bytes::from(vec![0, 255, 10, u8::try_from(sequence).unwrap()]),
    })
}

fn receivers(clients: &[&str]) -> Vec<TopicReceiver> {
    clients.iter().map(|id| TopicReceiver { client: client(id), retained: id.ends_with('r') }).collect()
}

fn put(sequence: u64, clients: &[&str]) -> Write {
    Write::PutTopicMessage { message: message(sequence, "t/ü"), receivers: receivers(clients) }
}

fn remove(sequence: u64, id: &str) -> Write {
    Write::RemoveTopicMessage { client: client(id), sequence: Sequence(sequence) }
}

#[test]
fn the_last_retained_message_of_each_topic_and_device() {
    let retain = |sequence, on: &str, topic| Write::PutRetained {
        device: device(on),
        message: message(sequence, topic),
    };
    let release = |on: &str, topic: &str| Write::RemoveRetained { device: device(on), topic: topic.into() };
    let script = [
        retain(1, "d", "b"),
        retain(2, "d", "a"),
        retain(3, "e", "a"),
        retain(4, "d", "b"),
        retain(5, "d", "gone"),
        release("d", "gone"),
        release("d", "never"),
    ];
    on_both(&[&script[..3], &script[3..]], |store| {
        let restored = store.load().unwrap();
        let expected =
            [(device("d"), message(2, "a")), (device("d"), message(4, "b")), (device("e"), message(3, "a"))];
        assert_eq!(restored.retained, expected);
        assert_eq!(restored.last_sequence, 5, "never reused");
    });
    on_both(&[&script, &[Write::DeleteIdentity(client("d/m"))]], |store| {
        assert_eq!(store.load().unwrap().retained.len(), 3, "a module has none");
    });
    on_both(&[&script, &[Write::DeleteIdentity(client("d"))]], |store| {
        assert_eq!(store.load().unwrap().retained, [(device("e"), message(3, "a"))]);
    });
}

#[test]
fn a_message_goes_with_the_last_who_waits_for_it() {
    let script = [
        put(7, &["d", "d/m", "d/r"]),
        put(8, &["d/m"]),
        put(7, &["e/m"]),
        put(9, &["d/m"]),
        remove(7, "d/m"),
        remove(9, "d/m"),
        remove(9, "d/m"),
        remove(99, "d/m"),
    ];
    on_both(&[&script[..3], &script[3..]], |store| {
        let restored = store.load().unwrap();
        let expected =
            [(message(7, "t/ü"), receivers(&["d", "d/r", "e/m"])), (message(8, "t/ü"), receivers(&["d/m"]))];
        assert_eq!(restored.topic_messages, expected);
        assert_eq!(restored.last_sequence, 9);
    });
    let left = |store: &mut dyn hemline_hub::store::Store| -> Vec<(u64, usize)> {
        let restored = store.load().unwrap();
        restored.topic_messages.iter().map(|(message, to)| (message.sequence.0, to.len())).collect()
    };
    on_both(&[&script, &[Write::DeleteSession(client("d"))]], |store| {
        assert_eq!(left(store), [(7, 2), (8, 1)], "the session of the device, not those of its modules");
    });
    on_both(&[&script, &[Write::DeleteSession(client("d/m"))]], |store| assert_eq!(left(store), [(7, 3)]));
    on_both(&[&script, &[Write::DeleteIdentity(client("d/m"))]], |store| assert_eq!(left(store), [(7, 3)]));
    on_both(&[&script, &[Write::DeleteIdentity(client("d"))]], |store| assert_eq!(left(store), [(7, 1)]));
}
