//! Reads the documents that `validate` and `plan` are pointed at, and shows findings.

use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use hemline_model::{
    finding::{Finding, Severity},
    valid::{SourceFile, unread_manifests},
};
use hemline_sources::Note;

use crate::error::CommandError;

/// All documents below these paths, in a stable order. A file that is named is read whatever its name is.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, CommandError> {
    Ok(read_noted(paths)?.0)
}

/// The same with what was passed over: links, names that are no UTF-8.
pub(crate) fn read_noted(paths: &[PathBuf]) -> Result<(Vec<SourceFile>, Vec<Note>), CommandError> {
    let read = |paths: &[PathBuf]| {
        hemline_sources::read_paths(paths, hemline_sources::Limits::default())
            .map_err(|error| CommandError::part("reading documents", error))
    };
    let (mut files, mut notes) = read(paths)?;
    if paths.iter().any(|path| path.is_file()) {
        let (more, passed_over) = read(&manifests(&files))?;
        files.extend(more);
        notes.extend(passed_over);
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    if files.is_empty() {
        return Err(CommandError::Usage("no *.yaml, *.yml or *.json below the given path".to_owned()));
    }
    Ok((files, notes))
}

/// One file, if it is not larger than it may be.
pub(crate) fn read_file(path: &Path, bytes_at_most: u64) -> Result<Vec<u8>, CommandError> {
    let failed = |source| CommandError::File { action: "read", path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(bytes_at_most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_at_most {
        return Err(CommandError::Usage(format!("{} has more than {bytes_at_most} bytes", path.display())));
    }
    Ok(bytes)
}

/// The manifests that documents name which were given as single files; a folder is read whole anyway. Links are not
/// followed there either.
fn manifests(files: &[SourceFile]) -> Vec<PathBuf> {
    let is_file = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    let no_link = |path: &PathBuf| {
        let mut above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        above.all(|above| std::fs::symlink_metadata(above).is_ok_and(|found| !found.is_symlink()))
    };
    let named = unread_manifests(files).into_iter().map(PathBuf::from);
    named.filter(|path| is_file(path) && no_link(path)).collect()
}

/// Prints findings to standard error, and a last line that counts them. What an annotation accepts is only counted; the other
/// formats have it. Returns whether one is an error.
pub(crate) fn show(findings: &[Finding]) -> bool {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let ignored = findings.iter().filter(|finding| finding.ignored.is_some()).count();
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| finding.ignored.is_none()) {
        text.push_str(&coloured(finding));
        text.push('\n');
    }
    if errors + warnings > 0 {
        let ignored = if ignored > 0 { format!(", {ignored} ignored") } else { String::new() };
        text.push_str(&format!("{}, {}{ignored}\n", plural(errors, "error"), plural(warnings, "warning")));
    }
    let offers = findings.iter().filter(|finding| finding.fix.is_some() && finding.ignored.is_none()).count();
    if offers > 0 {
        text.push_str(&format!("`hem validate --fix` mends {offers} of them\n"));
    }
    drop(anstream::stderr().write_all(text.as_bytes()));
    errors > 0
}

/// The rendered finding with its first word in colour; anstream drops the colour where it does not belong.
fn coloured(finding: &Finding) -> String {
    let colour = match finding.severity {
        Severity::Error => anstyle::AnsiColor::Red,
        Severity::Warning => anstyle::AnsiColor::Yellow,
        Severity::Note => anstyle::AnsiColor::Cyan,
    };
    let style = anstyle::Style::new().bold().fg_color(Some(colour.into()));
    let text = finding.render();
    match text.split_once(':') {
        Some((head, rest)) => format!("{style}{head}{style:#}:{rest}"),
        None => text,
    }
}

/// `1 fix`, `2 fixes`.
pub(crate) fn plural_of(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `1 error`, `2 errors`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
