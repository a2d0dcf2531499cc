//! What was typed. Meaning is given to it in `commands/`.

mod bench;
mod check;
mod diff;
mod file;
mod message;
mod rollout;
mod route;
mod source;
pub(crate) mod upstream;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use hemline_plan::{Deny, Limit, Policy};

pub(crate) use self::bench::{Bench, BenchBroker, BenchHub, LoadFlags, LoadKind};
pub(crate) use self::check::{Check, CheckId};
pub(crate) use self::diff::Diff;
pub(crate) use self::file::FileCommand;
pub(crate) use self::message::SendMessage;
pub(crate) use self::rollout::{Rollout, RolloutOf, Simulate};
pub(crate) use self::route::{RouteCommand, RouteTest};
pub(crate) use self::source::{
    CONTEXT, Forge, ForgeFlags, GitFlags, INTERVAL, STATUS_BRANCH, STATUS_EVERY, SourceFlags,
};

/// Keeps fleets of edge devices at what the documents say.
#[derive(Debug, Parser)]
#[command(name = "hem", version, propagate_version = true, max_term_width = 120)]
pub(crate) struct Args {
    /// Where hub, keys and agents keep their state; also tells the other commands which hub to talk to.
    #[arg(long, global = true, env = "HEM_DATA_DIR", default_value = ".hem", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Talk to this hub instead: a service connection string, as `hem connection-string` prints.
    #[arg(long, global = true, env = "HEM_SERVER", value_name = "CONNECTION-STRING", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// Certificate authority of that hub (PEM file); without it the one in the data directory.
    #[arg(long, global = true, env = "HEM_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Log more; twice for even more. `HEM_LOG` takes a filter such as `hemline_hub=debug`.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For people, with more columns where there are more.
    Wide,
    /// One JSON value.
    Json,
    /// One YAML document.
    Yaml,
}

