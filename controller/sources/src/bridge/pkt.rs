//! The few lines of Git's wire protocol (version 0) that the bridge reads and changes: it asks a server to leave out blobs
//! that no document can be.
//!
//! libgit2 knows no partial clone. A server that offers `filter` gets one more line after the wants; nothing else moves.
//! Deltas against objects that are not in the pack are given up with it, because their base may be a blob left out.

use bytes::{Buf as _, Bytes, BytesMut};

/// Longest packet of the protocol.
const LONGEST: usize = 65_520;
/// The capabilities stand in the first lines of an answer, or nowhere.
const SEARCHED: usize = 16 << 10;

/// Looks whether a server offers `filter`, while its first bytes go by.
#[derive(Debug, Default)]
pub(super) struct Offers {
    seen: BytesMut,
    filter: bool,
    done: bool,
}

impl Offers {
    /// Takes the next bytes of the server.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        self.seen.extend_from_slice(bytes);
        let capabilities = self.seen.iter().position(|byte| *byte == 0).map(|nul| &self.seen[nul..]);
        if let Some(capabilities) = capabilities
            && let Some(end) = capabilities.iter().position(|byte| *byte == b'\n')
        {
            let text = String::from_utf8_lossy(&capabilities[1..end]).into_owned();
            self.filter = text.split(' ').any(|word| word == "filter");
            self.done = true;
        }
        if self.seen.len() > SEARCHED {
            self.done = true;
        }
        if self.done {
            self.seen = BytesMut::new();
        }
    }

    pub(super) fn filter(&self) -> bool {
        self.filter
    }
}

/// Rewrites what a client asks for, up to the end of its wants; everything after passes as it is.
#[derive(Debug)]
pub(super) struct Wants {
    buffer: BytesMut,
    blob_bytes: u64,
    wanted: bool,
    passing: bool,
}

impl Wants {
    /// Blobs larger than this are not asked for.
    pub(super) fn without_blobs_above(blob_bytes: u64) -> Self {
        Self { buffer: BytesMut::new(), blob_bytes, wanted: false, passing: false }
    }

    /// The bytes to send on; those of an incomplete packet wait for the rest.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Bytes {
        if self.passing {
            return Bytes::copy_from_slice(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        let mut out = BytesMut::new();
        while let Some(size) = self.buffer.get(..4).map(length) {
            let Some(size) = size.filter(|size| *size <= LONGEST) else {
                // Not the protocol we know: hands off.
                self.passing = true;
                break;
            };
            if size < 4 {
                if size == 0 && self.wanted {
                    let line = format!("filter blob:limit={}\n", self.blob_bytes);
                    out.extend_from_slice(packet(&line).as_bytes());
                    self.passing = true;
                }
                out.extend_from_slice(&self.buffer[..4]);
                self.buffer.advance(4);
                if self.passing {
                    break;
                }
                continue;
            }
            if self.buffer.len() < size {
                return out.freeze();
            }
            let line = self.buffer.split_to(size);
            let text = String::from_utf8_lossy(&line[4..]).into_owned();
            match text.strip_prefix("want ") {
                Some(_) if !self.wanted => {
                    self.wanted = true;
                    let body = text.trim_end_matches('\n').replace(" thin-pack", "");
                    out.extend_from_slice(packet(&format!("{body} filter\n")).as_bytes());
                }
                Some(_) | None => out.extend_from_slice(&line),
            }
        }
        if self.passing {
            out.extend_from_slice(&self.buffer.split());
        }
        out.freeze()
    }
}

fn length(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text, 16).ok())
}

/// A packet of the protocol: four hexadecimal digits of its whole length, then the text.
pub(super) fn packet(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_follows_the_wants() {
        let wants = packet("want aaaa multi_ack thin-pack ofs-delta\n") + &packet("want bbbb\n");
        let asked = format!("{wants}{}0000{}", packet("deepen 1"), packet("done\n"));
        let expected = packet("want aaaa multi_ack ofs-delta filter\n")
            + &packet("want bbbb\n")
            + &packet("deepen 1")
            + &packet("filter blob:limit=7\n")
            + "0000"
            + &packet("done\n");
        // However the bytes arrive.
        for step in [1, 3, 7, 1000] {
            let mut filter = Wants::without_blobs_above(7);
            let sent: Vec<u8> = asked.as_bytes().chunks(step).flat_map(|part| filter.take(part)).collect();
            assert_eq!(String::from_utf8(sent).unwrap(), expected, "{step}");
        }
    }

    #[test]
    fn what_asks_for_nothing_passes() {
        for text in ["0000", "zzzzrest", ""] {
            assert_eq!(Wants::without_blobs_above(1).take(text.as_bytes()), text);
        }
    }

    #[test]
    fn capabilities_are_found_behind_the_first_reference() {
        let line = |capabilities: &str| packet(&format!("aaaa HEAD\0{capabilities}\n"));
        for (text, offered) in [
            (line("multi_ack filter thin-pack"), true),
            (line("multi_ack"), false),
            (packet("# service=git-upload-pack\n") + "0000" + &line("filter"), true),
            (line("x=filter") + &packet("bbbb refs/heads/filter\n"), false),
        ] {
            let mut offers = Offers::default();
            text.as_bytes().chunks(5).for_each(|part| offers.look(part));
            assert_eq!(offers.filter(), offered, "{text:?}");
        }
    }
}
