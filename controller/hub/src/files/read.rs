//! Content goes out, segment by segment, a buffer at a time.

use std::{io, io::SeekFrom, sync::Arc};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hemline_hub_core::files::{BlobRecord, Segment};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

use super::FileStore;

/// Bytes read at a time.
const BUFFER: usize = 64 << 10;

/// Where a reader is.
struct Place {
    store: Arc<FileStore>,
    blob: Arc<BlobRecord>,
    /// The segment that comes next.
    next: usize,
    /// The open one, and bytes of it that are still to be read.
    open: Option<(File, u64)>,
    /// Bytes of the blob before the first one wanted.
    skip: u64,
    /// Bytes that are still wanted.
    left: u64,
}

/// Part of a file as the body of an answer. A file that is replaced meanwhile ends the body early, which its length tells.
pub(crate) fn content(store: Arc<FileStore>, blob: Arc<BlobRecord>, first: u64, bytes: u64) -> Body {
    let place = Place { store, blob, next: 0, open: None, skip: first, left: bytes };
    Body::from_stream(stream::unfold(Some(place), |place| async {
        let mut place = place?;
        match place.read().await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((Ok(piece), Some(place))),
            Err(error) => {
                tracing::warn!(device = %place.blob.device, name = %place.blob.name, %error, "a file cannot be read to its end");
                Some((Err(error), None))
            }
        }
    }))
}

impl Place {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            let (file, there) = match &mut self.open {
                Some(open) if open.1 > 0 => (&mut open.0, &mut open.1),
                Some(_) | None => {
                    self.open_next().await?;
                    continue;
                }
            };
            let wanted = self.left.min(*there).min(BUFFER as u64);
            let mut buffer = BytesMut::zeroed(usize::try_from(wanted).unwrap_or(BUFFER));
            let count = file.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer.truncate(count);
            *there -= count as u64;
            self.left -= count as u64;
            return Ok(Some(buffer.freeze()));
        }
    }

    async fn open_next(&mut self) -> io::Result<()> {
        let segment: &Segment = self.blob.segments.get(self.next).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.next += 1;
        if self.skip >= segment.bytes {
            self.skip -= segment.bytes;
            self.open = None;
            return Ok(());
        }
        let mut file = File::open(self.store.disk.segment(segment)).await?;
        if self.skip > 0 {
            file.seek(SeekFrom::Start(self.skip)).await?;
        }
        self.open = Some((file, segment.bytes - self.skip));
        self.skip = 0;
        Ok(())
    }
}
