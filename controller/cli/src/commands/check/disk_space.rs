//! The disk of the data directory has room.

use super::{scene::Scene, verdict::Verdict};

/// Less than this and messages of a day of a small fleet may fill it.
const LITTLE: u64 = 1 << 30;
/// Less than this and the store cannot even tidy up.
const NOTHING: u64 = 64 << 20;

pub(super) fn check(scene: &Scene) -> Verdict {
    let Some(folder) = scene.folder() else {
        return Verdict::Skipped("there is no data directory on this machine yet".to_owned());
    };
    match rustix::fs::statvfs(folder) {
        Ok(disk) => judge(disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_favail, disk.f_files),
        Err(error) => Verdict::error(
            format!("cannot look at the disk of {}: {error}", folder.display()),
            "is it mounted?",
        ),
    }
}

/// `files`: names that can still be made, of `all`; file systems without such a bound say 0 of 0.
fn judge(free: u64, files: u64, all: u64) -> Verdict {
    let mib = free >> 20;
    let mend = "make room, or move the data directory; retained messages count too";
    if free < NOTHING {
        return Verdict::error(format!("{mib} MiB are free; writes will fail soon"), mend);
    }
    if all > 0 && files < 1000 {
        return Verdict::error(
            format!("the disk takes {files} more files"),
            "remove small files, or make the file system anew",
        );
    }
    if free < LITTLE {
        return Verdict::warning(format!("{mib} MiB are free"), mend);
    }
    Verdict::Ok(format!("{mib} MiB are free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bytes_and_names() {
        for (free, files, all, word) in [
            (10 << 30, 1 << 20, 1 << 21, "ok"),
            (10 << 30, 0, 0, "ok"),
            (LITTLE - 1, 1 << 20, 1 << 21, "warning"),
            (NOTHING - 1, 1 << 20, 1 << 21, "error"),
            (10 << 30, 999, 1 << 21, "error"),
        ] {
            let verdict = judge(free, files, all);
            assert_eq!(verdict.as_json()["result"], word, "{verdict:?}");
        }
    }
}
