//! What is kept in the data directory is still there after a reboot, and after a new container in the place of this one.

use super::{scene::Scene, verdict::Verdict};

/// Numbers of file systems that do not last (`statfs(2)`).
const TMPFS: u64 = 0x0102_1994;
const OVERLAY: u64 = 0x794c_7630;

pub(super) fn check(scene: &Scene) -> Verdict {
    let Some(folder) = scene.folder() else {
        return Verdict::Skipped("there is no data directory on this machine yet".to_owned());
    };
    match rustix::fs::statfs(folder) {
        Ok(found) => judge(u64::try_from(found.f_type).unwrap_or_default()),
        Err(error) => Verdict::error(
            format!("cannot look at the disk of {}: {error}", folder.display()),
            "is it mounted?",
        ),
    }
}

fn judge(kind: u64) -> Verdict {
    let mend = "put the data directory on a disk: identities, keys, twins and queued messages are in it";
    match kind {
        TMPFS => Verdict::warning("it is in memory and gone after a reboot", mend),
        OVERLAY => Verdict::warning(
            "it is in the layer of a container and gone with that",
            "mount a volume of the host there: identities, keys, twins and queued messages are in it",
        ),
        _ => Verdict::Ok("it is on a disk".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_layers_do_not_last() {
        let words = [TMPFS, OVERLAY, 0xEF53].map(|kind| judge(kind).as_json()["result"].clone());
        assert_eq!(words, ["warning", "warning", "ok"]);
    }
}
