//! Packet ids of what the hub publishes at QoS 1 on one connection, and what each of them stands for.

use std::collections::HashMap;

use hemline_hub_core::event::DeliveryId;

/// Ids in use.
#[derive(Debug)]
pub(super) struct PacketIds {
    last: u16,
    limit: usize,
    taken: HashMap<u16, Option<DeliveryId>>,
}

/// The client acknowledges too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl PacketIds {
    pub(super) fn new(limit: usize) -> Self {
        Self { last: 0, limit: limit.clamp(1, usize::from(u16::MAX) - 1), taken: HashMap::new() }
    }

    /// An id that is not in use. `delivery` comes back from `release`.
    pub(super) fn take(&mut self, delivery: Option<DeliveryId>) -> Result<u16, Exhausted> {
        if self.taken.len() >= self.limit {
            return Err(Exhausted);
        }
        // Fewer ids are taken than there are, so this ends.
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if let std::collections::hash_map::Entry::Vacant(entry) = self.taken.entry(self.last) {
                entry.insert(delivery);
                return Ok(self.last);
            }
        }
    }

    /// The client acknowledged an id. `None` also for an id that was never taken: clients do that.
    pub(super) fn release(&mut self, id: u16) -> Option<DeliveryId> {
        self.taken.remove(&id).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_around_those_in_use() {
        let mut ids = PacketIds::new(100_000);
        assert_eq!(ids.take(Some(DeliveryId(1))), Ok(1));
        for expected in 2..=u16::MAX {
            assert_eq!(ids.take(None), Ok(expected));
            assert_eq!(ids.release(expected), None);
        }
        assert_eq!(ids.take(None), Ok(2), "0 is no id and 1 is in use");
        assert_eq!(ids.release(1), Some(DeliveryId(1)));
        assert_eq!(ids.release(1), None);
    }

    #[test]
    fn a_client_that_acknowledges_nothing_is_noticed() {
        let mut ids = PacketIds::new(2);
        assert!(ids.take(None).is_ok() && ids.take(None).is_ok());
        assert_eq!(ids.take(None), Err(Exhausted));
        ids.release(1);
        assert_eq!(ids.take(None), Ok(3));
    }
}
