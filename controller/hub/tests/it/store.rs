//! One suite for both stores, and what only files can do: reopen, crash, migrate, refuse.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use bytes::Bytes;
use hemline_hub::store::{EVENTS_PAGE_BYTES, MemoryStore, SqliteStore, Store, StoreError};
use hemline_hub_core::{
    cloud_to_device::{Ack, CloudToDevice, FeedbackRecord, Outcome},
    event::{Feature, Grant, Qos},
    message::{AuthMethod, Endpoint, Message, QueueEntry, Sequence},
    service::Authentication,
    write::{Collection, Identity, Permission, Policy, Restored, SessionRecord, TwinRecord, Write},
};
use hemline_model::{Packed, id::ClientId};
use hemline_protocol::properties::{Properties, SystemProperties};
use jiff::Timestamp;
use serde_json::{Value, json};

fn client(id: &str) -> ClientId {
    id.parse().unwrap()
}

fn identity(id: &str, etag: u64) -> Identity {
    Identity {
        client: client(id),
        generation: "637".into(),
        etag,
        enabled: true,
        status_reason: Some("why \"not\"".into()),
        status_updated: Some("2026-01-02T03:04:05.123456789Z".parse().unwrap()),
        authentication: Authentication::Sas { primary: "QQ==".into(), secondary: "Qg==".into() },
        edge: !id.contains('/'),
        device_scope: None,
        parent: None,
        managed_by: None,
        from_parent: false,
    }
}

fn twin(id: &str, version: u64) -> Arc<TwinRecord> {
    let packed = |value: Value| Packed::of(value.as_object().unwrap());
    let properties = packed(json!({"a": {"b": [1, 2.5, null, "ü"]}}));
    let collection = Collection { properties, version, metadata: packed(json!({"$lastUpdated": "x"})) };
    Arc::new(TwinRecord {
        client: client(id),
        version,
        etag: 3,
        tags: Packed::default(),
        desired: collection.clone(),
        reported: collection,
        model_id: String::new(),
        unsynced: false,
    })
}

fn session(id: &str) -> SessionRecord {
    let grant = Grant { filter: "$iothub/#".into(), qos: Qos::AtLeastOnce, features: vec![Feature::Methods] };
    SessionRecord { client: client(id), grants: vec![grant], away: None }
}

fn policy(name: &str) -> Policy {
    Policy {
        name: name.into(),
        primary_key: "QQ==".into(),
        secondary_key: "Qg==".into(),
        permissions: vec![Permission::RegistryRead, Permission::DeviceConnect],
    }
}

fn message(sequence: u64, body: Bytes) -> Arc<Message> {
    let system = SystemProperties { message_id: Some("m".into()), ..SystemProperties::default() };
    let application = vec![("k".into(), Some("v".into())), ("flag".into(), None)];
    Arc::new(Message {
        sequence: Sequence(sequence),
        enqueued: "2026-01-02T03:04:05.123456789Z".parse().unwrap(),
        sender: client("d/m"),
        generation: "637".into(),
        auth: AuthMethod::ModuleSas,
        properties: Properties { system, application },
        body,
    })
}

fn place(sequence: u64, endpoint: Endpoint, input: Option<&str>) -> QueueEntry {
    QueueEntry {
        endpoint,
        sequence: Sequence(sequence),
        input: input.map(str::to_owned),
        priority: 2_000_000_000,
        expires: Some(Timestamp::MAX),
    }
}

fn append(sequence: u64, places: &[(&str, &str)]) -> Write {
    let entries = places.iter().map(|(to, input)| match *to {
        "events" => place(sequence, Endpoint::Events, None),
        "upstream" => place(sequence, Endpoint::Upstream, None),
        module => place(sequence, Endpoint::Module(client(module)), Some(input)),
    });
    let message = message(sequence, Bytes::from(vec![0, 255, 10, sequence as u8]));
    Write::Append { message, entries: entries.collect() }
}

fn remove(sequence: u64, module: &str, input: &str) -> Write {
    let endpoint = Endpoint::Module(client(module));
    Write::Remove { endpoint, sequence: Sequence(sequence), input: Some(input.into()) }
}

