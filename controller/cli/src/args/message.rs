//! What `hem message send` takes.

use std::path::PathBuf;

use clap::ValueEnum;

/// `hem message send`
#[derive(Debug, clap::Args)]
pub(crate) struct SendMessage {
    /// Device id.
    pub(crate) device: String,
    /// The body, as text.
    #[arg(long, value_name = "TEXT", conflicts_with = "body_file")]
    pub(crate) body: Option<String>,
    /// The body, as bytes of a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,
    /// An application property; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) property: Vec<String>,
    /// What to be told by `hem message feedback`.
    #[arg(long, value_enum)]
    pub(crate) ack: Option<Ack>,
    /// How long the device has (`90s`, `2h`), or until when (`2026-01-31T12:00:00Z`); an hour unless given, two days at most.
    #[arg(long, value_name = "TIME")]
    pub(crate) expiry: Option<String>,
    /// What feedback will call it; made by the hub unless given.
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,
    /// For the device: which message this one belongs to.
    #[arg(long, value_name = "ID")]
    pub(crate) correlation_id: Option<String>,
    /// For the device, such as `application/json`.
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// For the device, such as `utf-8`.
    #[arg(long, value_name = "NAME")]
    pub(crate) content_encoding: Option<String>,
}

/// Which outcomes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ack {
    /// None.
    None,
    /// That the device took it.
    Positive,
    /// That it was lost, refused or dropped.
    Negative,
    /// Both.
    Full,
}

impl Ack {
    /// As the hub reads it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}
