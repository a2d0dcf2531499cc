//! Private keys and the owner's connection string can be read by their owner alone.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{scene::Scene, verdict::Verdict};

const SECRETS: [&str; 3] = ["ca.key", "server.key", "owner"];

pub(super) fn check(scene: &Scene) -> Verdict {
    scene
        .folder()
        .map_or_else(|| Verdict::Skipped("there is no data directory on this machine yet".to_owned()), judge)
}

fn judge(folder: &Path) -> Verdict {
    let modes = SECRETS.iter().filter_map(|name| Some((*name, fs::metadata(folder.join(name)).ok()?.mode())));
    let modes: Vec<(&str, u32)> = modes.collect();
    let open: Vec<&str> = modes.iter().filter(|(_, mode)| mode & 0o077 != 0).map(|(name, _)| *name).collect();
    if modes.is_empty() {
        return Verdict::Skipped("there are none yet; `hem up` makes them".to_owned());
    }
    if open.is_empty() {
        return Verdict::Ok(format!("{} can be read by their owner alone", SECRETS.join(", ")));
    }
    let open = open.join(", ");
    Verdict::error(
        format!("others may read {open} in {}", folder.display()),
        format!("chmod 600 {open}, and renew what they may have read: who has ca.key can be any hub"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(judge(folder.path()), Verdict::Skipped(_)));
        for (mode, word) in [(0o600, "ok"), (0o640, "error"), (0o604, "error")] {
            let path = folder.path().join("ca.key");
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(judge(folder.path()).as_json()["result"], word, "{mode:o}");
        }
    }
}
