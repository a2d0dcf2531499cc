//! The programs that do part of the same work, installed by name below the target folder. What cannot be installed is said
//! and left out.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::process::Command;

/// Where the peers are, as far as they are.
pub(super) struct Peers {
    ajv: Option<PathBuf>,
    check_jsonschema: Option<PathBuf>,
}

impl Peers {
    /// Installs what is missing.
    pub(super) fn prepare(folder: &Path) -> Self {
        Self {
            ajv: if_there("ajv-cli", npm(&folder.join("npm"))),
            check_jsonschema: if_there("check-jsonschema", pip(&folder.join("python"))),
        }
    }

    /// One process over all files, as its users run it.
    pub(super) fn ajv(&self, schema: &Path, manifests: &Path) -> Option<Command> {
        let command = Command::new("ajv-cli", self.ajv.as_ref()?).arg("validate").arg("--spec=draft2020");
        let command = command.arg("-c").arg("ajv-formats").arg("--strict=false").arg("--errors=text");
        let command = command.arg("-s").arg(schema).arg("-d").arg(manifests.join("**/*.yaml"));
        Some(command.ends_with(1))
    }

    pub(super) fn check_jsonschema(&self, schema: &Path, manifests: &Path) -> Result<Option<Command>> {
        let Some(program) = &self.check_jsonschema else { return Ok(None) };
        let mut command = Command::new("check-jsonschema", program).arg("--schemafile").arg(schema);
        for folder in fs::read_dir(manifests)? {
            for file in fs::read_dir(folder?.path())? {
                command = command.arg(file?.path());
            }
        }
        Ok(Some(command.ends_with(1)))
    }
}

/// What was found of a peer; when nothing was, says so.
pub(super) fn if_there(name: &str, found: Result<PathBuf>) -> Option<PathBuf> {
    found.inspect_err(|error| println!("without {name}: {error:#}")).ok()
}

fn npm(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("node_modules/.bin/ajv");
    if !program.exists() {
        fs::create_dir_all(folder)?;
        let mut install = std::process::Command::new("npm");
        install.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
        let status = install.args(["ajv-cli", "ajv-formats"]).status().context("npm is missing")?;
        ensure!(status.success(), "npm install failed");
    }
    Ok(program)
}

fn pip(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("bin/check-jsonschema");
    if !program.exists() {
        let made = std::process::Command::new("python3").args(["-m", "venv"]).arg(folder).status();
        ensure!(made.context("python3 is missing")?.success(), "python3 -m venv failed");
        let mut install = std::process::Command::new(folder.join("bin/pip"));
        let status = install.args(["install", "--quiet", "check-jsonschema"]).status()?;
        ensure!(status.success(), "pip install failed");
    }
    Ok(program)
}
