//! The hub may open as many connections as a fleet needs. Of this process; a service may have other limits.

use rustix::process::{Resource, getrlimit};

use super::{scene::Scene, verdict::Verdict};

/// Beside connections the hub needs a few hundred files.
const SPARE: u64 = 256;

pub(super) fn check(scene: &Scene) -> Verdict {
    let devices = scene.status.as_ref().map_or(0, |status| status.devices.len() as u64);
    // None is without limit.
    judge(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), devices)
}

/// A device may bring its modules, each with a connection; four of each are common.
fn judge(limit: u64, devices: u64) -> Verdict {
    let wanted = devices.saturating_mul(5).saturating_add(SPARE).max(4096);
    if limit >= wanted {
        return Verdict::Ok(format!("up to {limit} files and connections"));
    }
    Verdict::warning(
        format!("at most {limit} files and connections; {devices} devices with modules may want {wanted}"),
        format!("`ulimit -n {wanted}` before `hem up`, or LimitNOFILE={wanted} in its systemd unit"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_says_how_many() {
        for (limit, devices, word) in
            [(1024, 3, "warning"), (4096, 3, "ok"), (4096, 10_000, "warning"), (u64::MAX, 10_000, "ok")]
        {
            assert_eq!(judge(limit, devices).as_json()["result"], word, "{limit} {devices}");
        }
    }
}
