//! Content comes in and goes to the disk piece by piece; never more than one piece of it is in memory.

use std::{sync::Arc, time::Duration};

use axum::body::BodyDataStream;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt as _;
use hemline_hub_core::files::{BlobRecord, Piece, Slot, UploadId};
use hemline_protocol::blob::BlobErrorCode;
use md5::{Digest as _, Md5};
use tokio::{fs::File, io::AsyncWriteExt as _, time::timeout};

use super::{FileStore, FilesError, Wanted};

/// A body that is to become a segment.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) upload: UploadId,
    /// What it will be; a whole file becomes visible at once.
    pub(crate) piece: Received,
    /// As announced.
    pub(crate) bytes: u64,
    /// Checksum that the client wants to be compared, base64.
    pub(crate) md5: Option<String>,
    pub(crate) body: &'a mut BodyDataStream,
    /// Longest silence.
    pub(crate) stall: Duration,
}

/// What becomes of a body.
#[derive(Debug)]
pub(crate) enum Received {
    Block(hemline_protocol::blob::BlockId),
    Whole(Wanted),
}

/// Room that was taken. Dropped half-way, because the connection is gone, it gives everything back.
struct Writing {
    store: Arc<FileStore>,
    slot: Option<Slot>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            drop(std::fs::remove_file(self.store.disk.part(slot.segment())));
            // The segment may have got its name already; without a record of it nobody needs it.
            self.store.disk.remove_segments(std::slice::from_ref(slot.segment()));
            self.store.state().abandon(slot);
        }
    }
}

/// Takes a body in. It is on the disk when this returns; a whole file is visible then, and its record comes back.
pub(crate) async fn receive(
    store: &Arc<FileStore>,
    incoming: Incoming<'_>,
) -> Result<Option<BlobRecord>, FilesError> {
    let Incoming { upload, piece, bytes, md5, body, stall } = incoming;
    let kind = match &piece {
        Received::Block(id) => Piece::Block(id.clone()),
        Received::Whole(_) => Piece::Whole,
    };
    let (mut writing, file) = store
        .run({
            let owner = Arc::clone(store);
            move |store| {
                let free = store.disk.free()?;
                let slot = store.state().reserve(upload, kind, bytes, free)?;
                let writing = Writing { store: owner, slot: Some(slot) };
                let Some(slot) = &writing.slot else { return Err(FilesError::Unavailable) };
                let file = store.disk.create_part(slot.segment())?;
                Ok((writing, file))
            }
        })
        .await?;
    let written = timeout(store.longest, write(File::from_std(file), body, bytes, md5, stall)).await;
    written.unwrap_or(Err(FilesError::Body(
        "the body did not come in time",
        BlobErrorCode::OperationTimedOut,
    )))?;
    store
        .run(move |store| {
            let Some(slot) = &writing.slot else { return Err(FilesError::Unavailable) };
            store.disk.finish_part(slot.segment())?;
            match piece {
                Received::Block(_) => {
                    let Some(slot) = writing.slot.take() else { return Err(FilesError::Unavailable) };
                    let segment = slot.segment().clone();
                    let staged = store.state().staged(slot);
                    match staged {
                        Ok(old) => {
                            store.disk.remove_segments(old.as_slice());
                            Ok(None)
                        }
                        Err(over) => {
                            store.disk.remove_segments(&[segment]);
                            Err(over.into())
                        }
                    }
                }
                Received::Whole(wanted) => {
                    let terms = wanted.terms()?;
                    let state = store.state();
                    // On refusal the guard ends here, before `writing` gives the room back.
                    let commit = state.commit_whole(slot, terms)?;
                    store.show(state, commit, &mut writing.slot).map(Some)
                }
            }
        })
        .await
}

async fn write(
    mut file: File,
    pieces: &mut BodyDataStream,
    bytes: u64,
    md5: Option<String>,
    stall: Duration,
) -> Result<(), FilesError> {
    let mut seen = 0_u64;
    let mut hash = md5.is_some().then(Md5::new);
    let body = |text, code| Err(FilesError::Body(text, code));
    loop {
        let piece = match timeout(stall, pieces.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_))) => return body("the body ended early", BlobErrorCode::InvalidInput),
            Err(_) => return body("the body did not come in time", BlobErrorCode::OperationTimedOut),
        };
        seen = seen.saturating_add(piece.len() as u64);
        if seen > bytes {
            return body("the body is longer than announced", BlobErrorCode::InvalidInput);
        }
        if let Some(hash) = &mut hash {
            hash.update(&piece);
        }
        file.write_all(&piece).await?;
    }
    if seen < bytes {
        return body("the body is shorter than announced", BlobErrorCode::InvalidInput);
    }
    if let (Some(hash), Some(md5)) = (hash, md5)
        && STANDARD.encode(hash.finalize()) != md5.trim()
    {
        return body("the body is not what its checksum says", BlobErrorCode::Md5Mismatch);
    }
    file.flush().await?;
    file.sync_all().await?;
    Ok(())
}
