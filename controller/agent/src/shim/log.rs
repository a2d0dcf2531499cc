//! Log file of a process module: every line gets the time it came, and the file is rotated by size.
//!
//! Not here: reading it back (`runtime/process/log_reader.rs`).

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, PipeReader, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::records::LogLimits;

/// A line longer than that is cut into several, so that memory stays bounded.
const LONGEST_LINE: u64 = 16 * 1024;

/// An append-only file that moves to `log.1`, `log.2`, … when it is full.
pub(super) struct RotatingLog {
    path: PathBuf,
    limits: LogLimits,
    file: File,
    size: u64,
}

impl RotatingLog {
    pub(super) fn open(path: PathBuf, limits: LogLimits) -> io::Result<Self> {
        let file = append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, limits, file, size })
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.limits.max_bytes {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let older = self.limits.files.max(1) - 1;
        for n in (1..older).rev() {
            // A missing generation is the normal case at first.
            drop(std::fs::rename(generation(&self.path, n), generation(&self.path, n + 1)));
        }
        if older == 0 {
            self.file.set_len(0)?;
        } else {
            std::fs::rename(&self.path, generation(&self.path, 1))?;
            self.file = append(&self.path)?;
        }
        self.size = 0;
        Ok(())
    }
}

/// Path of the n-th older file.
pub(crate) fn generation(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Copies the module's output until every writer has closed it. A full disk loses lines, never the module: it would
/// block on a pipe that nobody reads.
pub(super) fn copy(reader: PipeReader, mut log: RotatingLog) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        line.extend_from_slice(b"                              ");
        let prefix = line.len();
        match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
        if line.len() == prefix {
            continue;
        }
        let stamp = format!("{:.6}", Timestamp::now());
        let width = stamp.len().min(prefix - 1);
        line[..width].copy_from_slice(&stamp.as_bytes()[..width]);
        line.drain(width + 1..prefix);
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        drop(log.write_line(&line));
    }
}
