//! User-defined topics as columns and back: what is retained, and what waits for subscribers.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use hemline_hub_core::{
    message::Sequence,
    topics::{TopicMessage, TopicReceiver},
};
use hemline_model::id::{ClientId, DeviceId};
use rusqlite::{Connection, Row, params};

use super::rows::{RowError, client, damaged, from_json, json, key, number};

/// Name of the rows in complaints.
const MESSAGE: &str = "message on a topic";

pub(super) fn put_retained(
    connection: &Connection,
    device: &DeviceId,
    message: &TopicMessage,
) -> Result<(), RowError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO retained (device, topic, sequence, at, qos, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            device.as_str(),
            &*message.topic,
            number(message.sequence.0)?,
            message.at.to_string(),
            json(MESSAGE, &message.qos)?,
            &message.body[..],
        ])?;
    Ok(())
}

pub(super) fn remove_retained(
    connection: &Connection,
    device: &DeviceId,
    topic: &str,
) -> Result<(), RowError> {
    connection
        .prepare_cached("DELETE FROM retained WHERE device = ?1 AND topic = ?2")?
        .execute([device.as_str(), topic])?;
    Ok(())
}

/// All retained messages, by device and topic.
pub(super) fn retained(connection: &Connection) -> Result<Vec<(DeviceId, Arc<TopicMessage>)>, RowError> {
    let mut statement = connection
        .prepare("SELECT sequence, topic, at, qos, body, device FROM retained ORDER BY device, topic")?;
    let mut found = statement.query([])?;
    let mut retained = Vec::new();
    while let Some(row) = found.next()? {
        let device = row.get_ref(5)?.as_str().map_err(damaged(MESSAGE))?;
        retained.push((DeviceId::new(device).map_err(damaged(MESSAGE))?, Arc::new(message(row)?)));
    }
    Ok(retained)
}

/// The message may be there already, for others.
pub(super) fn put_message(
    connection: &Connection,
    message: &TopicMessage,
    receivers: &[TopicReceiver],
) -> Result<(), RowError> {
    let sequence = number(message.sequence.0)?;
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO topic_message (sequence, topic, at, qos, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            sequence,
            &*message.topic,
            message.at.to_string(),
            json(MESSAGE, &message.qos)?,
            &message.body[..],
        ])?;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO topic_queue (device, module, sequence, retained) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for TopicReceiver { client, retained } in receivers {
        let (device, module) = key(client);
        statement.execute(params![device, module, sequence, retained])?;
    }
    Ok(())
}

pub(super) fn remove_message(
    connection: &Connection,
    client: &ClientId,
    sequence: Sequence,
) -> Result<(), RowError> {
    let (device, module) = key(client);
    let sequence = number(sequence.0)?;
    connection
        .prepare_cached("DELETE FROM topic_queue WHERE device = ?1 AND module = ?2 AND sequence = ?3")?
        .execute(params![device, module, sequence])?;
    connection
        .prepare_cached(
            "DELETE FROM topic_message WHERE sequence = ?1
             AND NOT EXISTS (SELECT 1 FROM topic_queue WHERE topic_queue.sequence = ?1)",
        )?
        .execute([sequence])?;
    Ok(())
}

/// What waits in one session.
pub(super) fn remove_queue_of(connection: &Connection, client: &ClientId) -> Result<(), RowError> {
    remove_queues(connection, client, false)
}

/// A device takes its modules along, and what is retained on it.
pub(super) fn remove_identity(connection: &Connection, client: &ClientId) -> Result<(), RowError> {
    remove_queues(connection, client, client.module.is_none())?;
    if client.module.is_none() {
        connection
            .prepare_cached("DELETE FROM retained WHERE device = ?1")?
            .execute([client.device.as_str()])?;
    }
    Ok(())
}

/// Takes the queue of a client away, or with `whole` those of a device and its modules, and the messages that nobody else
/// waits for.
fn remove_queues(connection: &Connection, client: &ClientId, whole: bool) -> Result<(), RowError> {
    let (device, module) = key(client);
    connection
        .prepare_cached(
            "DELETE FROM topic_message WHERE sequence IN
                (SELECT sequence FROM topic_queue WHERE device = ?1 AND (?3 OR module = ?2))
             AND NOT EXISTS (SELECT 1 FROM topic_queue AS other WHERE other.sequence = topic_message.sequence
                AND NOT (other.device = ?1 AND (?3 OR other.module = ?2)))",
        )?
        .execute(params![device, module, whole])?;
    connection
        .prepare_cached("DELETE FROM topic_queue WHERE device = ?1 AND (?3 OR module = ?2)")?
        .execute(params![device, module, whole])?;
    Ok(())
}

/// A message, and who waits for it.
type Waiting = (Arc<TopicMessage>, Vec<TopicReceiver>);

/// All messages that somebody waits for, oldest first.
pub(super) fn messages(connection: &Connection) -> Result<Vec<Waiting>, RowError> {
    let mut receivers: BTreeMap<i64, Vec<TopicReceiver>> = BTreeMap::new();
    let mut statement = connection.prepare(
        "SELECT sequence, device, module, retained FROM topic_queue ORDER BY sequence, device, module",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(damaged(MESSAGE));
        let receiver = TopicReceiver { client: client(text(1)?, text(2)?)?, retained: row.get(3)? };
        receivers.entry(row.get(0)?).or_default().push(receiver);
    }
    let mut statement =
        connection.prepare("SELECT sequence, topic, at, qos, body FROM topic_message WHERE sequence = ?1")?;
    let mut messages = Vec::with_capacity(receivers.len());
    for (sequence, receivers) in receivers {
        let mut found = statement.query([sequence])?;
        if let Some(row) = found.next()? {
            messages.push((Arc::new(message(row)?), receivers));
        }
    }
    Ok(messages)
}

/// Reads `sequence, topic, at, qos, body`.
fn message(row: &Row<'_>) -> Result<TopicMessage, RowError> {
    let text = |column| row.get_ref(column)?.as_str().map_err(damaged(MESSAGE));
    let sequence: i64 = row.get(0)?;
    Ok(TopicMessage {
        sequence: Sequence(sequence.unsigned_abs()),
        topic: Arc::from(text(1)?),
        at: text(2)?.parse().map_err(damaged(MESSAGE))?,
        qos: from_json(MESSAGE, text(3)?)?,
        body: Bytes::copy_from_slice(row.get_ref(4)?.as_blob().map_err(damaged(MESSAGE))?),
    })
}
