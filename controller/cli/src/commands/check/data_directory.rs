//! The data directory belongs to this user alone and takes files.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{scene::Scene, verdict::Verdict};

pub(super) fn check(scene: &Scene) -> Verdict {
    match fs::metadata(&scene.data_dir) {
        Ok(found) if found.is_dir() => {
            judge(&scene.data_dir, found.uid(), me(), found.mode(), takes_files(&scene.data_dir))
        }
        Ok(_) => Verdict::error(
            format!("{} is no directory", scene.data_dir.display()),
            "name another one with --data-dir",
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Verdict::Skipped(format!("there is no {} yet; `hem up` makes it", scene.data_dir.display()))
        }
        Err(error) => Verdict::error(
            format!("cannot look at {}: {error}", scene.data_dir.display()),
            "run this as the user that runs the hub",
        ),
    }
}

fn judge(path: &Path, owner: u32, me: u32, mode: u32, written: Result<(), String>) -> Verdict {
    let path = path.display();
    if owner != me && me != 0 {
        return Verdict::error(
            format!("{path} belongs to the user with number {owner}, not to {me}"),
            "run this as the user that runs the hub, or give it the directory with chown -R",
        );
    }
    if let Err(error) = written {
        return Verdict::error(
            format!("{path} takes no files: {error}"),
            "make room, or mount it for writing; the hub acknowledges nothing that it cannot keep",
        );
    }
    if mode & 0o077 != 0 {
        return Verdict::warning(
            format!("others may look into {path} (mode {:03o})", mode & 0o777),
            format!("chmod 700 {path}: it holds the keys of all devices"),
        );
    }
    Verdict::Ok(format!("{path} belongs to this user alone and takes files"))
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Writes a file, as the hub would.
fn takes_files(folder: &Path) -> Result<(), String> {
    let path = folder.join(format!(".check-{}", std::process::id()));
    let written = fs::write(&path, b"hem check").and_then(|()| fs::File::open(&path)?.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_writing_and_mode_count_in_this_order() {
        let full = || Err("No space left on device".to_owned());
        let judge = |owner, me, mode, written| judge(Path::new("/d"), owner, me, mode, written);
        assert!(matches!(judge(7, 7, 0o40700, Ok(())), Verdict::Ok(_)));
        assert!(matches!(judge(7, 0, 0o40700, Ok(())), Verdict::Ok(_)), "root may");
        let verdicts =
            [judge(7, 8, 0o40700, Ok(())), judge(7, 7, 0o40755, full()), judge(7, 7, 0o40755, Ok(()))];
        let text: Vec<String> = verdicts.iter().map(|verdict| verdict.as_json().to_string()).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        takes_files(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(takes_files(&folder.path().join("gone")).is_err());
    }
}
