//! `hem message`: `watch` prints the hub's event log, live; the others are in `message/command.rs`.

mod command;

use std::io::{IsTerminal as _, Write as _};

use futures_util::StreamExt as _;
use hemline_api::MessageRow;
use reqwest::Method;

use crate::{
    args::{Args, Message, Output},
    client::HubClient,
    error::CommandError,
    output,
};

/// A line of the stream longer than this is not ours (a message is at most 256 KiB, base64 and JSON around it).
const MAX_LINE: usize = 4 * 1024 * 1024;

/// What to begin with, of which device, and how many.
struct Watched<'a> {
    after: Option<u64>,
    device: Option<&'a str>,
    count: Option<u64>,
}

/// Does what was typed.
pub(crate) async fn run(args: &Args, message: &Message) -> Result<(), CommandError> {
    match message {
        Message::Watch { device, count, from_start, after } => {
            let after = if *from_start { Some(0) } else { *after };
            watch(args, Watched { after, device: device.as_deref(), count: *count }).await
        }
        Message::Send(typed) => command::send(args, typed).await,
        Message::Feedback { keep } => command::feedback(args, *keep).await,
        Message::Purge { device } => command::purge(args, device).await,
    }
}

/// Prints messages until told to stop.
async fn watch(args: &Args, watched: Watched<'_>) -> Result<(), CommandError> {
    let Watched { after, device, count } = watched;
    let after = after.map(|after| after.to_string());
    let mut query = Vec::new();
    query.extend(after.as_deref().map(|after| ("after", after)));
    query.extend(device.map(|device| ("device", device)));
    let hub = HubClient::find(args)?;
    let path = ["api", "v1", "messages"];
    let accept = |request: reqwest::RequestBuilder| request.header("Accept", "text/event-stream");
    let mut bytes = hub.send(Method::GET, &path, &query, accept).await?.bytes_stream();
    if args.output.is_table() && std::io::stderr().is_terminal() {
        // A quiet fleet looks like a broken command otherwise.
        drop(writeln!(anstream::stderr(), "watching {}; Ctrl-C ends", hub.host()));
    }
    let mut lines = Lines::default();
    let mut seen = 0;
    while let Some(chunk) = bytes.next().await {
        let chunk =
            chunk.map_err(|source| CommandError::Unreachable { url: hub.host().to_owned(), source })?;
        for line in lines.push(&chunk)? {
            let Some(text) = line.strip_prefix("data:") else { continue };
            let row: MessageRow = serde_json::from_str(text.trim_start()).map_err(|error| {
                CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() }
            })?;
            print(&row, args.output)?;
            seen += 1;
            if count.is_some_and(|count| seen >= count) {
                return Ok(());
            }
        }
    }
    Err(CommandError::BadAnswer {
        url: hub.host().to_owned(),
        what: "the stream ended: the hub stopped".to_owned(),
    })
}

fn print(row: &MessageRow, output: Output) -> Result<(), CommandError> {
    match output {
        Output::Json => {
            let line = serde_json::to_string(row).map_err(|error| CommandError::part("JSON", error))?;
            output::text(&format!("{line}\n"))
        }
        Output::Yaml => {
            let text = serde_yaml_ng::to_string(row).map_err(|error| CommandError::part("YAML", error))?;
            output::text(&format!("---\n{text}"))
        }
        Output::Table | Output::Wide => {
            let sender = row.module_id.as_ref().map_or_else(String::new, |module| format!("/{module}"));
            let time = row.enqueued_time.strftime("%H:%M:%S%.3f");
            let properties: Vec<String> = row
                .properties
                .iter()
                .map(|(key, value)| format!("{key}={}", output::cell(Some(value))))
                .collect();
            output::text(&format!(
                "{:>6}  {time}  {}{sender}  {}  {}\n",
                row.sequence,
                row.device_id,
                row.body,
                properties.join(" ")
            ))
        }
    }
}

/// Cuts a byte stream into lines.
#[derive(Default)]
struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<String>, CommandError> {
        self.pending.extend_from_slice(chunk);
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if self.pending.len() > MAX_LINE {
            return Err(CommandError::BadAnswer {
                url: "the stream".to_owned(),
                what: "a line too long".to_owned(),
            });
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn lines_are_found_whatever_the_chunks() {
        let mut lines = Lines::default();
        assert!(lines.push(b"data: {\"a\":").unwrap().is_empty());
        assert_eq!(lines.push(b"1}\r\nid: 7\nda").unwrap(), ["data: {\"a\":1}", "id: 7"]);
        assert_eq!(lines.push(b"ta: x\n").unwrap(), ["data: x"]);
    }
}
