//! Cloud-to-device messages of the parent, for those beneath this edge hub (reference edge-runtime §5.8).
//!
//! They are not kept here: a message is acknowledged to the parent when its device has it, not before. So what became of it is
//! told truly, and where it waits is one place. Not here: calls of the parent, which are like any other (`methods.rs`).

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId};
use hemline_protocol::{properties::Properties, time};
use jiff::Timestamp;

use super::Core;
use crate::{
    clock::later,
    cloud_to_device::{Ack, CloudToDevice, Outcome},
    effect::Effect,
    message::Sequence,
    upstream::{Receipt, ToParent},
};

/// A message of the parent.
pub(super) struct Relayed {
    pub(super) device: DeviceId,
    pub(super) receipt: Receipt,
    pub(super) properties: Box<Properties>,
    pub(super) body: Bytes,
}

impl Core {
    pub(super) fn relay_to_device(&mut self, relayed: Relayed, now: Timestamp, out: &mut Vec<Effect>) {
        let Relayed { device, receipt, properties, body } = relayed;
        let client = ClientId::device(device.clone());
        // The parent may be faster with the message than with the identity.
        let known = self.registry.identity(&client).map(|identity| identity.generation.clone());
        let generation = known.unwrap_or_else(|| Arc::from(""));
        let limits = &self.config.limits;
        let (seconds, most) = (limits.cloud_seconds, limits.cloud_messages);
        let expires = properties.system.expiry.as_deref().and_then(time::parse);
        let sequence = Sequence(self.last_sequence + 1);
        let message = CloudToDevice {
            sequence,
            device: device.clone(),
            generation,
            enqueued: now,
            expires: expires.unwrap_or_else(|| later(now, seconds)),
            // Feedback is the parent's business.
            ack: Ack::None,
            properties: *properties,
            body,
        };
        let Some(up) = self.linked() else {
            return;
        };
        if up.relayed.values().filter(|(other, _)| *other == device).count() >= most {
            return; // a parent keeps no more for one device; it sends this one again on the next link
        }
        up.relayed.insert(sequence, (device, receipt));
        self.last_sequence = sequence.0;
        self.cloud.push(Arc::new(message), 0);
        self.counters.cloud_accepted += 1;
        self.pump_cloud(&client, now, out);
    }

    /// Is this a message of the parent? Then it is not on this hub's disk.
    pub(super) fn is_relayed(&mut self, sequence: Sequence) -> bool {
        self.linked().is_some_and(|up| up.relayed.contains_key(&sequence))
    }

    /// Was this a message of the parent? Then it is told, if the device has it; what is not acknowledged expires there.
    pub(super) fn relayed_settled(
        &mut self,
        sequence: Sequence,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(up) = self.linked() else {
            return false;
        };
        let Some((_, receipt)) = up.relayed.remove(&sequence) else {
            return false;
        };
        match outcome {
            Outcome::Success => {
                out.push(Effect::Upstream { link: up.id, what: ToParent::Acknowledge(receipt) });
            }
            Outcome::Expired | Outcome::DeliveryCountExceeded | Outcome::Rejected | Outcome::Purged => {}
        }
        true
    }
}
