//! The tables and how an older file becomes a newer one. A step is never edited once it was released; append one.
//!
//! `module` is empty for a device itself, so that a device and its modules share one key shape. Documents that the core
//! reads whole are JSON; messages have columns, because the event log is read in ranges and trimmed.

use rusqlite::{Connection, Transaction};

/// One step per schema version: step 0 makes version 1 of an empty file.
const STEPS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3, VERSION_4];

/// The newest schema.
pub(super) const NEWEST: u32 = STEPS.len() as u32;

const VERSION_1: &str = "
    CREATE TABLE identity (device TEXT NOT NULL, module TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (device, module)) WITHOUT ROWID;
    CREATE TABLE twin (device TEXT NOT NULL, module TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (device, module)) WITHOUT ROWID;
    CREATE TABLE session (device TEXT NOT NULL, module TEXT NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (device, module)) WITHOUT ROWID;
    CREATE TABLE policy (name TEXT NOT NULL PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
    -- A message lives while it is in the event log (logged = 1) or waits in a queue.
    CREATE TABLE message (sequence INTEGER PRIMARY KEY, logged INTEGER NOT NULL, enqueued TEXT NOT NULL,
        device TEXT NOT NULL, module TEXT NOT NULL, generation TEXT NOT NULL, auth TEXT NOT NULL,
        properties TEXT NOT NULL, body BLOB NOT NULL);
    CREATE TABLE queue (device TEXT NOT NULL, module TEXT NOT NULL, sequence INTEGER NOT NULL, place INTEGER NOT NULL,
        input TEXT, priority INTEGER NOT NULL, expires TEXT,
        PRIMARY KEY (device, module, sequence, place)) WITHOUT ROWID;
    CREATE INDEX queue_by_message ON queue (sequence);
    -- Sequences are never reused, not even after the last message is gone.
    CREATE TABLE last_sequence (only INTEGER PRIMARY KEY CHECK (only = 0), value INTEGER NOT NULL);
    INSERT INTO last_sequence VALUES (0, 0);
";

/// Cloud-to-device messages and the feedback on them.
const VERSION_2: &str = "
    CREATE TABLE cloud_to_device (sequence INTEGER PRIMARY KEY, device TEXT NOT NULL, generation TEXT NOT NULL,
        enqueued TEXT NOT NULL, expires TEXT NOT NULL, ack TEXT NOT NULL, deliveries INTEGER NOT NULL,
        properties TEXT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX cloud_to_device_by_device ON cloud_to_device (device);
    CREATE TABLE feedback (sequence INTEGER PRIMARY KEY, document TEXT NOT NULL);
";

/// Notices of uploaded files.
const VERSION_3: &str = "
    CREATE TABLE file_notice (sequence INTEGER PRIMARY KEY, document TEXT NOT NULL);
";

/// User-defined topics: what is retained, and what waits for subscribers. A message lives while somebody waits for it.
const VERSION_4: &str = "
    CREATE TABLE retained (device TEXT NOT NULL, topic TEXT NOT NULL, sequence INTEGER NOT NULL, at TEXT NOT NULL,
        qos TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (device, topic)) WITHOUT ROWID;
    CREATE TABLE topic_message (sequence INTEGER PRIMARY KEY, topic TEXT NOT NULL, at TEXT NOT NULL, qos TEXT NOT NULL,
        body BLOB NOT NULL);
    CREATE TABLE topic_queue (device TEXT NOT NULL, module TEXT NOT NULL, sequence INTEGER NOT NULL,
        retained INTEGER NOT NULL, PRIMARY KEY (device, module, sequence)) WITHOUT ROWID;
    CREATE INDEX topic_queue_by_message ON topic_queue (sequence);
";

/// The schema version of a file; 0 when it is new.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Takes a file from its version to the newest, inside the transaction of the caller.
pub(super) fn migrate(transaction: &Transaction<'_>, from: u32) -> rusqlite::Result<()> {
    for (version, step) in (1u32..).zip(STEPS).skip(from as usize) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    Ok(())
}
