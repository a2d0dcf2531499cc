//! What was typed after `hem bench`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

/// What the exit codes of `hem bench` mean.
const EXIT_CODES: &str = "\
Exit codes:
  0   measured, and all counts add up
  1   an error; or something was lost: a session, a message, a change
  64  the command line was wrong";

/// `hem bench`
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Load a hub that speaks as IoT Hub does: idle sessions, clients that come back, telemetry, twin changes, direct methods.
    ///
    /// Makes its devices through the service API and removes them again. All of it is bounded in count and time.
    Hub(BenchHub),
    /// Put the same load of idle sessions, clients that come back and QoS 1 messages on any MQTT broker, to compare.
    Broker(BenchBroker),
}

/// `hem bench hub`
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct BenchHub {
    /// Where MQTT is dialled; without it the host of the connection string.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Port of MQTT over TLS; without it that of the hub in the data directory, else 8883.
    #[arg(long, value_name = "PORT")]
    pub(crate) mqtt_port: Option<u16>,
    /// Port of MQTT without TLS (`hem up --plain-mqtt-port`); it is used instead.
    #[arg(long, conflicts_with = "mqtt_port", value_name = "PORT")]
    pub(crate) plain_mqtt_port: Option<u16>,
    /// Devices whose twin is changed, at most as many as there are sessions.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) patched: u32,
    /// Direct methods.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) calls: u32,
    /// Direct methods at a time.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) callers: u32,
    /// Measure nothing; remove devices that runs before this one left behind, because they were killed.
    #[arg(long)]
    pub(crate) remove_leftovers: bool,
    #[command(flatten)]
    pub(crate) load: LoadFlags,
}

/// `hem bench broker`
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct BenchBroker {
    /// Where the broker is.
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub(crate) host: String,
    /// Its port.
    #[arg(long, default_value_t = 1883, value_name = "PORT")]
    pub(crate) port: u16,
    /// Use TLS, and trust the authority of --ca.
    #[arg(long)]
    pub(crate) tls: bool,
    /// User name of all clients.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Their password.
    #[arg(
        long,
        env = "HEM_BENCH_PASSWORD",
        hide_env_values = true,
        requires = "user",
        value_name = "PASSWORD"
    )]
    pub(crate) password: Option<String>,
    #[command(flatten)]
    pub(crate) load: LoadFlags,
}

/// What is put on, and how much of it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadFlags {
    /// Only these; without it all.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LOAD,…")]
    pub(crate) only: Vec<LoadKind>,
    /// Sessions that are open at the same time.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) sessions: u32,
    /// How often clients come back, subscribe and go.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connects: u32,
    /// Clients that come in, or twins that are changed, at a time.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) lanes: u32,
    /// QoS 1 messages in all.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) messages: u32,
    /// Clients that send them.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=49))]
    pub(crate) senders: u32,
    /// Unacknowledged messages of each sender.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) window: u16,
    /// Bytes of each message.
    #[arg(long, default_value_t = 256, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(16..=131_072))]
    pub(crate) body: u32,
    /// All of it is broken off after this time.
    #[arg(long, default_value = "10m", value_parser = super::seconds, value_name = "TIME")]
    pub(crate) time_limit: Duration,
    /// Process of the server, whose memory and processor time are measured; that of a hub in the data directory is known.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// Also load a server that is not on this machine.
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

/// One load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoadKind {
    /// Sessions that come, subscribe and stay: how fast they come, and the memory of each.
    Idle,
    /// Clients that were there before come, subscribe and go.
    Connects,
    /// QoS 1 messages from many senders to one receiver.
    Telemetry,
    /// A change of desired properties for each of many devices.
    Patches,
    /// Direct methods.
    Methods,
}

impl LoadFlags {
    /// Is this load wanted?
    pub(crate) fn wants(&self, kind: LoadKind) -> bool {
        self.only.is_empty() || self.only.contains(&kind)
    }
}