impl Output {
    /// Is it for people?
    pub(crate) fn is_table(self) -> bool {
        match self {
            Self::Table | Self::Wide => true,
            Self::Json | Self::Yaml => false,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring a fleet up: hub, controller, agents and modules, until Ctrl-C.
    Up(Box<Up>),
    /// Check documents and say what is wrong, where, and how to mend it.
    Validate(Validate),
    /// Show what a change of the documents would do to which device.
    Plan(Plan),
    /// Bring the fleet to what the documents say: plan, ask, apply.
    Apply(Apply),
    /// Print what the hub holds and devices report, without secrets; `hem plan --state` reads it.
    State,
    /// Say where each value of a device comes from: document, layer, file and line.
    Why(Why),
    /// Turn an Azure IoT Edge deployment manifest into documents.
    Import(Import),
    /// Print what a device should run as an Azure IoT Edge deployment manifest.
    Export(Export),
    /// What runs, what is off, and why.
    Status,
    /// Is this machine fit to run a fleet, and does what runs on it answer?
    Check(Check),
    /// Show in what a device is not what its documents say.
    Diff(Diff),
    /// See how a revision reaches the devices; pause, resume, approve, abort or take it back.
    #[command(subcommand)]
    Rollout(Rollout),
    /// Rehearse how a change would reach the devices: the real rollout against devices that are played.
    Simulate(Simulate),
    /// Make the controller look at its source now.
    Sync,
    /// List devices, modules, deployments, twin configurations or drift.
    Get {
        /// What to list.
        #[arg(value_enum)]
        kind: Kind,
        /// Only this one (a device id or a deployment's name).
        name: Option<String>,
    },
    /// Ask the hub in its query language: `SELECT * FROM devices WHERE tags.site = 'lyon'`.
    Query {
        /// The query.
        text: String,
    },
    /// Try out routes and their conditions.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Read or change a twin.
    #[command(subcommand)]
    Twin(Twin),
    /// Call a direct method.
    #[command(subcommand)]
    Method(Method),
    /// See what devices send, and send them messages.
    #[command(subcommand)]
    Message(Message),
    /// See, fetch and remove files that devices uploaded.
    #[command(subcommand)]
    File(FileCommand),
    /// Print a connection string for an SDK or a tool.
    ConnectionString(ConnectionString),
    /// Print the certificate authority that clients must trust, as PEM.
    Ca,
    /// Print the log of a module.
    Logs(Logs),
    /// Run the agent of one device against a hub elsewhere.
    Agent(Agent),
    /// Print the JSON Schemas of the documents.
    Schema,
    /// Print the Kubernetes custom resource definitions of the documents.
    Crd,
    /// Put a load on a hub or broker of this machine and measure what it can do.
    #[command(subcommand)]
    Bench(Box<Bench>),
    /// The modules of the quickstart.
    #[command(hide = true)]
    Demo {
        /// Which.
        #[arg(value_enum)]
        module: Demo,
    },
    /// Supervises one process module; started by the agent.
    #[command(hide = true)]
    Shim {
        /// What to run.
        spec: PathBuf,
    },
}

/// `hem validate`
#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// Files or folders.
    #[arg(required_unless_present = "explain", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How findings are printed; the default is what people read.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<FindingFormat>,
    /// Warnings are errors.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Write the fixes that findings offer into the files first. What is left is printed.
    #[arg(long, conflicts_with = "explain")]
    pub(crate) fix: bool,
    /// Explain a rule, with an example; `all` lists them.
    #[arg(long, value_name = "RULE", conflicts_with = "paths")]
    pub(crate) explain: Option<String>,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindingFormat {
    /// For people, with the line and carets.
    Human,
    /// One JSON list.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Annotations of a GitHub workflow: the runner shows ten errors, ten warnings and ten notices of a step, errors first.
    Github,
    /// JUnit XML, for test reports.
    Junit,
}

/// `hem up`
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) source: SourceFlags,
    /// Address to listen on. Loopback unless told otherwise; with container modules also the engine's bridge.
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(crate) listen: IpAddr,
    /// Port for MQTT over TLS. Azure SDKs dial 8883 and nothing else.
    #[arg(long, default_value_t = 8883, value_name = "PORT")]
    pub(crate) mqtt_port: u16,
    /// Also speak MQTT without TLS at this port of 127.0.0.1: for tools and measurements on this machine. Clients prove who they
    /// are all the same, but everything can be read by whoever may watch loopback.
    #[arg(long, value_name = "PORT")]
    pub(crate) plain_mqtt_port: Option<u16>,
    /// Port for HTTPS; without it 443 where that is allowed and free, else 8443.
    #[arg(long, value_name = "PORT")]
    pub(crate) https_port: Option<u16>,
    /// Name that clients dial and that stands in connection strings. Must contain a dot.
    #[arg(long, value_name = "NAME")]
    pub(crate) host_name: Option<String>,
    /// How long a connection may outlive its token; ten minutes as in IoT Hub, 0 for not at all.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) token_grace: u32,
    /// A further name that clients may put in user names and tokens, such as that of the hub above; the name that they dial
    /// and that the certificate carries is another matter. May be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) hub_name: Vec<String>,
    /// New revisions wait for `hem apply`; until then the fleet is kept at the one in force.
    #[arg(long)]
    pub(crate) hold: bool,
    /// Start no agents: the devices are elsewhere.
    #[arg(long)]
    pub(crate) no_agents: bool,
    /// Docker or Podman socket for container modules.
    #[arg(long, env = "DOCKER_HOST", value_name = "SOCKET")]
    pub(crate) docker: Option<String>,
    /// File with the age keys that open encrypted Secret documents (AGE-SECRET-KEY-1…). Without it SOPS_AGE_KEY,
    /// SOPS_AGE_KEY_FILE, /etc/hemline/age.key and the file of `sops` in the home folder.
    #[arg(long, env = "HEM_AGE_KEY_FILE", value_name = "FILE")]
    pub(crate) age_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) upstream: upstream::UpstreamFlags,
}

/// What the exit codes of `hem plan` mean; also in `examples/pull-request/README.md`.
const EXIT_CODES: &str = "\
Exit codes:
  0   nothing to do, or success
  1   an error, or invalid documents
  2   there are changes; only with --detailed-exitcode
  3   refused by policy (--deny, --max-devices, --max-restarts); also where 2 would be said
  64  the command line was wrong";

/// What the exit codes of `hem apply` mean.
const APPLY_EXIT_CODES: &str = "\
Exit codes:
  0   applied, or nothing was left to do
  1   an error, invalid documents, somebody said no, or a device refused
  3   refused by policy, or because something moved since the plan was made
  64  the command line was wrong";

