//! Reading the log files of a process module, newest generation last.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use super::super::{LogLine, LogQuery};
use crate::shim;

/// Older files looked at; the shim keeps two by default.
const GENERATIONS: u32 = 9;

/// Never more lines than that, whatever was asked.
const MOST_LINES: usize = 20_000;

pub(super) fn read(log: &Path, query: &LogQuery) -> io::Result<Vec<LogLine>> {
    let tail = query.tail.unwrap_or(MOST_LINES).min(MOST_LINES);
    let mut kept = VecDeque::new();
    let older = (1..=GENERATIONS).rev().map(|n| shim::log_generation(log, n));
    for path in older.chain([log.to_owned()]) {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = parse(&String::from_utf8_lossy(&line?));
            if tail > 0 && query.covers(line.at) {
                if kept.len() == tail {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        }
    }
    Ok(kept.into())
}

fn parse(line: &str) -> LogLine {
    let stamped = line.split_once(' ').and_then(|(at, text)| Some((at.parse().ok()?, text)));
    match stamped {
        Some((at, text)) => LogLine { at: Some(at), text: text.to_owned() },
        None => LogLine { at: None, text: line.to_owned() },
    }
}
