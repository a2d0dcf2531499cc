//! The embedded store: one SQLite file in WAL mode with `synchronous=FULL`, opened by one hub at a time.
//!
//! `schema.rs` has the tables, `rows.rs` turns values into columns and back. Not here: when to commit (`writer.rs`).

mod cloud_rows;
mod rows;
mod schema;
mod topic_rows;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use hemline_hub_core::{
    message::{Endpoint, Message, QueueEntry, Sequence},
    write::{Restored, Write},
};
use hemline_model::id::ClientId;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::{EVENTS_PAGE_BYTES, Store, StoreError};
use rows::RowError;

/// A store in one file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
}

impl SqliteStore {
    /// Name of the file inside the data directory.
    pub const FILE: &'static str = "hub.sqlite";

    /// Opens the file, or creates it readable by this user only, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened, is open elsewhere, or was written by a newer program.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its -wal file the mode of the main file, so the main file is made first.
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let opened =
            |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open { path: path.into(), source };
        let file = file.map_err(|error| opened(error.into()))?;
        file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(|error| opened(error.into()))?;
        drop(file);
        let mut connection = Connection::open(path).map_err(|error| opened(error.into()))?;
        connection.set_prepared_statement_cache_capacity(64);
        let place = path.to_path_buf();
        prepare(&mut connection).map_err(|error| match error {
            Prepare::TooNew(found) => StoreError::TooNew { path: place, found, known: schema::NEWEST },
            Prepare::Sqlite(error) => opening(place, error),
        })?;
        Ok(Self { connection })
    }
}

enum Prepare {
    TooNew(u32),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Prepare {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn prepare(connection: &mut Connection) -> Result<(), Prepare> {
    // Exclusive before the first access: no second hub can open the file, and no shared-memory file is needed.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let found = schema::version(connection)?;
    if found > schema::NEWEST {
        return Err(Prepare::TooNew(found));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::migrate(&transaction, found)?;
    transaction.commit()?;
    Ok(())
}

fn opening(path: PathBuf, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::DiskFull) => StoreError::Full(error.into()),
        _ => StoreError::Open { path, source: error.into() },
    }
}

fn failed(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(error.into()),
        _ => StoreError::Io { what, source: error.into() },
    }
}

fn writing(error: RowError) -> StoreError {
    match error {
        RowError::Sqlite(error) => failed("write")(error),
        RowError::Damaged { what, source } => StoreError::Damaged { what, source },
    }
}

fn reading(error: RowError) -> StoreError {
    match error {
        RowError::Sqlite(error) => failed("read")(error),
        RowError::Damaged { what, source } => StoreError::Damaged { what, source },
    }
}

// === impl Store ===

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Restored, StoreError> {
        load(&self.connection).map_err(reading)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("write"))?;
        let mut last = None;
        for write in writes {
            last = last.max(sequence_of(write));
            apply(&transaction, write).map_err(writing)?;
        }
        if let Some(last) = last {
            rows::advance(&transaction, last).map_err(writing)?;
        }
        transaction.commit().map_err(failed("write"))
    }

    fn events(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        events(&self.connection, after, limit).map_err(reading)
    }
}

/// The place that a write uses up.
fn sequence_of(write: &Write) -> Option<Sequence> {
    match write {
        Write::Append { message, .. } => Some(message.sequence),
        Write::PutCloudToDevice { message, .. } => Some(message.sequence),
        Write::PutFeedback(record) => Some(record.sequence),
        Write::PutFileNotice(notice) => Some(notice.sequence),
        Write::PutRetained { message, .. } | Write::PutTopicMessage { message, .. } => Some(message.sequence),
        Write::PutIdentity(_)
        | Write::DeleteIdentity(_)
        | Write::PutTwin(_)
        | Write::PutSession(_)
        | Write::DeleteSession(_)
        | Write::Remove { .. }
        | Write::TrimEvents { .. }
        | Write::RemoveCloudToDevice(_)
        | Write::RemoveFeedback(_)
        | Write::RemoveFileNotice(_)
        | Write::RemoveRetained { .. }
        | Write::RemoveTopicMessage { .. }
        | Write::PutPolicy(_) => None,
    }
}

