//! The unchanged Azure SDK for Java: its jars in a folder below the target folder, as `controller/cli/tests/sdk/matrix/java/pom.xml`
//! names them.
//!
//! Fetched once: a stamp holds the file, so a second run needs no registry. Nothing is compiled here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::sdk::run;

/// The goal that puts the jars of a project into one folder.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// The folder of jars.
///
/// # Errors
/// Without a JDK or `mvn`, or when the jars cannot be fetched.
pub(crate) fn prepare(root: &Path, target: &Path) -> Result<PathBuf> {
    let pom = root.join("controller/cli/tests/sdk/matrix/java/pom.xml");
    let wanted = fs::read_to_string(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let folder = target.join("java");
    let (jars, stamp) = (folder.join("jars"), folder.join("installed.txt"));
    if jars.is_dir() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(jars);
    }
    // What runs the program from its source.
    run(Command::new("javac").arg("-version")).context("javac")?;
    if jars.exists() {
        fs::remove_dir_all(&jars).with_context(|| format!("cannot empty {}", jars.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    run(Command::new("mvn")
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(&pom)
        .arg(format!("-Dmaven.repo.local={}", folder.join("repository").display()))
        .arg(COPY)
        .arg(format!("-DoutputDirectory={}", jars.display())))
    .context("mvn")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(jars)
}