fn numbers(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.sequence.0).collect()
}

/// Runs a script against a fresh store of each kind; `check` sees the store as it is and, for files, reopened.
pub(crate) fn on_both(writes: &[&[Write]], check: impl Fn(&mut dyn Store)) {
    let mut memory = MemoryStore::new();
    for batch in writes {
        memory.commit(batch).unwrap();
    }
    check(&mut memory);
    check(&mut memory.clone());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SqliteStore::FILE);
    let mut file = SqliteStore::open(&path).unwrap();
    for batch in writes {
        file.commit(batch).unwrap();
    }
    check(&mut file);
    drop(file);
    check(&mut SqliteStore::open(&path).unwrap());
}

#[test]
fn a_new_store_is_empty() {
    on_both(&[], |store| {
        assert_eq!(store.load().unwrap(), Restored::default());
        assert!(store.events(Sequence(0), 10).unwrap().is_empty());
    });
}

#[test]
fn everything_written_is_read_back_exactly() {
    let batch = [
        Write::PutIdentity(identity("d/m", 1)),
        Write::PutIdentity(identity("d", 1)),
        Write::PutIdentity(identity("d", 2)),
        Write::PutTwin(twin("d", 1)),
        Write::PutTwin(twin("d", 7)),
        Write::PutSession(session("d/m")),
        Write::PutSession(session("d")),
        Write::DeleteSession(client("d")),
        Write::PutPolicy(policy("iothubowner")),
        append(1, &[("events", "")]),
        append(2, &[("events", ""), ("d/m", "in")]),
        append(3, &[("d/m", "in"), ("d/n", "in")]),
    ];
    let halves: [&[Write]; 2] = [&batch[..5], &batch[5..]];
    on_both(&halves, |store| {
        let restored = store.load().unwrap();
        assert_eq!(
            restored.identities,
            [identity("d", 2), identity("d/m", 1)],
            "a device before its modules"
        );
        assert_eq!(restored.twins, [twin("d", 7)]);
        assert_eq!(restored.sessions, [session("d/m")]);
        assert_eq!(restored.policies, [policy("iothubowner")]);
        assert_eq!(restored.last_sequence, 3);
        assert_eq!(restored.events, Some((Sequence(1), 2)));
        let expected = [(&batch[10], 1), (&batch[11], 2)];
        assert_eq!(restored.waiting.len(), 2);
        for ((kept, entries), (write, places)) in restored.waiting.iter().zip(expected) {
            let Write::Append { message, .. } = write else { panic!() };
            assert_eq!((kept, entries.len()), (message, places));
        }
        let Write::Append { message, .. } = &batch[9] else { panic!() };
        assert_eq!(store.events(Sequence(0), 1).unwrap().first(), Some(message));
    });
}

fn cloud(sequence: u64, device: &str, deliveries: u32) -> Write {
    let system = SystemProperties { message_id: Some("m\"1".into()), ..SystemProperties::default() };
    let message = CloudToDevice {
        sequence: Sequence(sequence),
        device: client(device).device,
        generation: "637".into(),
        enqueued: "2026-01-02T03:04:05.123456789Z".parse().unwrap(),
        expires: Timestamp::MAX,
        ack: Ack::Negative,
        properties: Properties { system, application: vec![("k".into(), Some("ü".into()))] },
        body: Bytes::from(vec![0, 255, 10, sequence as u8]),
    };
    Write::PutCloudToDevice { message: Arc::new(message), deliveries }
}

fn feedback(sequence: u64) -> FeedbackRecord {
    FeedbackRecord {
        sequence: Sequence(sequence),
        message_id: "m".into(),
        device: client("d").device,
        generation: "637".into(),
        at: "2026-01-02T03:04:05.123456789Z".parse().unwrap(),
        outcome: Outcome::DeliveryCountExceeded,
    }
}

