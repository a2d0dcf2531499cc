//! `health:` of a module: what is asked, how often, and how many answers count.
//!
//! The same shape goes to the agent in the desired properties of `$edgeAgent`, as a member that IoT Edge's agent passes
//! over. Not here: what the rules say about it (`valid/health.rs`), the asking (the agent).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Command;
use crate::duration;

/// How the agent finds out whether a module does its work. Exactly one of `command`, `http` and `tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// A program that ends with 0 when all is well: inside the container, or on the host with the environment of the
    /// process module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [["/usr/bin/healthy", "--quick"]]))]
    pub command: Option<Command>,
    /// A GET request that has to be answered with a status from 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"port": 8080, "path": "/healthz"}]))]
    pub http: Option<HttpCheck>,
    /// A TCP connection that has to come about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"port": 5432}]))]
    pub tcp: Option<TcpCheck>,
    /// From one check to the next; `30s` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = r"^([0-9]+(s|m|h|d))+$", "examples" = ["10s"]))]
    pub interval: Option<String>,
    /// How long one check may take; `30s`, or the interval where that is less, unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = r"^([0-9]+(s|m|h|d))+$", "examples" = ["5s"]))]
    pub timeout: Option<String>,
    /// Failed checks in a row that make the module unhealthy; 3 unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub retries: Option<u32>,
    /// Failed checks do not count that long after a start; `0s` unless said otherwise. Meanwhile checks come every second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = r"^([0-9]+(s|m|h|d))+$", "examples" = ["1m"]))]
    pub start_period: Option<String>,
}

/// A GET request to the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpCheck {
    /// Port on which the module listens.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u32,
    /// Path and query; `/` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/healthz"]))]
    pub path: Option<String>,
}

/// A TCP connection to the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpCheck {
    /// Port on which the module listens.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u32,
}

/// Seconds that are meant when nothing is said.
const INTERVAL: u64 = 30;
const TIMEOUT: u64 = 30;
const RETRIES: u32 = 3;

/// A health check, complete and sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Seconds from one check to the next; at least 1.
    pub interval_secs: u64,
    /// Seconds that one may take; at least 1.
    pub timeout_secs: u64,
    /// Failures in a row that make the module unhealthy; at least 1.
    pub retries: u32,
    /// Seconds after a start in which failures do not count.
    pub start_period_secs: u64,
}

/// What is asked of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A program ends with 0; never empty.
    Command(Command),
    /// GET is answered with 200 to 399.
    Http {
        /// Port.
        port: u16,
        /// Path and query, with its first `/`.
        path: String,
    },
    /// A connection comes about.
    Tcp {
        /// Port.
        port: u16,
    },
}

/// What is wrong with a health check: the member, and a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthFault {
    /// Members from the check to the place, joined with `/`; empty for the check as a whole.
    pub at: &'static str,
    /// What is wrong.
    pub message: String,
}

impl Health {
    /// The check with its defaults. Of the faults, all are told.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self) -> Result<HealthCheck, Vec<HealthFault>> {
        let mut faults = Vec::new();
        let probe = self.probe(&mut faults);
        let interval_secs = seconds(self.interval.as_ref(), "interval", INTERVAL, 1, &mut faults);
        let timeout = TIMEOUT.min(interval_secs);
        let timeout_secs = seconds(self.timeout.as_ref(), "timeout", timeout, 1, &mut faults);
        let start_period_secs = seconds(self.start_period.as_ref(), "startPeriod", 0, 0, &mut faults);
        let retries = self.retries.unwrap_or(RETRIES);
        if retries == 0 {
            faults.push(fault("retries", "with 0 retries nothing would ever be unhealthy; write at least 1"));
        }
        match probe {
            Some(probe) if faults.is_empty() => {
                Ok(HealthCheck { probe, interval_secs, timeout_secs, retries, start_period_secs })
            }
            Some(_) | None => Err(faults),
        }
    }

    /// How many kinds of checks it names; one is right.
    #[must_use]
    pub fn probes(&self) -> usize {
        let named = [self.command.is_some(), self.http.is_some(), self.tcp.is_some()];
        named.into_iter().filter(|named| *named).count()
    }

    fn probe(&self, faults: &mut Vec<HealthFault>) -> Option<Probe> {
        match (&self.command, &self.http, &self.tcp) {
            (Some(command), None, None) => {
                if command.first().is_none_or(|program| program.trim().is_empty()) {
                    faults.push(fault("command", "the command names no program"));
                    return None;
                }
                Some(Probe::Command(command.clone()))
            }
            (None, Some(http), None) => {
                let path = http.path.clone().unwrap_or_else(|| "/".to_owned());
                if !path.starts_with('/') || path.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    let message = format!("the path {path:?} must begin with / and hold no white space");
                    faults.push(HealthFault { at: "http/path", message });
                }
                port(http.port, "http/port", faults).map(|port| Probe::Http { port, path })
            }
            (None, None, Some(tcp)) => port(tcp.port, "tcp/port", faults).map(|port| Probe::Tcp { port }),
            (None, None, None) => {
                faults.push(fault("", "the health check asks nothing; name command, http or tcp"));
                None
            }
            (_, _, _) => {
                faults.push(fault("", "the health check names more than one of command, http and tcp"));
                None
            }
        }
    }
}

fn port(port: u32, at: &'static str, faults: &mut Vec<HealthFault>) -> Option<u16> {
    let sound = u16::try_from(port).ok().filter(|port| *port > 0);
    if sound.is_none() {
        faults.push(HealthFault { at, message: format!("{port} is no port; ports go from 1 to 65535") });
    }
    sound
}

fn seconds(
    text: Option<&String>,
    at: &'static str,
    default: u64,
    least: u64,
    faults: &mut Vec<HealthFault>,
) -> u64 {
    let Some(text) = text else { return default };
    match duration::seconds(text) {
        Ok(seconds) if seconds < least => {
            faults
                .push(HealthFault { at, message: format!("{text:?} is too short; write at least {least}s") });
            default
        }
        Ok(seconds) => seconds,
        Err(message) => {
            faults.push(HealthFault { at, message });
            default
        }
    }
}

fn fault(at: &'static str, message: &str) -> HealthFault {
    HealthFault { at, message: message.to_owned() }
}
