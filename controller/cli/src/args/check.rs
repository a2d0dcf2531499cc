//! What was typed after `hem check`.

use clap::ValueEnum;

/// What the exit codes of `hem check` mean.
const EXIT_CODES: &str = "\
Exit codes:
  0   nothing is wrong; there may be warnings
  1   something is wrong; with --warnings-as-errors also after a warning
  64  the command line was wrong";

/// `hem check`
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Check {
    /// Leave this one out; may be given more than once.
    #[arg(long, value_enum, value_name = "ID")]
    pub(crate) dont_run: Vec<CheckId>,
    /// A warning is wrong, too.
    #[arg(long)]
    pub(crate) warnings_as_errors: bool,
    /// List the checks and what each looks at, and run none.
    #[arg(long)]
    pub(crate) list: bool,
    /// Docker or Podman socket that container modules run on.
    #[arg(long, env = "DOCKER_HOST", value_name = "SOCKET")]
    pub(crate) docker: Option<String>,
    /// Compare the clock of this machine with this time server, such as `pool.ntp.org:123`; without it nobody is asked.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) ntp_server: Option<String>,
}

/// One check, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum CheckId {
    /// The data directory belongs to this user alone and takes files.
    DataDirectory,
    /// The disk of the data directory has room.
    DiskSpace,
    /// What is kept in the data directory is still there after a reboot.
    StorageLasts,
    /// Private keys can be read by their owner alone.
    PrivateKeys,
    /// The hub may open as many connections as a fleet needs.
    OpenFiles,
    /// The clock of this machine is right.
    HostLocalTime,
    /// The certificate authority that devices trust lives on.
    LocalCaCertificateExpiry,
    /// A container engine answers.
    ContainerEngine,
    /// A hub runs and answers.
    HubRunning,
    /// The hub is of the same version as this program.
    HubVersion,
    /// HTTPS: the name is found, the certificate fits, the hub answers.
    HostConnectHubHttps,
    /// MQTT over TLS, the same.
    HostConnectHubMqtt,
    /// MQTT over WebSocket, the same.
    HostConnectHubMqttWs,
    /// The hub's certificate lives on and holds the name in connection strings.
    ServerCertificate,
    /// Containers reach the hub through the address of the engine's network.
    ContainerConnectHubMqtt,
    /// The source is read, its newest revision is in force, and people hear of it.
    Source,
}
