//! Disk before effects: one thread owns the store, commits everything that is queued in one transaction (group
//! commit), and only then releases the effects, in order.
//!
//! When a commit fails the hub is ahead of its disk. It then releases nothing of that batch, closes every connection
//! and stops: clients come back to what the disk says, and nothing that was acknowledged is missing there.

use std::{sync::Arc, thread};

use hemline_hub_core::{
    effect::Effect,
    message::{Message, Sequence},
    write::Write,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    error::HubError,
    outbox::Outbox,
    store::{Store, StoreError},
};

/// Jobs that wait for the thread. Full makes the task wait, which makes heads wait.
const DEPTH: usize = 512;

/// A group is committed at this many bytes even if more is queued, so that the first of it does not wait for ever.
const GROUP_BYTES: usize = 8 << 20;

/// What the thread does.
#[derive(Debug)]
pub(crate) enum Job {
    /// Persist what is to be persisted, then release the rest.
    Effects(Vec<Effect>),
    /// Read the event log, after everything that was queued before.
    Events { after: Sequence, limit: usize, answer: oneshot::Sender<Result<Vec<Arc<Message>>, StoreError>> },
}

/// A running writer.
#[derive(Debug)]
pub(crate) struct Writer {
    thread: thread::JoinHandle<Result<(), StoreError>>,
    ended: oneshot::Receiver<()>,
}

/// Starts the thread. It ends when every sender is dropped, or with the first failed commit, and then cancels `stop`.
pub(crate) fn start(
    store: Box<dyn Store>,
    outbox: Arc<Outbox>,
    stop: CancellationToken,
) -> Result<(Writer, mpsc::Sender<Job>), HubError> {
    let (sender, jobs) = mpsc::channel(DEPTH);
    let (end, ended) = oneshot::channel();
    let guard = Guard { outbox: outbox.clone(), stop, _end: end };
    let body = move || {
        let _guard = guard;
        run(store, jobs, &outbox)
    };
    let thread = thread::Builder::new()
        .name("hub-writer".into())
        .spawn(body)
        .map_err(|source| HubError::System { what: "a thread", source })?;
    Ok((Writer { thread, ended }, sender))
}

/// However the thread ends, nobody waits for it in vain.
struct Guard {
    outbox: Arc<Outbox>,
    stop: CancellationToken,
    _end: oneshot::Sender<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop.cancel();
        self.outbox.fail();
    }
}

impl Writer {
    /// Waits for the end of the thread.
    pub(crate) async fn join(self) -> Result<(), HubError> {
        // The sender is dropped last thing on the thread, so the join below does not block for long.
        drop(self.ended.await);
        match self.thread.join() {
            Ok(result) => Ok(result?),
            Err(_) => Err(HubError::Defect("writer")),
        }
    }
}

fn run(mut store: Box<dyn Store>, mut jobs: mpsc::Receiver<Job>, outbox: &Outbox) -> Result<(), StoreError> {
    while let Some(first) = jobs.blocking_recv() {
        let mut group = Group::default();
        group.add(first);
        while group.bytes < GROUP_BYTES && group.jobs < DEPTH {
            let Ok(job) = jobs.try_recv() else { break };
            group.add(job);
        }
        if !group.writes.is_empty()
            && let Err(error) = store.commit(&group.writes)
        {
            tracing::error!(writes = group.writes.len(), error = %Chain(&error), "the store failed, the hub stops");
            return Err(error);
        }
        for effect in group.effects {
            outbox.release(effect);
        }
        for read in group.reads {
            // A reader may have given up meanwhile.
            drop(read.answer.send(store.events(read.after, read.limit)));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    effects: Vec<Effect>,
    reads: Vec<Read>,
    bytes: usize,
    jobs: usize,
}

struct Read {
    after: Sequence,
    limit: usize,
    answer: oneshot::Sender<Result<Vec<Arc<Message>>, StoreError>>,
}

impl Group {
    fn add(&mut self, job: Job) {
        self.jobs += 1;
        match job {
            Job::Effects(effects) => {
                for effect in effects {
                    match effect {
                        Effect::Persist(write) => {
                            self.bytes += body_bytes(&write);
                            self.writes.push(write);
                        }
                        other => self.effects.push(other),
                    }
                }
            }
            Job::Events { after, limit, answer } => self.reads.push(Read { after, limit, answer }),
        }
    }
}

fn body_bytes(write: &Write) -> usize {
    match write {
        Write::Append { message, .. } => message.body.len(),
        Write::PutCloudToDevice { message, .. } => message.body.len(),
        Write::PutRetained { message, .. } | Write::PutTopicMessage { message, .. } => message.body.len(),
        Write::PutIdentity(_)
        | Write::DeleteIdentity(_)
        | Write::PutTwin(_)
        | Write::PutSession(_)
        | Write::DeleteSession(_)
        | Write::Remove { .. }
        | Write::TrimEvents { .. }
        | Write::RemoveCloudToDevice(_)
        | Write::PutFeedback(_)
        | Write::RemoveFeedback(_)
        | Write::PutFileNotice(_)
        | Write::RemoveFileNotice(_)
        | Write::RemoveRetained { .. }
        | Write::RemoveTopicMessage { .. }
        | Write::PutPolicy(_) => 0,
    }
}

/// Prints an error with its causes on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