fn load(connection: &Connection) -> Result<Restored, RowError> {
    let identities = rows::documents(connection, "identity")?;
    let twins = rows::documents(connection, "twin")?.into_iter().map(Arc::new).collect();
    let sessions = rows::documents(connection, "session")?;
    let policies = rows::documents(connection, "policy")?;
    let waiting = waiting(connection)?;
    let last_sequence: i64 =
        connection.query_row("SELECT value FROM last_sequence WHERE only = 0", [], |row| row.get(0))?;
    let (count, first): (i64, Option<i64>) =
        connection.query_row("SELECT count(*), min(sequence) FROM message WHERE logged = 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    Ok(Restored {
        identities,
        twins,
        sessions,
        policies,
        waiting,
        cloud_to_device: cloud_rows::messages(connection)?,
        feedback: rows::documents(connection, "feedback")?,
        file_notices: rows::documents(connection, "file_notice")?,
        retained: topic_rows::retained(connection)?,
        topic_messages: topic_rows::messages(connection)?,
        last_sequence: last_sequence.unsigned_abs(),
        events: first.map(|first| (Sequence(first.unsigned_abs()), count.unsigned_abs())),
    })
}

/// A message with the places it waits at.
type Waiting = (Arc<Message>, Vec<QueueEntry>);

fn waiting(connection: &Connection) -> Result<Vec<Waiting>, RowError> {
    let mut places: BTreeMap<Sequence, Vec<QueueEntry>> = BTreeMap::new();
    let mut statement = connection.prepare(
        "SELECT device, module, sequence, input, priority, expires FROM queue ORDER BY sequence, device, module, place",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let entry = rows::entry(row)?;
        places.entry(entry.sequence).or_default().push(entry);
    }
    let mut statement = connection.prepare(&format!("{} WHERE sequence = ?1", rows::SELECT_MESSAGE))?;
    let mut messages = Vec::with_capacity(places.len());
    for (sequence, entries) in places {
        let mut found = statement.query([rows::number(sequence.0)?])?;
        if let Some(row) = found.next()? {
            messages.push((Arc::new(rows::message(row)?), entries));
        }
    }
    Ok(messages)
}

