//! Which devices changed since when: for an onlooker in this process that keeps a picture of the whole registry and asks only
//! for what moved.
//!
//! In memory only. A hub that starts has changed altogether, so every device stands here once, at the place of its last
//! change; devices that are gone stay for a while.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::id::DeviceId;

use crate::{
    effect::{Effect, Notice},
    write::Write,
};

/// Devices that are gone and remembered. An onlooker that was away longer begins anew.
pub(crate) const GONE: usize = 10_000;

/// Where an onlooker is. The default is the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeCursor {
    /// The last change that was seen.
    upto: u64,
    /// The last change there was when the onlooker began with nothing: whatever was gone by then, it never saw.
    begun: u64,
}

/// A part of what an onlooker has not seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Where to go on.
    pub(crate) upto: ChangeCursor,
    /// What was seen before holds no more.
    pub(crate) anew: bool,
    pub(crate) more: bool,
    /// Oldest change first.
    pub(crate) devices: Vec<DeviceId>,
}

/// The last change of each device.
#[derive(Debug)]
pub(crate) struct Changes {
    last: u64,
    /// By number of the change.
    devices: BTreeMap<u64, DeviceId>,
    numbers: BTreeMap<DeviceId, u64>,
    /// Numbers of devices that are gone, at most so many.
    gone: BTreeSet<u64>,
    most_gone: usize,
    /// The newest change that is not remembered any more.
    forgotten: u64,
}

impl Changes {
    pub(crate) fn new(most_gone: usize) -> Self {
        Self {
            last: 0,
            devices: BTreeMap::new(),
            numbers: BTreeMap::new(),
            gone: BTreeSet::new(),
            most_gone,
            forgotten: 0,
        }
    }

    /// Takes from the effects of one event what they change.
    pub(crate) fn follow(&mut self, effects: &[Effect], exists: impl Fn(&DeviceId) -> bool) {
        for effect in effects {
            let device = match effect {
                Effect::Persist(Write::PutIdentity(identity)) => &identity.client.device,
                Effect::Persist(Write::PutTwin(twin)) => &twin.client.device,
                Effect::Persist(Write::DeleteIdentity(client))
                | Effect::Notify(Notice::Connection { client, .. }) => &client.device,
                _ => continue,
            };
            self.note(device, exists(device));
        }
    }

    /// Something of a device changed; it may be gone now.
    pub(crate) fn note(&mut self, device: &DeviceId, exists: bool) {
        self.put(device);
        if !exists {
            self.gone.insert(self.last);
            self.forget();
        }
    }

    /// What changed after the cursor, at most so many devices.
    pub(crate) fn page(&self, cursor: ChangeCursor, most: usize) -> Page {
        let anew = cursor == ChangeCursor::default() || cursor.upto.max(cursor.begun) < self.forgotten;
        let mut upto = if anew { ChangeCursor { upto: 0, begun: self.last } } else { cursor };
        let mut devices = Vec::new();
        let mut found = self.devices.range(upto.upto.saturating_add(1)..);
        for (number, device) in found.by_ref().take(most) {
            devices.push(device.clone());
            upto.upto = *number;
        }
        Page { upto, anew, more: found.next().is_some(), devices }
    }

    fn put(&mut self, device: &DeviceId) {
        self.last += 1;
        let before = match self.numbers.get_mut(device) {
            Some(number) => std::mem::replace(number, self.last),
            None => {
                self.numbers.insert(device.clone(), self.last);
                0
            }
        };
        self.devices.remove(&before);
        self.gone.remove(&before);
        self.devices.insert(self.last, device.clone());
    }

    fn forget(&mut self) {
        while self.gone.len() > self.most_gone {
            let Some(number) = self.gone.pop_first() else { return };
            self.forgotten = number;
            if let Some(device) = self.devices.remove(&number) {
                self.numbers.remove(&device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: usize) -> DeviceId {
        DeviceId::new(format!("d{number:02}")).unwrap()
    }

    /// Somebody who remembers which devices there are, and what each was like.
    #[derive(Default)]
    struct Onlooker {
        cursor: ChangeCursor,
        seen: BTreeMap<DeviceId, u32>,
    }

    impl Onlooker {
        /// Looks at one page; is there more?
        fn look(&mut self, changes: &Changes, there: &BTreeMap<DeviceId, u32>, most: usize) -> bool {
            let page = changes.page(self.cursor, most);
            self.cursor = page.upto;
            if page.anew {
                self.seen.clear();
            }
            for device in page.devices {
                match there.get(&device) {
                    Some(state) => drop(self.seen.insert(device, *state)),
                    None => drop(self.seen.remove(&device)),
                }
            }
            page.more
        }
    }

    proptest! {
        /// However much is deleted between two pages: whoever looks until there is no more has seen all, in few looks.
        #[test]
        fn whoever_looks_long_enough_has_seen_all(
            steps in prop::collection::vec((0..30_usize, 0..4_u8), 1..120),
            most_gone in 0..4_usize,
            most in 1..5_usize,
        ) {
            let (mut changes, mut there) = (Changes::new(most_gone), BTreeMap::new());
            let mut onlooker = Onlooker::default();
            for (number, (which, what)) in steps.into_iter().enumerate() {
                let device = id(which);
                match what {
                    0 => drop(there.remove(&device)),
                    1 => {
                        onlooker.look(&changes, &there, most);
                        continue;
                    }
                    _ => drop(there.insert(device.clone(), u32::try_from(number).unwrap())),
                }
                changes.note(&device, there.contains_key(&device));
                prop_assert!(changes.gone.len() <= most_gone);
                prop_assert!(changes.numbers.len() <= there.len() + most_gone);
            }
            let mut looks = 0;
            while onlooker.look(&changes, &there, most) {
                looks += 1;
                prop_assert!(looks <= 2 * 34, "it never ends");
            }
            prop_assert_eq!(onlooker.seen, there);
        }
    }
}
