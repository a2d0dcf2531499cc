//! What gives a container power over its host. The engine accepts all of it, so these are warnings: a reviewer should
//! see them, and whoever means it says so with an annotation.

use serde_json::{Map, Value};

use super::{
    escape, host,
    judge::{At, Problem},
    member, mount,
};
use crate::finding::{RuleId, Severity};

/// Folders of the host that belong to the host, with what a container could do there.
const FOLDERS: [(&str, &str); 15] = [
    ("/", "the whole host"),
    ("/bin", "the host's programs"),
    ("/boot", "the host's kernel"),
    ("/dev", "every device of the host"),
    ("/etc", "the host's accounts and settings"),
    ("/home", "its users' files"),
    ("/lib", "the host's libraries"),
    ("/proc", "the host's processes"),
    ("/root", "its administrator's files"),
    ("/run", "the sockets of the host's services"),
    ("/sbin", "the host's programs"),
    ("/sys", "the host's devices and kernel"),
    ("/usr", "the host's programs"),
    ("/var/lib/docker", "every container of the host"),
    ("/var/run", "the sockets of the host's services"),
];

/// Files that programs read and that harm nobody.
const HARMLESS: [&str; 6] = [
    "/etc/localtime",
    "/etc/timezone",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/machine-id",
    "/etc/ssl/certs",
];

/// Capabilities with which a container takes over its host, or what else is on it.
const POWERS: [(&str, &str); 11] = [
    ("ALL", "every power of the kernel"),
    ("SYS_ADMIN", "mounting, namespaces and much else: as good as root on the host"),
    ("SYS_MODULE", "loading kernel modules"),
    ("SYS_PTRACE", "reading other processes"),
    ("SYS_RAWIO", "raw access to memory and disks"),
    ("SYS_BOOT", "restarting the host"),
    ("SYS_TIME", "setting the host's clock"),
    ("DAC_READ_SEARCH", "reading every file of the host"),
    ("NET_ADMIN", "changing the host's network"),
    ("BPF", "programs in the kernel"),
    ("MAC_ADMIN", "changing the host's security policy"),
];

/// Adds what is dangerous.
pub(super) fn judge(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    if let Some((pointer, Value::Bool(true))) = host(body, "Privileged") {
        let message = "a privileged container can do everything that root can do on the host";
        found.push(
            warning("privileged", pointer, At::Key, message).hint("add the capability or device it needs"),
        );
    }
    namespaces(body, found);
    capabilities(body, found);
    mounts(body, found);
    devices(body, found);
    if let Some((at, options)) = host(body, "SecurityOpt") {
        for (index, option) in options.as_array().into_iter().flatten().enumerate() {
            let Some(option) = option.as_str() else { continue };
            let off =
                option.ends_with("unconfined") || option == "label=disable" || option == "label:disable";
            if off {
                let message = format!("{option} takes away a wall between the container and the host");
                found.push(warning("unconfined", format!("{at}/{index}"), At::Value, message));
            }
        }
    }
}

fn warning(rule: RuleId, pointer: impl Into<String>, at: At, message: impl Into<String>) -> Problem {
    Problem::new(Severity::Warning, rule, pointer, at, message)
}

fn namespaces(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let modes = [
        ("NetworkMode", "listens on every address of the host and reaches its local services"),
        ("PidMode", "sees and can signal every process of the host"),
        ("IpcMode", "shares memory with the host's processes"),
        ("UTSMode", "can rename the host"),
        ("UsernsMode", "has the host's root as its own"),
        ("CgroupnsMode", "sees the host's control groups"),
    ];
    for (name, what) in modes {
        if let Some((pointer, Value::String(mode))) = host(body, name)
            && mode == "host"
        {
            let message = format!("with {name} \"host\" the container {what}");
            found.push(warning("host-namespace", pointer, At::Value, message));
        }
    }
}

fn capabilities(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    let Some((at, added)) = host(body, "CapAdd") else { return };
    let mut one = |pointer: String, text: &str| {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if let Some((_, what)) = POWERS.iter().find(|(power, _)| *power == name) {
            found.push(warning(
                "capability",
                pointer,
                At::Value,
                format!("{name} gives the container {what}"),
            ));
        }
    };
    match added {
        Value::String(text) => one(at, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                one(format!("{at}/{index}"), item.as_str().unwrap_or_default());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}

fn mounts(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    for mount in mount::mounted(body) {
        let Some(path) = mount.host_path() else { continue };
        let socket = path.rsplit('/').next().unwrap_or_default();
        if matches!(socket, "docker.sock" | "podman.sock" | "containerd.sock" | "crio.sock") {
            let message = format!("who can write to {path} is root on the host");
            found.push(warning("engine-socket", mount.pointer, At::Value, message));
            continue;
        }
        let harmless = HARMLESS.iter().any(|harmless| path == *harmless || within(path, harmless));
        let devices = path.starts_with("/dev/") || path.starts_with("/run/") || path.starts_with("/var/run/");
        let folder = FOLDERS.iter().find(|(folder, _)| {
            // A single device, socket or home is not the folder of all of them.
            path == *folder || (!devices && *folder != "/" && *folder != "/home" && within(path, folder))
        });
        if let Some((_, what)) = folder.filter(|_| !harmless) {
            let can = if mount.writes { "change" } else { "read" };
            let message = format!("the mount of {path} lets the container {can} {what}");
            let problem = warning("host-mount", mount.pointer, At::Value, message);
            found.push(if mount.writes { problem.hint("mount less of it, or read-only") } else { problem });
        }
    }
}

fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn devices(body: &Map<String, Value>, found: &mut Vec<Problem>) {
    if let Some((at, devices)) = host(body, "Devices") {
        for (index, device) in devices.as_array().into_iter().flatten().enumerate() {
            let Some(device) = device.as_object() else { continue };
            if let Some((key, Value::String(path))) = member(device, "PathOnHost") {
                let message = format!("the container gets the host's device {path}");
                let pointer = format!("{at}/{index}/{}", escape(key));
                found.push(Problem::new(Severity::Note, "device-access", pointer, At::Value, message));
            }
        }
    }
    for (name, what) in
        [("DeviceRequests", "devices of the host"), ("DeviceCgroupRules", "whole classes of devices")]
    {
        if let Some((pointer, Value::Array(items))) = host(body, name)
            && !items.is_empty()
        {
            let message = format!("{name} gives the container {what}");
            found.push(Problem::new(Severity::Note, "device-access", pointer, At::Key, message));
        }
    }
}
