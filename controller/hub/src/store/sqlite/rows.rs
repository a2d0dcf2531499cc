//! Values as columns and back. Not here: which rows go when (`sqlite.rs`).

use std::sync::Arc;

use bytes::Bytes;
use hemline_hub_core::message::{Endpoint, Message, QueueEntry, Sequence};
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use serde::{Serialize, de::DeserializeOwned};

/// Why a row could not be written or read.
#[derive(Debug)]
pub(super) enum RowError {
    Sqlite(rusqlite::Error),
    Damaged { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

pub(super) fn damaged<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl Fn(E) -> RowError {
    move |source| RowError::Damaged { what, source: source.into() }
}

/// The key columns of a client.
pub(super) fn key(client: &ClientId) -> (&str, &str) {
    (client.device.as_str(), client.module.as_ref().map_or("", ModuleId::as_str))
}

/// The key columns of a queue; `None` for the event log, which is none. No device has an empty name, so that is the queue
/// upwards.
pub(super) fn queue_key(endpoint: &Endpoint) -> Option<(&str, &str)> {
    match endpoint {
        Endpoint::Events => None,
        Endpoint::Module(client) => Some(key(client)),
        Endpoint::Upstream => Some(("", "")),
    }
}

fn endpoint(device: &str, module: &str) -> Result<Endpoint, RowError> {
    match (device, module) {
        ("", "") => Ok(Endpoint::Upstream),
        (device, module) => client(device, module).map(Endpoint::Module),
    }
}

pub(super) fn client(device: &str, module: &str) -> Result<ClientId, RowError> {
    let device = DeviceId::new(device).map_err(damaged("device id"))?;
    let module = match module {
        "" => None,
        module => Some(ModuleId::new(module).map_err(damaged("module id"))?),
    };
    Ok(ClientId { device, module })
}

/// SQLite counts to 2^63; at a million messages a second that lasts 292 000 years.
pub(super) fn number(value: u64) -> Result<i64, RowError> {
    i64::try_from(value).map_err(damaged("sequence"))
}

pub(super) fn json(what: &'static str, value: &impl Serialize) -> Result<String, RowError> {
    serde_json::to_string(value).map_err(damaged(what))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(damaged(what))
}

/// Inserts or replaces a document in one of the tables keyed by client.
pub(super) fn put(
    connection: &Connection,
    table: &'static str,
    client: &ClientId,
    value: &impl Serialize,
) -> Result<(), RowError> {
    let (device, module) = key(client);
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} (device, module, document) VALUES (?1, ?2, ?3)"
        ))?
        .execute(params![device, module, json(table, value)?])?;
    Ok(())
}

/// All documents of a table in key order: a device comes before its modules, an older record before a newer one.
pub(super) fn documents<T: DeserializeOwned>(
    connection: &Connection,
    table: &'static str,
) -> Result<Vec<T>, RowError> {
    let mut statement = connection.prepare(&format!("SELECT document FROM {table}"))?;
    let mut found = statement.query([])?;
    let mut documents = Vec::new();
    while let Some(row) = found.next()? {
        documents.push(from_json(table, row.get_ref(0)?.as_str().map_err(damaged(table))?)?);
    }
    Ok(documents)
}

pub(super) const SELECT_MESSAGE: &str =
    "SELECT sequence, enqueued, device, module, generation, auth, properties, body FROM message";

pub(super) fn insert_message(
    connection: &Connection,
    message: &Message,
    logged: bool,
) -> Result<(), RowError> {
    let (device, module) = key(&message.sender);
    connection
        .prepare_cached(
            "INSERT INTO message (sequence, logged, enqueued, device, module, generation, auth, properties, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            number(message.sequence.0)?,
            logged,
            message.enqueued.to_string(),
            device,
            module,
            &*message.generation,
            json("message", &message.auth)?,
            json("message", &message.properties)?,
            &message.body[..],
        ])?;
    Ok(())
}

/// Reads a row of `SELECT_MESSAGE`.
pub(super) fn message(row: &Row<'_>) -> Result<Message, RowError> {
    let text = |column| row.get_ref(column)?.as_str().map_err(damaged("message"));
    let sequence: i64 = row.get(0)?;
    let enqueued: Timestamp = text(1)?.parse().map_err(damaged("message"))?;
    Ok(Message {
        sequence: Sequence(sequence.unsigned_abs()),
        enqueued,
        sender: client(text(2)?, text(3)?)?,
        generation: Arc::from(text(4)?),
        auth: from_json("message", text(5)?)?,
        properties: from_json("message", text(6)?)?,
        body: Bytes::copy_from_slice(row.get_ref(7)?.as_blob().map_err(damaged("message"))?),
    })
}

pub(super) fn insert_entry(
    connection: &Connection,
    (device, module): (&str, &str),
    place: i64,
    entry: &QueueEntry,
) -> Result<(), RowError> {
    connection
        .prepare_cached(
            "INSERT INTO queue (device, module, sequence, place, input, priority, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            device,
            module,
            number(entry.sequence.0)?,
            place,
            entry.input,
            entry.priority,
            entry.expires.map(|at| at.to_string()),
        ])?;
    Ok(())
}

/// Reads `device, module, sequence, input, priority, expires` of a queue.
pub(super) fn entry(row: &Row<'_>) -> Result<QueueEntry, RowError> {
    let text = |column| row.get_ref(column)?.as_str().map_err(damaged("queue entry"));
    let sequence: i64 = row.get(2)?;
    let expires: Option<String> = row.get(5)?;
    Ok(QueueEntry {
        endpoint: endpoint(text(0)?, text(1)?)?,
        sequence: Sequence(sequence.unsigned_abs()),
        input: row.get(3)?,
        priority: row.get(4)?,
        expires: expires.map(|at| at.parse().map_err(damaged("queue entry"))).transpose()?,
    })
}

/// Remembers the highest sequence given out.
pub(super) fn advance(connection: &Connection, last: Sequence) -> Result<(), RowError> {
    connection
        .prepare_cached("UPDATE last_sequence SET value = max(value, ?1) WHERE only = 0")?
        .execute([number(last.0)?])?;
    Ok(())
}
