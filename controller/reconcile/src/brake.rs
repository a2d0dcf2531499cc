//! Points between two steps at which a test stops a pass as a kill would: what is in memory is gone, what is on disk stays.
//! Outside of tests this is nothing.

/// Passes a point; a test may have chosen it as the last one.
#[cfg(not(test))]
#[inline]
pub(crate) fn point(_: &'static str) {}

#[cfg(test)]
pub(crate) use armed::{Killed, arm, disarm, passed, point};

#[cfg(test)]
mod armed {
    use std::cell::{Cell, RefCell};

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
        static PASSED: Cell<usize> = const { Cell::new(0) };
        static LAST: RefCell<&'static str> = const { RefCell::new("") };
    }

    /// What unwinds.
    pub(crate) struct Killed;

    /// Stops at the point after `points` others, by unwinding.
    pub(crate) fn arm(points: usize) {
        LEFT.with(|left| left.set(Some(points)));
    }

    /// Never stops any more; the point at which it stopped last.
    pub(crate) fn disarm() -> &'static str {
        LEFT.with(|left| left.set(None));
        LAST.with(|last| *last.borrow())
    }

    /// Points passed since the last call.
    pub(crate) fn passed() -> usize {
        PASSED.with(|passed| passed.replace(0))
    }

    pub(crate) fn point(name: &'static str) {
        PASSED.with(|passed| passed.set(passed.get() + 1));
        let stops = LEFT.with(|left| match left.get() {
            Some(0) => {
                left.set(None);
                true
            }
            Some(more) => {
                left.set(Some(more - 1));
                false
            }
            None => false,
        });
        if stops {
            LAST.with(|last| *last.borrow_mut() = name);
            // Quiet: a panic hook would print a hundred of these.
            std::panic::resume_unwind(Box::new(Killed));
        }
    }
}
