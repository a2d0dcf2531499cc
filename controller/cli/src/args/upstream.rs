//! What makes a hub the hub of an edge device, beneath another one.

use std::path::PathBuf;

use clap::ValueEnum;

/// Flags of `hem up`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Beneath another hub")]
pub(crate) struct UpstreamFlags {
    /// This is the hub of an edge device: what goes to `$upstream` goes to its parent hub. The connection string of the
    /// device there, or of its `$edgeHub`; GatewayHostName, if any, is dialled. Better in the environment than typed.
    #[arg(
        long,
        env = "HEM_UPSTREAM",
        hide_env_values = true,
        value_name = "CONNECTION_STRING",
        requires = "upstream_ca"
    )]
    pub(crate) upstream: Option<String>,
    /// File that holds the connection string, instead of --upstream.
    #[arg(
        long,
        env = "HEM_UPSTREAM_FILE",
        value_name = "FILE",
        conflicts_with = "upstream",
        requires = "upstream_ca"
    )]
    pub(crate) upstream_file: Option<PathBuf>,
    /// File of the authorities (PEM) that may vouch for the parent: what `hem ca` prints there.
    #[arg(long, env = "HEM_UPSTREAM_CA", value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,
    /// Port of MQTT at the parent.
    #[arg(long, default_value_t = 8883, value_name = "PORT")]
    pub(crate) upstream_port: u16,
    /// What the parent understands; without it plain for names that end in .azure-devices.net, else nested.
    #[arg(long, value_enum, value_name = "DIALECT")]
    pub(crate) upstream_dialect: Option<DialectName>,
}

/// What a parent understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectName {
    /// A Hemline: everything, in the name of everybody beneath.
    Nested,
    /// An IoT Hub: messages in the name of $edgeHub, with the sender among the properties.
    Plain,
}