/// `hem plan`
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Plan {
    /// A folder of documents.
    pub(crate) path: PathBuf,
    /// Compare with the documents of this Git revision (of the merge base, if `--head` is given too).
    #[arg(long, value_name = "REV")]
    pub(crate) base: Option<String>,
    /// Plan the documents of this Git revision instead of those on disk.
    #[arg(long, value_name = "REV", requires = "base")]
    pub(crate) head: Option<String>,
    /// How the plan is printed; `-o json` means `--format json`.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<PlanFormat>,
    /// Also look at what the fleet is: a file that `hem state` printed, a status branch such as `hemline/status` (its
    /// `state.json`), or `REV:path` of the same repository.
    #[arg(long, value_name = "FILE|REF|REV:PATH", conflicts_with = "live")]
    pub(crate) state: Option<String>,
    /// Also ask the running hub what the fleet is; goes without saying with --server.
    #[arg(long)]
    pub(crate) live: bool,
    /// Write the plan to a file that `hem apply --plan` carries out, unless something moves meanwhile.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 2 when there is something to do.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    #[command(flatten)]
    pub(crate) policy: PolicyFlags,
}

/// `hem apply`
#[derive(Debug, clap::Args)]
#[command(after_help = APPLY_EXIT_CODES)]
pub(crate) struct Apply {
    /// A folder of documents: the one that the hub follows.
    #[arg(required_unless_present = "plan")]
    pub(crate) path: Option<PathBuf>,
    /// Carry out this plan of `hem plan --out`, and nothing else; refused when anything moved since.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["head", "yes", "allow_remove"])]
    pub(crate) plan: Option<PathBuf>,
    /// Apply the documents of this Git revision instead of those on disk.
    #[arg(long, value_name = "REV")]
    pub(crate) head: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// With --yes: devices and modules may be removed.
    #[arg(long, requires = "yes")]
    pub(crate) allow_remove: bool,
    #[command(flatten)]
    pub(crate) policy: PolicyFlags,
}

/// What a plan must not do.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyFlags {
    /// Refuse plans in which this happens: remove-device, remove-module, remove-route, restart, drift, host-access,
    /// data-dropped, retarget, offline.
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub(crate) deny: Vec<Deny>,
    /// Refuse plans that change more devices than this: a number, or a share of all such as 10%.
    #[arg(long, value_name = "N|PERCENT")]
    pub(crate) max_devices: Option<Limit>,
    /// Refuse plans that restart modules on more devices than this.
    #[arg(long, value_name = "N|PERCENT")]
    pub(crate) max_restarts: Option<Limit>,
}

impl PolicyFlags {
    /// As the planner takes it.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            deny: self.deny.iter().copied().collect(),
            max_devices: self.max_devices,
            max_restarts: self.max_restarts,
        }
    }
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// One screen, for a terminal.
    Human,
    /// A comment for a pull request, never more than 60 000 characters.
    Markdown,
    /// Everything, with the digest.
    Json,
}

/// `hem why`
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// A folder of documents.
    pub(crate) folder: PathBuf,
    /// Device id.
    pub(crate) device: String,
    /// Only this value and those below it: `modules.camera.env`, `tags`; `modules.` may be left out.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<String>,
}

/// `hem import`
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Deployment manifests, templates (`….template.json`) or configurations of the hub. Each becomes an
    /// EdgeDeployment, or a TwinConfiguration when it configures twins of devices or modules.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Write each document into this folder, in a file that has its name, and not to standard output. Files that are there
    /// already stay.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Name of the document, for one manifest; without it the configuration's id, or the name of the file.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Which devices get it, for example `tags.site = 'lyon'`; without it the configuration's condition.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) target: Option<String>,
    /// Priority of the document; without it the configuration's.
    #[arg(long, value_name = "N")]
    pub(crate) priority: Option<u32>,
    /// Value for `${NAME}` of a template. Can be given many times.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) variables: Vec<(String, String)>,
}

/// `hem export`
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// A folder of documents.
    pub(crate) path: PathBuf,
    /// Device id.
    pub(crate) device: String,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Devices.
    #[value(alias = "device")]
    Devices,
    /// Modules.
    #[value(alias = "module")]
    Modules,
    /// Deployments.
    #[value(alias = "deployment")]
    Deployments,
    /// Twin configurations.
    #[value(alias = "configuration")]
    Configurations,
    /// What is not as the documents say, though nobody changed them, and what was.
    Drift,
}

/// `hem twin`
#[derive(Debug, Subcommand)]
pub(crate) enum Twin {
    /// Print a twin as the service sees it.
    Get {
        /// Device id.
        device: String,
        /// Module id.
        module: Option<String>,
    },
    /// Merge into desired properties or tags; `null` deletes.
    Patch {
        /// Device id.
        device: String,
        /// Module id.
        module: Option<String>,
        /// JSON object to merge into the desired properties.
        #[arg(long, value_name = "JSON", required_unless_present = "tags")]
        desired: Option<String>,
        /// JSON object to merge into the tags.
        #[arg(long, value_name = "JSON")]
        tags: Option<String>,
    },
}

