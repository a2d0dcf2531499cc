//! JSON pointers, made step by step. Every rule walks documents with one in hand, so a step costs no allocation of its own.

use std::borrow::Cow;

/// A key as a step of a pointer, without the slash.
#[must_use]
pub fn escape(key: &str) -> Cow<'_, str> {
    if key.bytes().any(|byte| matches!(byte, b'~' | b'/')) {
        Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(key)
    }
}

/// Adds a step to a pointer.
pub fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&escape(key));
}