#[test]
fn cloud_to_device_messages_and_feedback() {
    let script = [
        cloud(1, "d", 0),
        cloud(2, "e", 0),
        cloud(3, "d", 0),
        cloud(1, "d", 2),
        cloud(4, "d", 0),
        Write::RemoveCloudToDevice(Sequence(3)),
        Write::RemoveCloudToDevice(Sequence(99)),
        Write::PutFeedback(feedback(10)),
        Write::PutFeedback(feedback(9)),
        Write::PutFeedback(feedback(11)),
        Write::RemoveFeedback(Sequence(10)),
        Write::RemoveFeedback(Sequence(10)),
    ];
    let kept = |write: Write| match write {
        Write::PutCloudToDevice { message, deliveries } => (message, deliveries),
        other => panic!("{other:?}"),
    };
    on_both(&[&script[..5], &script[5..]], |store| {
        let restored = store.load().unwrap();
        let expected = [cloud(1, "d", 2), cloud(2, "e", 0), cloud(4, "d", 0)].map(kept);
        assert_eq!(restored.cloud_to_device, expected);
        assert_eq!(restored.feedback, [feedback(9), feedback(11)]);
        assert_eq!(restored.last_sequence, 11, "never reused, whatever it was used for");
    });
    on_both(&[&script, &[Write::DeleteIdentity(client("d/m"))]], |store| {
        assert_eq!(store.load().unwrap().cloud_to_device.len(), 3, "a module has none");
    });
    on_both(&[&script, &[Write::DeleteIdentity(client("d"))]], |store| {
        let restored = store.load().unwrap();
        assert_eq!(restored.cloud_to_device, [kept(cloud(2, "e", 0))]);
        assert_eq!(restored.feedback.len(), 2, "what is to be told is told");
    });
}

/// A file of the first schema, with content, opened by this program.
#[test]
fn an_older_file_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut store = SqliteStore::open(&path).unwrap();
    store.commit(&[append(1, &[("d/m", "in")]), Write::PutPolicy(policy("p"))]).unwrap();
    let before = store.load().unwrap();
    drop(store);
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(
        "DROP TABLE cloud_to_device; DROP TABLE feedback; DROP TABLE file_notice;
         DROP TABLE retained; DROP TABLE topic_message; DROP TABLE topic_queue; PRAGMA user_version = 1",
    )
    .unwrap();
    drop(old);
    let mut store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.load().unwrap(), before);
    store.commit(&[cloud(2, "d", 0), Write::PutFeedback(feedback(3))]).unwrap();
    drop(store);
    let restored = SqliteStore::open(&path).unwrap().load().unwrap();
    assert_eq!((restored.cloud_to_device.len(), restored.feedback.len(), restored.last_sequence), (1, 1, 3));
}

#[test]
fn a_message_goes_with_its_last_place() {
    let script = [
        append(1, &[("events", ""), ("d/m", "in")]),
        append(2, &[("d/m", "in"), ("d/m", "other"), ("d/n", "in")]),
        remove(2, "d/m", "in"),
        remove(2, "d/n", "in"),
        append(3, &[("d/m", "in")]),
        remove(3, "d/m", "in"),
        remove(3, "d/m", "in"),
    ];
    on_both(&[&script], |store| {
        let restored = store.load().unwrap();
        let waiting: Vec<_> =
            restored.waiting.iter().map(|(kept, entries)| (kept.sequence.0, entries.clone())).collect();
        let module = || Endpoint::Module(client("d/m"));
        let expected = [(1, place(1, module(), Some("in"))), (2, place(2, module(), Some("other")))];
        assert_eq!(waiting, expected.map(|(sequence, place)| (sequence, vec![place])));
        assert_eq!(restored.last_sequence, 3, "never reused");
        assert_eq!(numbers(&store.events(Sequence(0), 10).unwrap()), [1]);
    });
}

#[test]
fn what_waits_for_the_parent_outlives_its_sender() {
    let removed =
        |sequence| Write::Remove { endpoint: Endpoint::Upstream, sequence: Sequence(sequence), input: None };
    let script = [
        append(1, &[("upstream", ""), ("d/m", "in")]),
        append(2, &[("upstream", "")]),
        append(3, &[("upstream", "")]),
        removed(2),
        remove(1, "d/m", "in"),
        Write::DeleteIdentity(client("d")),
    ];
    on_both(&[&script], |store| {
        let restored = store.load().unwrap();
        let waiting: Vec<_> =
            restored.waiting.iter().map(|(kept, entries)| (kept.sequence.0, entries.clone())).collect();
        assert_eq!(
            waiting,
            [1, 3].map(|sequence| (sequence, vec![place(sequence, Endpoint::Upstream, None)]))
        );
        assert_eq!(numbers(&store.events(Sequence(0), 10).unwrap()), [0u64; 0]);
    });
}

