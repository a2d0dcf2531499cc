//! The unchanged Azure SDK for Python in a virtual environment under the target folder.
//!
//! Made once: a stamp file holds what was installed, so a second run takes no time and needs no registry.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// `azure-iot-hub` imports `six` without declaring it (reference service-api §1).
const REQUIREMENTS: [&str; 4] =
    ["azure-iot-device==2.14.*", "azure-iot-hub==2.7.*", "six", "azure-storage-blob==12.*"];

/// The MQTT library as it is today; the SDK wants the version before, so it is apart.
const PAHO: &str = "paho-mqtt==2.1.*";

/// The interpreter of an environment that has the SDK.
///
/// # Errors
/// Without a `python3` that makes environments, or when the packages cannot be installed.
pub(crate) fn prepare(target: &Path) -> Result<PathBuf> {
    environment(&target.join("venv"), &REQUIREMENTS)
}

/// The interpreter of an environment that has the MQTT library alone.
///
/// # Errors
/// Without a `python3` that makes environments, or when the package cannot be installed.
pub(crate) fn paho(target: &Path) -> Result<PathBuf> {
    environment(&target.join("venv-paho"), &[PAHO])
}

/// The interpreter of an environment in this folder that has these packages.
pub(super) fn environment(folder: &Path, requirements: &[&str]) -> Result<PathBuf> {
    let python = folder.join("bin").join("python");
    let stamp = folder.join("installed.txt");
    let wanted = requirements.join("\n");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder)).context("python3 -m venv")?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(requirements))
    .context("pip install")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

pub(super) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().context("could not be started")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", output.status, said.trim().lines().last().unwrap_or("no reason given"));
    }
    Ok(())
}
