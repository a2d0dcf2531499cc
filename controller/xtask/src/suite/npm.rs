//! Programs from npm that read what `hem` writes, in a folder below the target folder: `controller/cli/tests/npm`.
//!
//! Installed once and without running anything of theirs: a stamp holds the lock file, so a second run needs no registry.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::sdk::run;

/// What names the packages and their versions.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// The folder that has `node_modules`.
///
/// # Errors
/// Without `node` and `npm`, or when the packages cannot be installed.
pub(crate) fn prepare(root: &Path, target: &Path) -> Result<PathBuf> {
    let ours = root.join("controller/cli/tests/npm");
    let folder = target.join("npm");
    let stamp = folder.join("installed.txt");
    let [manifest, lock] = FILES.map(|name| fs::read_to_string(ours.join(name)));
    let wanted = format!("{}{}", manifest.context("package.json")?, lock.context("package-lock.json")?);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in FILES {
        fs::copy(ours.join(name), folder.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    run(Command::new("node").arg("--version")).context("node")?;
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps"])
        .current_dir(&folder))
    .context("npm ci")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(folder)
}
