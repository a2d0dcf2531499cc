//! `hem validate --fix`: writes what `hemline_plan::mend` changed. A file is replaced whole, and only when it still says what
//! was judged.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use hemline_model::{Finding, SourceFile};
use hemline_plan::{Mended, mend};

use super::super::documents;
use crate::error::CommandError;

/// Why a file could not be mended.
#[derive(Debug, thiserror::Error)]
enum MendError {
    #[error("{} changed while it was checked; nothing was written to it, run the command again", .0.display())]
    Changed(PathBuf),
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Mends what can be mended, writes it, says so, and returns the files as they are now.
pub(super) fn run(files: &[SourceFile]) -> Result<Vec<SourceFile>, CommandError> {
    let Mended { files: mended, done } = mend(files.to_owned());
    let mut changed = 0;
    for (before, after) in files.iter().zip(&mended).filter(|(before, after)| before.bytes != after.bytes) {
        replace(Path::new(&*before.path), &before.bytes, &after.bytes)
            .map_err(|error| CommandError::part("writing fixes", error))?;
        changed += 1;
    }
    let mut text: String = done.iter().map(told).collect();
    text.push_str(&match done.len() {
        0 => "nothing to fix\n\n".to_owned(),
        count => format!(
            "{} in {}\n\n",
            documents::plural_of(count, "fix", "fixes"),
            documents::plural(changed, "file")
        ),
    });
    drop(anstream::stderr().write_all(text.as_bytes()));
    Ok(mended)
}

fn told(finding: &Finding) -> String {
    let place = finding.position.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
    let what = finding.fix.as_ref().map(|fix| fix.description.as_str()).unwrap_or_default();
    format!("fixed {place}{what} ({})\n", finding.rule)
}

/// Puts a whole new file in the place of the old one: a reader sees the one or the other.
fn replace(path: &Path, before: &[u8], after: &[u8]) -> Result<(), MendError> {
    let failed = |error| MendError::Write(path.to_owned(), error);
    // A link stays a link.
    let target = fs::canonicalize(path).map_err(failed)?;
    if fs::read(&target).map_err(failed)? != before {
        return Err(MendError::Changed(path.to_owned()));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let temporary = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = write(&temporary, &target, after);
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written.map_err(failed)
}

fn write(temporary: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(temporary)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::metadata(target)?.permissions())?;
    file.sync_all()?;
    fs::rename(temporary, target)
}