#[test]
fn the_event_log_is_read_in_pages_and_trimmed() {
    let script = [
        append(1, &[("events", "")]),
        append(2, &[("events", ""), ("d/m", "in")]),
        append(4, &[("events", "")]),
        append(5, &[("d/m", "in")]),
        append(6, &[("events", "")]),
        append(7, &[("events", "")]),
    ];
    let trim = [Write::TrimEvents { keep_from: Sequence(6) }];
    on_both(&[&script], |store| {
        for (after, limit, expected) in [
            (0, 10, vec![1, 2, 4, 6, 7]),
            (0, 2, vec![1, 2]),
            (2, 2, vec![4, 6]),
            (3, 1, vec![4]),
            (7, 9, vec![]),
            (u64::MAX, 9, vec![]),
            (0, 0, vec![]),
        ] {
            assert_eq!(numbers(&store.events(Sequence(after), limit).unwrap()), expected, "{after} {limit}");
        }
    });
    on_both(&[&script, &trim], |store| {
        assert_eq!(numbers(&store.events(Sequence(0), 10).unwrap()), [6, 7]);
        let restored = store.load().unwrap();
        assert_eq!(restored.events, Some((Sequence(6), 2)));
        let waiting: Vec<_> = restored.waiting.iter().map(|(kept, _)| kept.sequence.0).collect();
        assert_eq!(waiting, [2, 5], "what waits for a module stays");
    });
    let empty =
        [Write::TrimEvents { keep_from: Sequence(8) }, remove(2, "d/m", "in"), remove(5, "d/m", "in")];
    on_both(&[&script, &empty], |store| {
        let restored = store.load().unwrap();
        assert_eq!((restored.events, restored.waiting.len(), restored.last_sequence), (None, 0, 7));
    });
}

#[test]
fn a_page_of_the_event_log_is_bounded_in_bytes() {
    let large = |sequence| Write::Append {
        message: message(sequence, Bytes::from(vec![7; EVENTS_PAGE_BYTES / 3])),
        entries: vec![place(sequence, Endpoint::Events, None)],
    };
    let huge = Write::Append {
        message: message(9, Bytes::from(vec![7; EVENTS_PAGE_BYTES + 1])),
        entries: vec![place(9, Endpoint::Events, None)],
    };
    on_both(&[&[large(1), large(2), large(3), large(4), huge]], |store| {
        assert_eq!(numbers(&store.events(Sequence(0), 10).unwrap()), [1, 2, 3]);
        assert_eq!(numbers(&store.events(Sequence(4), 10).unwrap()), [9], "one message always comes");
    });
}

#[test]
fn deleting_a_device_takes_its_modules_and_queues() {
    let script = [
        Write::PutIdentity(identity("d", 1)),
        Write::PutIdentity(identity("d/m", 1)),
        Write::PutIdentity(identity("e", 1)),
        Write::PutTwin(twin("d", 1)),
        Write::PutTwin(twin("d/m", 1)),
        Write::PutSession(session("d/m")),
        append(1, &[("d/m", "in")]),
        append(2, &[("d/m", "in"), ("e/m", "in")]),
        append(3, &[("d/m", "in"), ("events", "")]),
    ];
    on_both(&[&script, &[Write::DeleteIdentity(client("d"))]], |store| {
        let restored = store.load().unwrap();
        assert_eq!(restored.identities, [identity("e", 1)]);
        assert_eq!((restored.twins.len(), restored.sessions.len()), (0, 0));
        let waiting: Vec<_> =
            restored.waiting.iter().map(|(kept, entries)| (kept.sequence.0, entries.len())).collect();
        assert_eq!(waiting, [(2, 1)]);
        assert_eq!(numbers(&store.events(Sequence(0), 9).unwrap()), [3]);
    });
    on_both(&[&script, &[Write::DeleteIdentity(client("d/m"))]], |store| {
        let restored = store.load().unwrap();
        assert_eq!(restored.identities, [identity("d", 1), identity("e", 1)]);
        assert_eq!(restored.twins, [twin("d", 1)]);
        assert_eq!(restored.waiting.len(), 1);
    });
}

