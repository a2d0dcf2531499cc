//! `cargo xtask corpus`: writes a made-up fleet, and its second revision, for measuring by hand.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use hemline_testkit::corpus::{Revision, Shape};

/// Writes `OUT/before` and, where anything changes, `OUT/after`.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let mut out = None;
    let mut shape = Shape { devices: 2000, deployments: 2000, changed: 0, bad: 0, seed: 1 };
    let mut words = arguments.iter();
    while let Some(flag) = words.next() {
        let value = words.next().with_context(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<usize>().with_context(|| format!("{flag} {value}: not a number"));
        match flag.as_str() {
            "--out" => out = Some(PathBuf::from(value)),
            "--devices" => shape.devices = number()?,
            "--deployments" => shape.deployments = number()?,
            "--changed" => shape.changed = number()?,
            "--bad" => shape.bad = number()?,
            "--seed" => shape.seed = number()? as u64,
            other => {
                bail!("{other} is not known; --out, --devices, --deployments, --changed, --bad, --seed are")
            }
        }
    }
    let out = out.context("--out names the folder to write to")?;
    write(&shape, Revision::Before, &out.join("before"))?;
    if shape.changed > 0 {
        write(&shape, Revision::After, &out.join("after"))?;
    }
    Ok(true)
}

fn write(shape: &Shape, revision: Revision, folder: &Path) -> Result<()> {
    let bytes =
        shape.write(revision, folder).with_context(|| format!("cannot write {}", folder.display()))?;
    println!("{}: {bytes} bytes", folder.display());
    Ok(())
}
