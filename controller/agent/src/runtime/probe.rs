//! Health checks over the network, the same for every runtime that knows a module's address.
//!
//! Not here: commands (each runtime has its own way to run one), when to ask (`health.rs`).

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::Verdict;

/// The first line of an answer is not longer than that.
const STATUS_LINE: usize = 512;

/// Of what a command says, that much is kept as the reason.
const WORDS: usize = 200;

/// Does somebody listen there?
pub(super) async fn tcp(address: SocketAddr) -> Verdict {
    match TcpStream::connect(address).await {
        Ok(_) => Verdict::Passed,
        Err(error) => Verdict::Failed(format!("no connection to port {}: {error}", address.port())),
    }
}

/// Is a GET answered with 200 to 399?
pub(super) async fn http(address: SocketAddr, path: &str) -> Verdict {
    match get(address, path).await {
        Ok(status) if (200..400).contains(&status) => Verdict::Passed,
        Ok(status) => Verdict::Failed(format!("GET {path} on port {} gave {status}", address.port())),
        Err(error) => Verdict::Failed(format!("GET {path} on port {}: {error}", address.port())),
    }
}

/// What the end of a command means.
pub(super) fn command(exit_code: Option<i64>, output: &[u8]) -> Verdict {
    if exit_code == Some(0) {
        return Verdict::Passed;
    }
    let text = String::from_utf8_lossy(output);
    let words: String = text.trim().chars().take(WORDS).collect();
    let how =
        exit_code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("exited with {code}"));
    let colon = if words.is_empty() { "" } else { ": " };
    Verdict::Failed(format!("the check {how}{colon}{words}"))
}

async fn get(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: hemline-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        address.ip()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < STATUS_LINE {
        let mut piece = [0; 64];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        line.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    let line = String::from_utf8_lossy(&line);
    let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split_whitespace().nth(1));
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}