fn events(connection: &Connection, after: Sequence, limit: usize) -> Result<Vec<Arc<Message>>, RowError> {
    let mut statement = connection.prepare_cached(&format!(
        "{} WHERE sequence > ?1 AND logged = 1 ORDER BY sequence LIMIT ?2",
        rows::SELECT_MESSAGE
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // A place beyond what the log can hold is simply after everything.
    let mut found = statement.query(params![i64::try_from(after.0).unwrap_or(i64::MAX), limit])?;
    let mut messages = Vec::new();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let message = rows::message(row)?;
        if bytes > 0 && bytes + message.body.len() > EVENTS_PAGE_BYTES {
            break;
        }
        bytes += message.body.len().max(1);
        messages.push(Arc::new(message));
    }
    Ok(messages)
}

fn apply(transaction: &Transaction<'_>, write: &Write) -> Result<(), RowError> {
    match write {
        Write::PutIdentity(identity) => rows::put(transaction, "identity", &identity.client, identity),
        Write::DeleteIdentity(client) => delete_identity(transaction, client),
        Write::PutTwin(twin) => rows::put(transaction, "twin", &twin.client, &**twin),
        Write::PutSession(session) => rows::put(transaction, "session", &session.client, session),
        Write::DeleteSession(client) => {
            let (device, module) = rows::key(client);
            transaction
                .prepare_cached("DELETE FROM session WHERE device = ?1 AND module = ?2")?
                .execute([device, module])?;
            topic_rows::remove_queue_of(transaction, client)
        }
        Write::Append { message, entries } => append(transaction, message, entries),
        Write::Remove { endpoint, sequence, input } => {
            remove(transaction, endpoint, *sequence, input.as_deref())
        }
        Write::TrimEvents { keep_from } => trim(transaction, *keep_from),
        Write::PutCloudToDevice { message, deliveries } => {
            cloud_rows::put_message(transaction, message, *deliveries)
        }
        Write::RemoveCloudToDevice(sequence) => cloud_rows::remove_message(transaction, *sequence),
        Write::PutFeedback(record) => cloud_rows::put_feedback(transaction, record),
        Write::PutFileNotice(notice) => cloud_rows::put_file_notice(transaction, notice),
        Write::RemoveFileNotice(sequence) => cloud_rows::remove_file_notice(transaction, *sequence),
        Write::RemoveFeedback(sequence) => cloud_rows::remove_feedback(transaction, *sequence),
        Write::PutRetained { device, message } => topic_rows::put_retained(transaction, device, message),
        Write::RemoveRetained { device, topic } => topic_rows::remove_retained(transaction, device, topic),
        Write::PutTopicMessage { message, receivers } => {
            topic_rows::put_message(transaction, message, receivers)
        }
        Write::RemoveTopicMessage { client, sequence } => {
            topic_rows::remove_message(transaction, client, *sequence)
        }
        Write::PutPolicy(policy) => {
            let document = rows::json("policy", policy)?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO policy (name, document) VALUES (?1, ?2)")?
                .execute([&policy.name, &document])?;
            Ok(())
        }
    }
}

/// A device (empty module) takes its modules along, a module only itself.
fn delete_identity(transaction: &Transaction<'_>, client: &ClientId) -> Result<(), RowError> {
    let key = rows::key(client);
    transaction
        .prepare_cached(
            "DELETE FROM message WHERE logged = 0 AND sequence IN
                (SELECT sequence FROM queue WHERE device = ?1 AND (?2 = '' OR module = ?2))
             AND NOT EXISTS (SELECT 1 FROM queue AS other WHERE other.sequence = message.sequence
                AND NOT (other.device = ?1 AND (?2 = '' OR other.module = ?2)))",
        )?
        .execute([key.0, key.1])?;
    for table in ["identity", "twin", "session", "queue"] {
        transaction
            .prepare_cached(&format!("DELETE FROM {table} WHERE device = ?1 AND (?2 = '' OR module = ?2)"))?
            .execute([key.0, key.1])?;
    }
    topic_rows::remove_identity(transaction, client)?;
    match client.module {
        None => cloud_rows::remove_messages_of(transaction, &client.device),
        Some(_) => Ok(()),
    }
}

fn append(transaction: &Transaction<'_>, message: &Message, entries: &[QueueEntry]) -> Result<(), RowError> {
    let logged = entries.iter().any(|entry| entry.endpoint == Endpoint::Events);
    rows::insert_message(transaction, message, logged)?;
    for (place, entry) in (0i64..).zip(entries) {
        if let Some(key) = rows::queue_key(&entry.endpoint) {
            rows::insert_entry(transaction, key, place, entry)?;
        }
    }
    Ok(())
}

fn remove(
    transaction: &Transaction<'_>,
    endpoint: &Endpoint,
    sequence: Sequence,
    input: Option<&str>,
) -> Result<(), RowError> {
    let sequence = rows::number(sequence.0)?;
    match rows::queue_key(endpoint) {
        None => {
            transaction
                .prepare_cached("UPDATE message SET logged = 0 WHERE sequence = ?1")?
                .execute([sequence])?;
        }
        Some((device, module)) => {
            transaction
                .prepare_cached(
                    "DELETE FROM queue WHERE device = ?1 AND module = ?2 AND sequence = ?3 AND input IS ?4",
                )?
                .execute(params![device, module, sequence, input])?;
        }
    }
    transaction
        .prepare_cached(
            "DELETE FROM message WHERE sequence = ?1 AND logged = 0
             AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.sequence = ?1)",
        )?
        .execute([sequence])?;
    Ok(())
}

fn trim(transaction: &Transaction<'_>, keep_from: Sequence) -> Result<(), RowError> {
    let keep_from = rows::number(keep_from.0)?;
    transaction
        .prepare_cached(
            "DELETE FROM message WHERE sequence < ?1
             AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.sequence = message.sequence)",
        )?
        .execute([keep_from])?;
    // What still waits for a module stays, but leaves the log.
    transaction
        .prepare_cached("UPDATE message SET logged = 0 WHERE sequence < ?1 AND logged = 1")?
        .execute([keep_from])?;
    Ok(())
}