#[test]
fn a_batch_that_fails_is_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(&folder.path().join("s")).unwrap();
    store.commit(&[append(1, &[("events", "")])]).unwrap();
    // The same sequence twice is a defect of the caller; here it stands for any failure in the middle of a batch.
    let failed = store.commit(&[Write::PutPolicy(policy("p")), append(1, &[("events", "")])]);
    assert!(matches!(failed, Err(StoreError::Io { what: "write", .. })), "{failed:?}");
    assert_eq!(store.load().unwrap().policies, []);
    store.commit(&[Write::PutPolicy(policy("p"))]).unwrap();
    assert_eq!(store.load().unwrap().policies.len(), 1);
}

/// The files as they are on disk while the store is open: what a killed process leaves behind.
fn leave_behind(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = format!("{}{suffix}", SqliteStore::FILE);
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn what_was_committed_survives_a_kill() {
    let (live, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = SqliteStore::open(&live.path().join(SqliteStore::FILE)).unwrap();
    for sequence in 1..=100 {
        store.commit(&[append(sequence, &[("events", ""), ("d/m", "in")])]).unwrap();
    }
    leave_behind(live.path(), left.path());
    let mut found = SqliteStore::open(&left.path().join(SqliteStore::FILE)).unwrap();
    assert_eq!(found.load().unwrap(), store.load().unwrap());
    assert_eq!(found.load().unwrap().waiting.len(), 100);
}

#[test]
fn a_torn_write_costs_only_what_was_not_committed() {
    let (live, left) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = SqliteStore::open(&live.path().join(SqliteStore::FILE)).unwrap();
    store.commit(&[append(1, &[("events", "")])]).unwrap();
    leave_behind(live.path(), left.path());
    let committed = fs::read(left.path().join("hub.sqlite-wal")).unwrap().len();
    store.commit(&[append(2, &[("events", "")])]).unwrap();
    leave_behind(live.path(), left.path());
    let wal = left.path().join("hub.sqlite-wal");
    let whole = fs::read(&wal).unwrap();
    for cut in [committed, committed + 1, (committed + whole.len()) / 2, whole.len() - 1] {
        fs::write(&wal, &whole[..cut]).unwrap();
        let copy = tempfile::tempdir().unwrap();
        leave_behind(left.path(), copy.path());
        let found = SqliteStore::open(&copy.path().join(SqliteStore::FILE)).unwrap();
        assert_eq!(numbers(&found.events(Sequence(0), 9).unwrap()), [1], "cut at {cut} of {}", whole.len());
    }
}

#[test]
fn only_one_hub_and_only_this_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SqliteStore::FILE);
    let mut store = SqliteStore::open(&path).unwrap();
    store.commit(&[Write::PutPolicy(policy("p"))]).unwrap();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::InUse { .. })));
    drop(store);
    assert!(SqliteStore::open(&path).is_ok());
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer");
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(SqliteStore::open(&newer), Err(StoreError::TooNew { found: 99, .. })));
    let garbage = folder.path().join("garbage");
    fs::write(&garbage, "not a database, but long enough to have a header of one".repeat(40)).unwrap();
    assert!(matches!(SqliteStore::open(&garbage), Err(StoreError::Open { .. })));
    let nowhere = folder.path().join("no/such/folder");
    assert!(matches!(SqliteStore::open(&nowhere), Err(StoreError::Open { .. })));
}

#[test]
fn an_empty_file_becomes_the_newest_schema_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    fs::write(&path, "").unwrap();
    for _ in 0..2 {
        let mut store = SqliteStore::open(&path).unwrap();
        store.commit(&[Write::PutPolicy(policy("p"))]).unwrap();
        assert_eq!(store.load().unwrap().policies.len(), 1);
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    // A released schema is never edited: a difference here without a new step is a mistake.
    insta::assert_snapshot!(format!("version {version}\n{}", tables.join("\n")));
}
