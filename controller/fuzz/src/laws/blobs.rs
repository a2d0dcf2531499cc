//! Requests to the blob endpoint: names, queries, credentials, ranges, block lists.

use hemline_protocol::blob::{
    Action, BlobName, BlobQuery, BlobSas, BlobSecret, BlockId, ByteRange, Precondition, Verb, read_block_list,
};

/// Most blocks of a list here.
const BLOCKS: usize = 20;

/// Reads bytes as each part of a request.
///
/// # Panics
/// When a law is broken.
pub fn blobs(bytes: &[u8]) {
    if let Ok(list) = read_block_list(bytes, BLOCKS) {
        assert!(list.len() <= BLOCKS, "more blocks than allowed: {}", list.len());
        for (_, id) in &list {
            let text = id.to_string();
            assert!(text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
            assert_eq!(BlockId::from_hex(&text).as_ref(), Ok(id));
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = BlobName::new(text) {
        assert_eq!(name.as_str(), text);
        assert!(!text.split('/').any(|part| matches!(part, "" | "." | "..")), "{text:?} leads elsewhere");
        assert!(!name.last_part().contains(['/', '\\', '\0']), "{text:?}");
    }
    if let Some(range) = ByteRange::parse(text) {
        for size in [0, 1, 1 << 40, u64::MAX] {
            if let Ok((first, count)) = range.within(size) {
                assert!(count > 0 && first.checked_add(count).is_some_and(|end| end <= size), "{text:?}");
            }
        }
    }
    let condition = Precondition { if_match: Some(text.to_owned()), if_none_match: None };
    assert!(condition.holds(None).is_err(), "no file is no match");
    let Ok(query) = BlobQuery::parse(text) else { return };
    for verb in [Verb::Put, Verb::Get, Verb::Head, Verb::Delete] {
        if let Ok(action) = Action::read(verb, &query, Some("BlockBlob")) {
            assert_eq!(action.writes(), matches!(verb, Verb::Put | Verb::Delete), "{text:?}");
        }
    }
    if let Ok(sas) = BlobSas::find(&query) {
        // Nobody knows this secret, so nothing verifies.
        assert!(!sas.verify(&BlobSecret::new([0x5a; 32]), "d/a"), "{text:?}");
    }
}
