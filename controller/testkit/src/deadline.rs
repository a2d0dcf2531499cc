//! Waiting for events with a deadline, never for time to pass.

use std::{future::Future, time::Duration};

/// Waits for a future at most that long.
///
/// # Panics
/// When the deadline passes; `what` says what was waited for.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened within {limit:?}"),
    }
}

/// Asks again until there is an answer, at most that long. For things that offer no event, such as another process.
///
/// # Panics
/// When the deadline passes; `what` says what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let asked = async {
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    };
    within(limit, what, asked).await
}
