//! Retention of the event log: knows how much the log holds and says when its oldest part has to go.
//!
//! The messages themselves are in the store. Only the first place of every block is kept here, so the log may exceed
//! its limit by one block, and this stays small however long the log is.

use std::collections::VecDeque;

use crate::message::Sequence;

/// Blocks that a full log consists of.
const BLOCKS: u64 = 64;

/// The log in blocks, oldest first.
#[derive(Debug)]
pub(crate) struct EventLog {
    limit_messages: u64,
    limit_bytes: u64,
    blocks: VecDeque<Block>,
    messages: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Block {
    first: Sequence,
    messages: u64,
    bytes: u64,
}

impl EventLog {
    /// A log that holds `found` already: its first place and how many messages there are.
    pub(crate) fn new(limit_messages: u64, limit_bytes: u64, found: Option<(Sequence, u64)>) -> Self {
        let mut log = Self { limit_messages, limit_bytes, blocks: VecDeque::new(), messages: 0, bytes: 0 };
        if let Some((first, messages)) = found {
            log.blocks.push_back(Block { first, messages, bytes: 0 });
            log.messages = messages;
        }
        log
    }

    /// One more message. Says from where on the log is to be kept when it has become too long.
    pub(crate) fn push(&mut self, sequence: Sequence, bytes: u64) -> Option<Sequence> {
        let (per_block, bytes_per_block) =
            ((self.limit_messages / BLOCKS).max(1), (self.limit_bytes / BLOCKS).max(1));
        self.messages += 1;
        self.bytes += bytes;
        match self.blocks.back_mut() {
            Some(block) if block.messages < per_block && block.bytes < bytes_per_block => {
                block.messages += 1;
                block.bytes += bytes;
            }
            Some(_) | None => self.blocks.push_back(Block { first: sequence, messages: 1, bytes }),
        }
        let before = self.blocks.len();
        while self.blocks.len() > 1 {
            let oldest = self.blocks.front()?;
            let fits =
                self.messages - oldest.messages < self.limit_messages && self.bytes <= self.limit_bytes;
            if fits {
                break;
            }
            self.messages -= oldest.messages;
            self.bytes -= oldest.bytes;
            self.blocks.pop_front();
        }
        if self.blocks.len() < before { self.blocks.front().map(|block| block.first) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_at_least_the_limit_and_at_most_a_block_more() {
        let mut log = EventLog::new(640, u64::MAX, None);
        let mut keep_from = 1;
        for sequence in 1..=5_000 {
            if let Some(Sequence(from)) = log.push(Sequence(sequence), 1) {
                assert!(from > keep_from);
                keep_from = from;
            }
            let held = sequence - keep_from + 1;
            assert!(held <= 650, "{held} held");
            assert!(sequence < 640 || held >= 640, "{held} held");
        }
    }

    #[test]
    fn what_was_there_before_goes_first_and_as_a_whole() {
        let mut log = EventLog::new(64, u64::MAX, Some((Sequence(1), 1_000)));
        let trims: Vec<_> = (2_001..2_100).filter_map(|sequence| log.push(Sequence(sequence), 1)).collect();
        assert_eq!(trims.first(), Some(&Sequence(2_001)));
        assert_eq!(log.messages, 64);
    }

    #[test]
    fn bytes_count_too() {
        let mut log = EventLog::new(u64::MAX, 6_400, None);
        for sequence in 1..=1_000 {
            log.push(Sequence(sequence), 100);
            assert!(log.bytes <= 6_400);
        }
    }
}
