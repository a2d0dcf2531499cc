//! Feedback that waits for the service side: what became of cloud-to-device messages (reference service-api §5.5).
//!
//! Records are taken in batches under a lock. As with messages, locks are not on disk: after a restart every record that
//! was not settled is there to be received again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::{later, moved},
    cloud_to_device::{FeedbackBatch, FeedbackRecord, LockToken},
    message::Sequence,
};

/// Records of one batch (reference service-api §5.5).
const BATCH: usize = 64;

/// All records, oldest first.
#[derive(Debug, Default)]
pub(crate) struct FeedbackQueue {
    available: BTreeMap<Sequence, FeedbackRecord>,
    locked: BTreeMap<LockToken, Locked>,
    held: usize,
}

#[derive(Debug)]
struct Locked {
    until: Timestamp,
    records: Vec<FeedbackRecord>,
}

impl FeedbackQueue {
    /// One more record, new or read from the store.
    pub(crate) fn push(&mut self, record: FeedbackRecord) {
        self.available.insert(record.sequence, record);
    }

    /// The oldest records under a lock, if there are any.
    pub(crate) fn receive(&mut self, lock: LockToken, until: Timestamp) -> Option<FeedbackBatch> {
        let mut records = Vec::new();
        while records.len() < BATCH {
            let Some((_, record)) = self.available.pop_first() else { break };
            records.push(record);
        }
        if records.is_empty() {
            return None;
        }
        self.held += records.len();
        self.locked.insert(lock, Locked { until, records: records.clone() });
        Some(FeedbackBatch { lock, records })
    }

    /// The records of a batch that was dealt with; they are nobody's now.
    pub(crate) fn settle(&mut self, lock: LockToken) -> Option<Vec<FeedbackRecord>> {
        let locked = self.locked.remove(&lock)?;
        self.held = self.held.saturating_sub(locked.records.len());
        Some(locked.records)
    }

    /// A batch is given back. Says whether there was one.
    pub(crate) fn give_back(&mut self, lock: LockToken) -> bool {
        match self.settle(lock) {
            Some(records) => {
                records.into_iter().for_each(|record| self.push(record));
                true
            }
            None => false,
        }
    }

    /// Locks that ran out are given back; records that nobody took for so many seconds are named, and are nobody's now.
    pub(crate) fn expire(&mut self, now: Timestamp, keep_seconds: i64) -> Vec<Sequence> {
        let over: Vec<LockToken> =
            self.locked.iter().filter(|(_, locked)| locked.until <= now).map(|(lock, _)| *lock).collect();
        for lock in over {
            self.give_back(lock);
        }
        let mut gone = Vec::new();
        while let Some((sequence, record)) = self.available.first_key_value() {
            if later(record.at, keep_seconds) > now {
                break;
            }
            gone.push(*sequence);
            self.available.pop_first();
        }
        gone
    }

    /// The clock was set: every lock lasts as long as before.
    pub(crate) fn clock_set(&mut self, by: SignedDuration) {
        self.locked.values_mut().for_each(|locked| locked.until = moved(locked.until, by));
    }

    /// How many there are, those under a lock included.
    pub(crate) fn len(&self) -> usize {
        self.available.len() + self.held
    }
}