/// `hem method`
#[derive(Debug, Subcommand)]
pub(crate) enum Method {
    /// Call and wait for the answer.
    Invoke {
        /// Device id.
        device: String,
        /// Module id and method name, or the method name alone.
        #[arg(num_args = 1..=2, required = true, value_names = ["MODULE", "NAME"])]
        target: Vec<String>,
        /// JSON to send along.
        #[arg(long, value_name = "JSON", default_value = "null")]
        payload: String,
        /// Seconds to wait for the answer.
        #[arg(long, default_value_t = 30, value_name = "SECONDS")]
        timeout: u32,
        /// Seconds to wait for the client to connect.
        #[arg(long, default_value_t = 0, value_name = "SECONDS")]
        connect_timeout: u32,
    },
}

/// `hem message`
#[derive(Debug, Subcommand)]
pub(crate) enum Message {
    /// Print messages as they reach the hub's event log.
    Watch {
        /// Only of this device.
        device: Option<String>,
        /// Stop after so many.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        /// Begin with the oldest message kept.
        #[arg(long, conflicts_with = "after")]
        from_start: bool,
        /// Begin after this sequence number.
        #[arg(long, value_name = "SEQUENCE")]
        after: Option<u64>,
    },
    /// Send a message to a device; it waits in the hub until the device takes it.
    Send(SendMessage),
    /// Print what became of messages that were sent with --ack. What was printed is not told again.
    Feedback {
        /// Leave it in the hub, to be told again.
        #[arg(long)]
        keep: bool,
    },
    /// Drop all messages that wait for a device.
    Purge {
        /// Device id.
        device: String,
    },
}

/// `hem connection-string`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub(crate) struct ConnectionString {
    /// Of a policy: iothubowner, service, device, registryRead, registryReadWrite.
    #[arg(long, group = "whose", value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// Of a device.
    #[arg(long, group = "whose", value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// Of this module of the device.
    #[arg(long, requires = "device", value_name = "MODULE")]
    pub(crate) module: Option<String>,
}

/// `hem logs`
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Device id.
    pub(crate) device: String,
    /// Module id.
    pub(crate) module: String,
    /// How many lines from the end.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) tail: u32,
}

/// `hem agent`
#[derive(Debug, clap::Args)]
pub(crate) struct Agent {
    /// The device's connection string.
    #[arg(
        long,
        env = "HEM_DEVICE_CONNECTION_STRING",
        hide_env_values = true,
        value_name = "CONNECTION-STRING"
    )]
    pub(crate) connection_string: String,
    /// Port for MQTT over TLS.
    #[arg(long, default_value_t = 8883, value_name = "PORT")]
    pub(crate) mqtt_port: u16,
    /// Port for HTTPS.
    #[arg(long, default_value_t = 443, value_name = "PORT")]
    pub(crate) https_port: u16,
    /// Docker or Podman socket for container modules.
    #[arg(long, env = "DOCKER_HOST", value_name = "SOCKET")]
    pub(crate) docker: Option<String>,
    /// File with the age keys that open encrypted Secret documents (AGE-SECRET-KEY-1…). Without it SOPS_AGE_KEY,
    /// SOPS_AGE_KEY_FILE, /etc/hemline/age.key and the file of `sops` in the home folder.
    #[arg(long, env = "HEM_AGE_KEY_FILE", value_name = "FILE")]
    pub(crate) age_key_file: Option<PathBuf>,
}

/// The modules of the quickstart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Demo {
    /// Sends temperatures.
    Sensor,
    /// Lets the high ones through.
    Filter,
}

/// `NAME=VALUE`.
fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it like TAG=1.3".to_owned()),
    }
}

/// `15s`, `2m`, `1h`, or seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 =
        digits.parse().map_err(|_| format!("{text:?} is not a duration such as 15s, 2m or 1h"))?;
    let factor = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        unit => return Err(format!("{unit:?} is not a unit; use s, m or h")),
    };
    match number.checked_mul(factor) {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        Some(_) | None => Err("between 1 s and 24 h, please".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_argument_tree_is_consistent() {
        super::Args::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(super::seconds("15s").unwrap().as_secs(), 15);
        assert_eq!(super::seconds("2m").unwrap().as_secs(), 120);
        assert!(super::seconds("0").is_err());
        assert!(super::seconds("3w").is_err());
    }
}
