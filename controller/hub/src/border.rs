//! The heads without the network: one MQTT connection from its first byte on, the frames and the handshake of a WebSocket,
//! and what stands in HTTP headers and batches. It is the code that serves; only sockets, TLS and the clock are missing.
//!
//! For those who want to send it any bytes (`controller/fuzz`). Nothing in a running hub uses it.

mod conversation;
mod pipe;
mod requests;
mod websocket;

pub use conversation::{Conversation, Moment, Told};
pub use requests::{batch, header_properties, header_text};
pub use websocket::{Unframed, chosen_protocol, unframe};
