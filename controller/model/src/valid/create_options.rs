//! createOptions: the body of the engine's container-create call, as an object or as the JSON text of one.

use hemline_query::near;
use serde_json::Value;

use super::{Context, escape, words};
use crate::{
    document::{CreateOptions, Object},
    edge::chunk,
    text::InText,
};

/// Members of the body that are known here. Others are passed on as they are; only a near miss is worth a warning.
const MEMBERS: [&str; 27] = [
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
    "HostConfig",
    "NetworkingConfig",
    "Image",
];

/// Members of `HostConfig` that are known here.
const HOST_MEMBERS: [&str; 71] = [
    "Binds",
    "Memory",
    "MemorySwap",
    "MemoryReservation",
    "MemorySwappiness",
    "NanoCpus",
    "CpuShares",
    "CpuPeriod",
    "CpuQuota",
    "CpusetCpus",
    "CpusetMems",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "PidsLimit",
    "Ulimits",
    "LogConfig",
    "NetworkMode",
    "PortBindings",
    "RestartPolicy",
    "AutoRemove",
    "VolumesFrom",
    "Mounts",
    "CapAdd",
    "CapDrop",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "IpcMode",
    "OomScoreAdj",
    "OomKillDisable",
    "PidMode",
    "Privileged",
    "PublishAllPorts",
    "ReadonlyRootfs",
    "SecurityOpt",
    "Tmpfs",
    "ShmSize",
    "Annotations",
    "BlkioWeight",
    "BlkioWeightDevice",
    "BlkioDeviceReadBps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps",
    "CgroupParent",
    "Cgroup",
    "CgroupnsMode",
    "ConsoleSize",
    "ContainerIDFile",
    "CpuCount",
    "CpuPercent",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "Init",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "Isolation",
    "KernelMemory",
    "KernelMemoryTCP",
    "Links",
    "MaskedPaths",
    "ReadonlyPaths",
    "Runtime",
    "StorageOpt",
    "Sysctls",
    "UTSMode",
    "UsernsMode",
    "VolumeDriver",
];

/// Judges options; the text form comes back parsed.
pub(super) fn check(options: &CreateOptions, pointer: &str, context: &mut Context<'_>) -> Option<Object> {
    let (object, from_text) = match options {
        CreateOptions::Object(object) => (object.clone(), false),
        CreateOptions::Text(text) => (parse(text, pointer, context)?, true),
    };
    if let Err(why) = chunk::split(&object) {
        context.error("create-options", pointer, why.to_string());
    }
    near_misses(&object, &MEMBERS, pointer, from_text, context);
    match object.get("HostConfig") {
        Some(Value::Object(host)) => {
            near_misses(host, &HOST_MEMBERS, &format!("{pointer}/HostConfig"), from_text, context);
        }
        None | Some(Value::Null) => {}
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_))) => {
            let message = format!("HostConfig must be a mapping, this is {}", words(other));
            context.error("create-options", &format!("{pointer}/HostConfig"), message);
        }
    }
    Some(object)
}

fn parse(text: &str, pointer: &str, context: &mut Context<'_>) -> Option<Object> {
    if text.trim().is_empty() {
        return Some(Object::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Some(object),
        Ok(Value::Null) => Some(Object::new()),
        Ok(other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_))) => {
            let message = format!("createOptions must be the JSON of an object, this is {}", words(&other));
            context.error("create-options", pointer, message);
            None
        }
        Err(why) => {
            let start = offset(text, why.line(), why.column());
            let end = text
                .get(start..)
                .and_then(|rest| rest.chars().next())
                .map_or(start, |c| start + c.len_utf8());
            let place = InText { pointer, text, start, end };
            // serde_json ends its message with a place inside the text, which means nothing to the reader of the file.
            let why = why.to_string();
            let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why);
            let finding =
                context.error_in("create-options", place, format!("createOptions are not JSON: {why}"));
            finding.hint = Some("writing them as YAML instead needs no quotes".to_owned());
            None
        }
    }
}

/// The byte that serde_json means: lines and columns start at 1, columns count bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut offset = (before + column.saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn near_misses(object: &Object, known: &[&str], pointer: &str, from_text: bool, context: &mut Context<'_>) {
    for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
        let Some(near) = near(name, known.iter().copied().filter(|known| !object.contains_key(*known)))
        else {
            continue;
        };
        let pointer = if from_text { pointer.to_owned() } else { format!("{pointer}/{}", escape(name)) };
        let message = format!("the engine does not know {name:?} and would pass over it");
        context.warning("create-options-field", &pointer, message).hint =
            Some(format!("did you mean {near:?}?"));
    }
}
