//! Cloud-to-device messages and their feedback as values (reference device-protocol §7, service-api §5.5).
//!
//! Not here: the queues they wait in (`cloud_queue.rs`, `feedback_queue.rs`) and what moves them
//! (`core/cloud_to_device.rs`).

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use hemline_model::id::DeviceId;
use hemline_protocol::{properties::Properties, time};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::message::Sequence;

/// Which outcomes the sender wants to hear of (`iothub-ack`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ack {
    /// None.
    #[default]
    None,
    /// That the device completed it.
    Positive,
    /// That it never will.
    Negative,
    /// Both.
    Full,
}

/// How a message left its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The device completed it.
    Success,
    /// Nobody took it in time.
    Expired,
    /// The device gave it back too often.
    DeliveryCountExceeded,
    /// The device refused it.
    Rejected,
    /// The service emptied the queue, or removed the device.
    Purged,
}

/// One message for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudToDevice {
    /// Its place among everything that the hub accepted; also its place in the queue of the device.
    pub sequence: Sequence,
    /// For whom.
    pub device: DeviceId,
    /// Generation of that identity.
    pub generation: Arc<str>,
    /// When the hub accepted it.
    pub enqueued: Timestamp,
    /// From then on it is not delivered any more.
    pub expires: Timestamp,
    /// What feedback is wanted.
    pub ack: Ack,
    /// As the device will see them; message id and expiry are always set.
    pub properties: Properties,
    /// Verbatim. At most 64 KiB with the properties.
    pub body: Bytes,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackRecord {
    /// Its own place, not that of the message.
    pub sequence: Sequence,
    /// `$.mid` of the message.
    pub message_id: String,
    /// For whom it was.
    pub device: DeviceId,
    /// Generation of that identity.
    pub generation: Arc<str>,
    /// When it was decided.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

/// Proof of having received something, needed to settle it. Looks like a GUID: clients put it into paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockToken(pub [u8; 16]);

/// A text that is no lock token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a lock token: 32 hex digits with hyphens, as in the ETag of the message")]
pub struct NoLockToken;

/// What the receiver does with what it holds a lock on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done with.
    Complete,
    /// Not wanted, now or later.
    Reject,
    /// Back into the queue.
    Abandon,
}

/// A message that a device received over HTTPS and has to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Arc<CloudToDevice>,
    /// How often it was given back.
    pub deliveries: u32,
    /// For settling it.
    pub lock: LockToken,
}

/// Feedback that the service side received and has to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackBatch {
    /// For settling it.
    pub lock: LockToken,
    /// Oldest first, at least one.
    pub records: Vec<FeedbackRecord>,
}

impl Ack {
    /// Reads `iothub-ack`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Positive, Self::Negative, Self::Full]
            .into_iter()
            .find(|ack| ack.as_str().eq_ignore_ascii_case(text))
    }

    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }

    /// Is this outcome to be told?
    #[must_use]
    pub fn wants(self, outcome: Outcome) -> bool {
        let good = match outcome {
            Outcome::Success => true,
            Outcome::Expired | Outcome::DeliveryCountExceeded | Outcome::Rejected | Outcome::Purged => false,
        };
        match self {
            Self::None => false,
            Self::Positive => good,
            Self::Negative => !good,
            Self::Full => true,
        }
    }
}

impl Outcome {
    /// As in `statusCode`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Rejected => "Rejected",
            Self::Purged => "Purged",
        }
    }
}

impl FeedbackRecord {
    /// The record as the service side reads it (reference service-api §5.5).
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "originalMessageId": self.message_id,
            "description": self.outcome.as_str(),
            "deviceGenerationId": self.generation,
            "deviceId": self.device,
            "enqueuedTimeUtc": time::iso(self.at),
            "statusCode": self.outcome.as_str(),
        })
    }
}

impl LockToken {
    /// From fresh random bytes.
    pub(crate) fn from_entropy(entropy: crate::event::Entropy) -> Self {
        let mut token = [0; 16];
        token.iter_mut().zip(entropy.0).for_each(|(to, from)| *to = from);
        Self(token)
    }
}

impl fmt::Display for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for LockToken {
    type Err = NoLockToken;

    fn from_str(text: &str) -> Result<Self, NoLockToken> {
        let mut digits = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16));
        let mut token = [0; 16];
        for byte in &mut token {
            let mut digit = || digits.next().flatten().and_then(|digit| u8::try_from(digit).ok());
            let (high, low) = (digit().ok_or(NoLockToken)?, digit().ok_or(NoLockToken)?);
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(NoLockToken) } else { Ok(Self(token)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_what() {
        use Outcome::{DeliveryCountExceeded, Expired, Purged, Rejected, Success};
        let all = [Success, Expired, DeliveryCountExceeded, Rejected, Purged];
        for (text, told) in [
            ("none", vec![]),
            ("positive", vec![Success]),
            ("Negative", vec![Expired, DeliveryCountExceeded, Rejected, Purged]),
            ("FULL", all.to_vec()),
        ] {
            let ack = Ack::parse(text).unwrap();
            assert_eq!(all.into_iter().filter(|o| ack.wants(*o)).collect::<Vec<_>>(), told, "{text}");
            assert!(ack.as_str().eq_ignore_ascii_case(text));
        }
        assert_eq!(Ack::parse("sometimes"), None);
    }

    #[test]
    fn lock_tokens_print_and_parse() {
        let token = LockToken([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 254, 255]);
        let text = "00010203-0405-0607-0809-0a0b0c0dfeff";
        assert_eq!(token.to_string(), text);
        assert_eq!(text.parse(), Ok(token));
        assert_eq!(text.to_uppercase().replace('-', "").parse(), Ok(token));
        for wrong in
            ["", "0001", "00010203-0405-0607-0809-0a0b0c0dfeff0", "é", "zz010203-0405-0607-0809-0a0b0c0dfeff"]
        {
            assert_eq!(wrong.parse::<LockToken>(), Err(NoLockToken), "{wrong}");
        }
    }
}
