//! How many files this process may have open. Every connection is one, and most systems let a program have 1024 of them unless
//! it asks for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many as the system allows. When it refuses, the hub has fewer connections and goes on.
pub(crate) fn ask_for_all() {
    let has = getrlimit(Resource::Nofile);
    let all = Rlimit { current: has.maximum, maximum: has.maximum };
    if has.current != has.maximum
        && let Err(error) = setrlimit(Resource::Nofile, all)
    {
        tracing::warn!(%error, limit = has.current, "the limit of open files stays; it bounds the number of connections");
    }
}
