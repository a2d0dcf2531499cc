//! The HTTPS API of Hemline itself, beside the IoT Hub REST API: fleets, status, live messages, health.
//!
//! Not here: the calls that Azure service SDKs make (they are the hub's HTTP head), and the listener.

mod access;
mod cloud_to_device;
mod devices;
mod drift;
mod error;
mod files;
mod fleet;
mod health;
mod messages;
mod metrics;
mod policies;
mod rollouts;
mod router;
mod sources;
mod status;

pub use cloud_to_device::{BodyForm, CommandDocument, FeedbackDocument, FeedbackRow, PurgedRow, SentRow};
pub use devices::{DeviceRow, ModuleRow, device_rows, module_rows};
pub use files::{FileList, FileRow};
pub use messages::MessageRow;
pub use router::{ApiState, router};
pub use sources::SourceHooks;
pub use status::StatusDocument;
