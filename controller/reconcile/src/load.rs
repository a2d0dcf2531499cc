//! Stage 1, I/O: the source's files as they are now.

use std::time::Duration;

use hemline_sources::{AnySource, Snapshot, Source as _, SourceError};

/// A source that takes longer is a source that cannot be read. Longer than any limit of its own.
const AT_MOST: Duration = Duration::from_secs(300);

/// Reads the source.
pub(crate) async fn load(source: &mut AnySource) -> Result<Snapshot, SourceError> {
    match tokio::time::timeout(AT_MOST, source.snapshot()).await {
        Ok(snapshot) => snapshot,
        Err(_) => Err(SourceError::TimedOut { url: source.describe(), seconds: AT_MOST.as_secs() }),
    }
}
