//! Events of the file system, reduced to "something in there moved". notify stays in this file.

use std::{path::Path, sync::Arc};

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

/// A running watch, or none when the system refuses one; then only the rescan finds changes.
pub(super) struct Watch {
    moved: Arc<Notify>,
    /// Dropping it ends the watch.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    pub(super) fn start(root: &Path) -> Self {
        let moved = Arc::new(Notify::new());
        let watcher = watch(root, Arc::clone(&moved))
            .inspect_err(|error| {
                tracing::warn!(root = %root.display(), %error, "cannot watch the folder, it is compared every few seconds instead");
            })
            .ok();
        Self { moved, _watcher: watcher }
    }

    /// Waits for an event. Cancel-safe: an event that came is kept until somebody waits.
    pub(super) async fn event(&self) {
        self.moved.notified().await;
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

fn watch(root: &Path, moved: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    // Events carry absolute, resolved paths on some systems.
    let resolved = root.canonicalize().map_err(notify::Error::io)?;
    let base = resolved.clone();
    let mut watcher = RecommendedWatcher::new(
        move |event: notify::Result<Event>| {
            if event.map_or(true, |event| matters(&base, &event)) {
                moved.notify_one();
            }
        },
        Config::default().with_follow_symlinks(false),
    )?;
    watcher.watch(&resolved, RecursiveMode::Recursive)?;
    Ok(watcher)
}

/// Reading is no change, nor is what we write to `status/` ourselves, nor anything under a dot name.
fn matters(root: &Path, event: &Event) -> bool {
    let read = match event.kind {
        EventKind::Access(access) => access != AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => false,
    };
    if read {
        return false;
    }
    event.need_rescan()
        || event.paths.iter().any(|path| {
            let inside = path.strip_prefix(root).unwrap_or(path);
            let mut parts = inside.components().map(|part| part.as_os_str().to_string_lossy());
            let first = parts.clone().next();
            first.as_deref() != Some("status") && !parts.any(|part| part.starts_with('.'))
        })
}
