//! Cloud-to-device messages and what the service side is told, as columns and back.

use std::sync::Arc;

use bytes::Bytes;
use hemline_hub_core::{
    cloud_to_device::{CloudToDevice, FeedbackRecord},
    file_notices::FileNotice,
    message::Sequence,
};
use hemline_model::id::DeviceId;
use rusqlite::{Connection, Row, params};

use super::rows::{RowError, damaged, from_json, json, number};

/// Name of the rows in complaints.
const MESSAGE: &str = "cloud-to-device message";

pub(super) fn put_message(
    connection: &Connection,
    message: &CloudToDevice,
    deliveries: u32,
) -> Result<(), RowError> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO cloud_to_device
                (sequence, device, generation, enqueued, expires, ack, deliveries, properties, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            number(message.sequence.0)?,
            message.device.as_str(),
            &*message.generation,
            message.enqueued.to_string(),
            message.expires.to_string(),
            json(MESSAGE, &message.ack)?,
            deliveries,
            json(MESSAGE, &message.properties)?,
            &message.body[..],
        ])?;
    Ok(())
}

pub(super) fn remove_message(connection: &Connection, sequence: Sequence) -> Result<(), RowError> {
    let sequence = number(sequence.0)?;
    connection.prepare_cached("DELETE FROM cloud_to_device WHERE sequence = ?1")?.execute([sequence])?;
    Ok(())
}

/// What waits for a device that is removed.
pub(super) fn remove_messages_of(connection: &Connection, device: &DeviceId) -> Result<(), RowError> {
    connection.prepare_cached("DELETE FROM cloud_to_device WHERE device = ?1")?.execute([device.as_str()])?;
    Ok(())
}

/// All messages, oldest first, each with how often it was given back.
pub(super) fn messages(connection: &Connection) -> Result<Vec<(Arc<CloudToDevice>, u32)>, RowError> {
    let mut statement = connection.prepare(
        "SELECT sequence, device, generation, enqueued, expires, ack, deliveries, properties, body
         FROM cloud_to_device ORDER BY sequence",
    )?;
    let mut found = statement.query([])?;
    let mut messages = Vec::new();
    while let Some(row) = found.next()? {
        messages.push((Arc::new(message(row)?), row.get(6)?));
    }
    Ok(messages)
}

fn message(row: &Row<'_>) -> Result<CloudToDevice, RowError> {
    let text = |column| row.get_ref(column)?.as_str().map_err(damaged(MESSAGE));
    let sequence: i64 = row.get(0)?;
    Ok(CloudToDevice {
        sequence: Sequence(sequence.unsigned_abs()),
        device: DeviceId::new(text(1)?).map_err(damaged(MESSAGE))?,
        generation: Arc::from(text(2)?),
        enqueued: text(3)?.parse().map_err(damaged(MESSAGE))?,
        expires: text(4)?.parse().map_err(damaged(MESSAGE))?,
        ack: from_json(MESSAGE, text(5)?)?,
        properties: from_json(MESSAGE, text(7)?)?,
        body: Bytes::copy_from_slice(row.get_ref(8)?.as_blob().map_err(damaged(MESSAGE))?),
    })
}

pub(super) fn put_feedback(connection: &Connection, record: &FeedbackRecord) -> Result<(), RowError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO feedback (sequence, document) VALUES (?1, ?2)")?
        .execute(params![number(record.sequence.0)?, json("feedback", record)?])?;
    Ok(())
}

pub(super) fn remove_feedback(connection: &Connection, sequence: Sequence) -> Result<(), RowError> {
    let sequence = number(sequence.0)?;
    connection.prepare_cached("DELETE FROM feedback WHERE sequence = ?1")?.execute([sequence])?;
    Ok(())
}

pub(super) fn put_file_notice(connection: &Connection, notice: &FileNotice) -> Result<(), RowError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO file_notice (sequence, document) VALUES (?1, ?2)")?
        .execute(params![number(notice.sequence.0)?, json("file notice", notice)?])?;
    Ok(())
}

pub(super) fn remove_file_notice(connection: &Connection, sequence: Sequence) -> Result<(), RowError> {
    let sequence = number(sequence.0)?;
    connection.prepare_cached("DELETE FROM file_notice WHERE sequence = ?1")?.execute([sequence])?;
    Ok(())
}
