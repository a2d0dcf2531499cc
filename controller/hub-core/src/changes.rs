//! Which devices changed since when: for an onlooker in this process that keeps a picture of the whole registry and asks only
//! for what moved.
//!
//! In memory only. A hub that starts has changed altogether, so every device stands here once, at the place of its last
//! change; devices that are gone stay for a while.

use std::collections::{BTreeMap, BTreeSet, btree_map::Range};

use hemline_model::id::DeviceId;

use crate::{
    effect::{Effect, Notice},
    write::Write,
};

/// Devices that are gone and remembered. An onlooker that was away longer begins anew.
const GONE: usize = 10_000;

/// The last change of each device.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    last: u64,
    /// By number of the change.
    devices: BTreeMap<u64, DeviceId>,
    numbers: BTreeMap<DeviceId, u64>,
    /// Numbers of devices that are gone.
    gone: BTreeSet<u64>,
    /// The newest change that is not remembered any more.
    forgotten: u64,
}

impl Changes {
    /// The device is there, and was written to or came or went.
    pub(crate) fn note(&mut self, device: &DeviceId) {
        self.put(device);
    }

    /// Takes from the effects of one event what they change.
    pub(crate) fn follow(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Persist(Write::PutIdentity(identity)) => self.put(&identity.client.device),
                Effect::Persist(Write::PutTwin(twin)) => self.put(&twin.client.device),
                Effect::Persist(Write::DeleteIdentity(client)) => {
                    self.put(&client.device);
                    if client.module.is_none() {
                        self.gone.insert(self.last);
                        self.forget();
                    }
                }
                Effect::Notify(Notice::Connection { client, .. }) => self.put(&client.device),
                _ => {}
            }
        }
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Range<'_, u64, DeviceId> {
        self.devices.range(0..)
    }

    /// Those after this one, oldest first. `None` when some of them are not remembered any more.
    pub(crate) fn since(&self, number: u64) -> Option<Range<'_, u64, DeviceId>> {
        (number == 0 || number >= self.forgotten).then(|| self.devices.range(number.saturating_add(1)..))
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
        while self.gone.len() > GONE {
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
    use hemline_model::id::ClientId;

    use super::*;

    fn id(number: usize) -> DeviceId {
        DeviceId::new(format!("d{number:05}")).unwrap()
    }

    fn since(changes: &Changes, number: u64) -> Option<Vec<(u64, String)>> {
        let found = changes.since(number)?;
        Some(found.map(|(number, device)| (*number, device.to_string())).collect())
    }

    #[test]
    fn a_device_stands_at_its_last_change() {
        let mut changes = Changes::default();
        (0..3).for_each(|number| changes.note(&id(number)));
        changes.note(&id(0));
        let all = [(2, "d00001"), (3, "d00002"), (4, "d00000")].map(|(n, d)| (n, d.to_owned()));
        assert_eq!(since(&changes, 0).unwrap(), all);
        assert_eq!(since(&changes, 3).unwrap(), all[2..]);
        assert_eq!(since(&changes, 4).unwrap(), []);
    }

    #[test]
    fn who_missed_what_is_forgotten_begins_anew() {
        let mut changes = Changes::default();
        changes.note(&id(0));
        let delete = |number| Effect::Persist(Write::DeleteIdentity(ClientId::device(id(number))));
        for number in 1..=GONE + 2 {
            changes.note(&id(number));
            changes.follow(&[delete(number)]);
        }
        assert_eq!(since(&changes, 1), None, "the first that went is forgotten");
        assert_eq!(since(&changes, 0).unwrap().len(), GONE + 1);
        assert_eq!(since(&changes, 0).unwrap()[0], (1, "d00000".to_owned()));
        assert!(since(&changes, changes.forgotten).is_some());
        // One that comes again is not gone any more.
        changes.note(&id(GONE));
        assert_eq!(changes.gone.len(), GONE - 1);
    }
}
