//! The judges of the CI recipes in `examples/pull-request/`: what the forges themselves would say about the files.
//!
//! Made once, like the SDK: a second run takes no time and needs no registry.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::sdk::{environment, run};

/// Has the schemas of the forges inside.
const CHECK_JSONSCHEMA: &str = "check-jsonschema==0.39.*";
/// Knows what a workflow means: expressions, permissions, shell.
const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7";

/// The program that checks files against the schemas of GitHub and GitLab.
///
/// # Errors
/// Without a `python3` that makes environments, or when the package cannot be installed.
pub(crate) fn check_jsonschema(target: &Path) -> Result<PathBuf> {
    let folder = target.join("venv-recipes");
    environment(&folder, &[CHECK_JSONSCHEMA])?;
    Ok(folder.join("bin").join("check-jsonschema"))
}

/// The program that reads GitHub workflows as the runner does.
///
/// # Errors
/// Without `go`, or when the module cannot be built.
pub(crate) fn actionlint(target: &Path) -> Result<PathBuf> {
    let folder = target.join("actionlint");
    let program = folder.join("actionlint");
    if !program.exists() {
        run(Command::new("go")
            .args(["install", ACTIONLINT])
            .env("GOBIN", &folder)
            .env("GOPATH", folder.join("go"))
            .env("GOFLAGS", "-modcacherw"))
        .context("go install")?;
    }
    Ok(program)
}
