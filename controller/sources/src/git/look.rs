//! A look at the remote: bridge, thread, deadline.
//!
//! libgit2 blocks, so it has a thread of its own and not one of the runtime's, which waits for its threads before the
//! program may end. The thread talks to the bridge; when the deadline passes or nobody waits any more, the bridge closes and
//! the thread ends with an error. Only `file://` has no bridge: there a hung disk holds the thread.

use git2::Oid;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Bounds,
    fetch::{Origin, PACK_AT_MOST},
};
use crate::{
    SourceError,
    bridge::{Bridge, Carries},
    select::READ_AT_MOST,
};

/// Starts a look. Dropping the handle ends it.
pub(super) fn look(origin: Origin, bounds: Bounds) -> AbortOnDropHandle<Result<Oid, SourceError>> {
    let blob_bytes = Some(READ_AT_MOST);
    let carries = Carries { bytes: PACK_AT_MOST as u64, blob_bytes };
    AbortOnDropHandle::new(tokio::spawn(async move {
        let work = origin.clone();
        through(&origin, carries, bounds.timeout, "git-fetch", move |address, deadline| {
            work.tip(address, deadline)
        })
        .await
    }))
}

/// Runs blocking work of libgit2 against the address of a bridge.
pub(super) async fn through<T: Send + 'static>(
    origin: &Origin,
    carries: Carries,
    timeout: std::time::Duration,
    name: &str,
    work: impl FnOnce(&str, std::time::Instant) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let deadline = Instant::now() + timeout;
    let late = || SourceError::TimedOut { url: origin.describe(), seconds: timeout.as_secs() };
    let bridge = match origin.remote() {
        Some(remote) => {
            Some(timeout_at(deadline, Bridge::open(remote, carries)).await.unwrap_or_else(|_| Err(late()))?)
        }
        None => None,
    };
    let address = bridge.as_ref().map(|bridge| bridge.url.clone()).unwrap_or_default();
    let (answer, result) = oneshot::channel();
    let work = move || {
        // Nobody waits any more when the source was dropped.
        drop(answer.send(work(&address, deadline.into_std())));
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|_| SourceError::Interrupted)?;
    let Ok(finished) = timeout_at(deadline, result).await else { return Err(late()) };
    match (finished.unwrap_or(Err(SourceError::Interrupted)), bridge) {
        (Err(error @ (SourceError::Unreachable { .. } | SourceError::NotKept { .. })), Some(bridge)) => {
            Err(bridge.explain(error))
        }
        (Err(error @ SourceError::NotPushed { .. }), Some(bridge)) => Err(match bridge.explain(error) {
            // The bridge does not know what it carries.
            SourceError::Unreachable { url, source } => SourceError::NotPushed { url, source },
            other => other,
        }),
        (finished, _) => finished,
    }
}
