//! The blob endpoint's shapes: what storage SDKs really send, and what must not get through.

use hemline_protocol::blob::{
    Action, BadBlockList, BlobErrorCode, BlobName, BlobPermission, BlobQuery, BlobSas, BlobSecret, BlockId,
    BlockSource, ByteRange, NoBlobName, Precondition, Verb, read_block_list,
};
use jiff::Timestamp;
use proptest::prelude::*;

fn query(text: &str) -> BlobQuery {
    BlobQuery::parse(text).unwrap()
}

#[test]
fn names() {
    for good in ["a", "logs/2026/boot.txt", "a b", "ü", "...", "a.", ".a/b..", "%2F", "$web", "a:b*?"] {
        assert_eq!(BlobName::new(good).unwrap().as_str(), good);
    }
    for (bad, why) in [
        ("", NoBlobName::Empty),
        ("/a", NoBlobName::Part),
        ("a/", NoBlobName::Part),
        ("a//b", NoBlobName::Part),
        ("../a", NoBlobName::Part),
        ("a/../../etc/passwd", NoBlobName::Part),
        (".", NoBlobName::Part),
        ("a\\b", NoBlobName::Character('\\')),
        ("a\nb", NoBlobName::Character('\n')),
        ("a\0", NoBlobName::Character('\0')),
    ] {
        assert_eq!(BlobName::new(bad), Err(why), "{bad:?}");
    }
    assert!(BlobName::new("x".repeat(1024)).is_ok());
    assert_eq!(BlobName::new("x".repeat(1025)), Err(NoBlobName::TooLong));
    assert_eq!(BlobName::new(["a"; 255].join("/")), Err(NoBlobName::TooLong));
    assert_eq!(BlobName::new("a/b/c.txt").unwrap().last_part(), "c.txt");
}

#[test]
fn block_ids() {
    for (text, hex) in
        [("AAAA", "000000"), ("MDAwMA==", "30303030"), ("MDAwMA", "30303030"), ("/+8=", "ffef")]
    {
        let id = BlockId::from_base64(text).unwrap();
        assert_eq!(id.to_string(), hex, "{text}");
        assert_eq!(BlockId::from_hex(hex), Ok(id));
    }
    for text in ["", "?", "AAAA AAAA", &"A".repeat(88), &"A".repeat(4096)] {
        assert!(BlockId::from_base64(text).is_err(), "{text}");
    }
    for hex in ["", "0", "0G", "FF", "../..", &"00".repeat(65)] {
        assert!(BlockId::from_hex(hex).is_err(), "{hex}");
    }
}

#[test]
fn block_lists() {
    let id = |text| BlockId::from_base64(text).unwrap();
    let (latest, other) = ((BlockSource::Latest, id("MDAw")), (BlockSource::Latest, id("MDAx")));
    for (text, expected) in [
        // Python, Node and Java write these.
        (
            "<?xml version='1.0' encoding='utf-8'?>\n<BlockList><Latest>MDAw</Latest><Latest>MDAx</Latest></BlockList>",
            vec![latest.clone(), other.clone()],
        ),
        (
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><BlockList><Latest>MDAw</Latest></BlockList>",
            vec![latest.clone()],
        ),
        (
            "\u{feff}<BlockList xmlns=\"x\">\r\n  <!-- a > b -->\n  <Latest> MDAw\n</Latest>\n</BlockList >\n",
            vec![latest.clone()],
        ),
        (
            "<BlockList><Committed>MDAw</Committed><Uncommitted>MDAw</Uncommitted></BlockList>",
            vec![(BlockSource::Committed, id("MDAw")), (BlockSource::Uncommitted, id("MDAw"))],
        ),
        ("<BlockList/>", vec![]),
        ("<BlockList></BlockList>", vec![]),
    ] {
        assert_eq!(read_block_list(text.as_bytes(), 2), Ok(expected), "{text}");
    }
    for (text, expected) in [
        ("", BadBlockList::Shape(0)),
        ("{}", BadBlockList::Shape(0)),
        ("<Blocks/>", BadBlockList::Shape(9)),
        ("<!DOCTYPE x [<!ENTITY a \"b\">]><BlockList/>", BadBlockList::Shape(28)),
        ("<BlockList>", BadBlockList::Shape(11)),
        ("<BlockList><Latest>MDAw</BlockList>", BadBlockList::Shape(35)),
        ("<BlockList><Latest>MDAw</Latest></BlockList>x", BadBlockList::Shape(44)),
        ("<BlockList><Latest>&#x4D;</Latest></BlockList>", BadBlockList::Id(19)),
        ("<BlockList><Latest></Latest></BlockList>", BadBlockList::Id(19)),
        (
            "<BlockList><Latest>MDAw</Latest><Latest>MDAw</Latest><Latest>MDAw</Latest></BlockList>",
            BadBlockList::TooMany(2),
        ),
    ] {
        assert_eq!(read_block_list(text.as_bytes(), 2), Err(expected), "{text}");
    }
    assert_eq!(read_block_list(b"<BlockList>\xff</BlockList>", 2), Err(BadBlockList::Shape(11)));
}

#[test]
fn actions() {
    let block = "comp=block&blockid=MDAw&sv=2018-03-28";
    let page = Some("PageBlob");
    for (verb, text, kind, expected) in [
        (Verb::Put, "sv=1", Some("BlockBlob"), Ok(Action::PutBlob)),
        (Verb::Put, "", None, Err(BlobErrorCode::MissingRequiredHeader)),
        (Verb::Put, "", page, Err(BlobErrorCode::InvalidHeaderValue)),
        (Verb::Put, block, None, Ok(Action::PutBlock(BlockId::from_base64("MDAw").unwrap()))),
        (
            Verb::Put,
            "COMP=block&BlockId=MDAw",
            None,
            Ok(Action::PutBlock(BlockId::from_base64("MDAw").unwrap())),
        ),
        (Verb::Put, "comp=block", None, Err(BlobErrorCode::InvalidQueryParameterValue)),
        (Verb::Put, "comp=block&blockid=%3F", None, Err(BlobErrorCode::InvalidQueryParameterValue)),
        (Verb::Put, "comp=blocklist", None, Ok(Action::PutBlockList)),
        (Verb::Put, "comp=page", None, Err(BlobErrorCode::InvalidQueryParameterValue)),
        (Verb::Put, "restype=container", None, Err(BlobErrorCode::InvalidQueryParameterValue)),
        (Verb::Get, "", None, Ok(Action::Get)),
        (Verb::Get, "comp=list&restype=container", None, Err(BlobErrorCode::InvalidQueryParameterValue)),
        (Verb::Head, "", None, Ok(Action::Head)),
        (Verb::Delete, "", None, Ok(Action::Delete)),
        (Verb::Delete, "snapshot=1", None, Err(BlobErrorCode::InvalidQueryParameterValue)),
    ] {
        assert_eq!(Action::read(verb, &query(text), kind), expected, "{verb:?} {text}");
    }
    assert!(BlobQuery::parse("a=%ff").is_err());
    assert!(BlobQuery::parse(&"a&".repeat(65)).is_err());
    assert_eq!(query("a=1&A=2&b").value("a"), Some("1"));
}

#[test]
fn conditions() {
    use BlobErrorCode::{BlobAlreadyExists, ConditionNotMet};
    for (if_match, if_none_match, etag, expected) in [
        (None, None, None, Ok(())),
        (None, None, Some("1"), Ok(())),
        (None, Some("*"), None, Ok(())),
        (None, Some("*"), Some("1"), Err(BlobAlreadyExists)),
        (None, Some("\"1\""), Some("1"), Err(ConditionNotMet)),
        (None, Some("\"2\""), Some("1"), Ok(())),
        (Some("*"), None, None, Err(ConditionNotMet)),
        (Some("*"), None, Some("1"), Ok(())),
        (Some("\"1\""), None, Some("1"), Ok(())),
        (Some("\"2\""), None, Some("1"), Err(ConditionNotMet)),
    ] {
        let condition = Precondition {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
        };
        assert_eq!(condition.holds(etag), expected, "{condition:?} {etag:?}");
    }
}

#[test]
fn ranges() {
    for (text, size, expected) in [
        ("bytes=0-", 10, Some(Ok((0, 10)))),
        ("bytes=3-5", 10, Some(Ok((3, 3)))),
        ("bytes=3-99", 10, Some(Ok((3, 7)))),
        ("bytes=10-", 10, Some(Err(BlobErrorCode::InvalidRange))),
        ("bytes=0-", 0, Some(Err(BlobErrorCode::InvalidRange))),
        ("bytes=0-18446744073709551615", 10, Some(Ok((0, 10)))),
        ("bytes=5-3", 10, None),
        ("bytes=-5", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("lines=0-1", 10, None),
    ] {
        assert_eq!(ByteRange::parse(text).map(|range| range.within(size)), expected, "{text} of {size}");
    }
}

#[test]
fn credentials_open_one_blob_for_a_time() {
    let secret = BlobSecret::new([7; 32]);
    let expiry: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let text = BlobSas::sign(&secret, "0123", "d/a b/ü.txt", expiry);
    insta::assert_snapshot!(text);
    let sas = BlobSas::find(&query(text.strip_prefix('?').unwrap())).unwrap();
    assert_eq!((sas.upload(), sas.expiry()), ("0123", expiry));
    assert!(sas.verify(&secret, "d/a b/ü.txt"));
    assert!(sas.allows(BlobPermission::Read) && sas.allows(BlobPermission::Write));
    assert!(!sas.verify(&secret, "d/a b/u.txt"), "another blob");
    assert!(!sas.verify(&BlobSecret::new([8; 32]), "d/a b/ü.txt"), "another upload");
    for (field, value) in
        [("se=2026", "se=2027"), ("sp=rw", "sp=rwd"), ("si=0123", "si=0124"), ("sr=b", "sr=c")]
    {
        let changed = text.replace(field, value);
        assert_ne!(changed, text);
        let sas = BlobSas::find(&query(changed.strip_prefix('?').unwrap())).unwrap();
        assert!(!sas.verify(&secret, "d/a b/ü.txt"), "{value}");
    }
    for field in ["sv", "sr", "si", "sig", "se", "sp"] {
        let without = text.replace(&format!("{field}="), "x=");
        assert!(BlobSas::find(&query(without.strip_prefix('?').unwrap())).is_err(), "{field}");
    }
    assert_eq!(format!("{secret:?}"), "***");
    assert!(!format!("{sas:?}").contains("signature"));
    let kept = serde_json::to_string(&secret).unwrap();
    assert_eq!(serde_json::from_str::<BlobSecret>(&kept).unwrap(), secret);
}

proptest! {
    /// What SDKs do with the query: take it apart, put it together in another order and encode it their own way.
    #[test]
    fn credentials_survive_being_taken_apart(
        key in any::<[u8; 32]>(),
        seconds in 0..4_000_000_000_i64,
        blob in "[a-z]{1,8}/[ -~&&[^\\\\/]]{1,20}",
        turn in 0..6_usize,
    ) {
        let secret = BlobSecret::new(key);
        let expiry = Timestamp::from_second(seconds).unwrap();
        let text = BlobSas::sign(&secret, "ff", &blob, expiry);
        let mut pairs: Vec<&str> = text.strip_prefix('?').unwrap().split('&').collect();
        pairs.rotate_left(turn);
        let again = pairs.join("&").replace("%3A", ":").replace("%2F", "/").replace("%3D", "=");
        let sas = BlobSas::find(&query(&again)).unwrap();
        prop_assert!(sas.verify(&secret, &blob));
        prop_assert_eq!(sas.expiry(), expiry);
    }

    #[test]
    fn block_lists_read_back(ids in prop::collection::vec((0..3_u8, prop::collection::vec(any::<u8>(), 1..65)), 0..20)) {
        use base64::Engine as _;
        let mut text = "<?xml version=\"1.0\"?><BlockList>".to_owned();
        let mut expected = Vec::new();
        for (source, bytes) in &ids {
            let (name, source) = match source {
                0 => ("Latest", BlockSource::Latest),
                1 => ("Committed", BlockSource::Committed),
                _ => ("Uncommitted", BlockSource::Uncommitted),
            };
            let id = base64::engine::general_purpose::STANDARD.encode(bytes);
            text.push_str(&format!("<{name}>{id}</{name}>"));
            expected.push((source, BlockId::from_base64(&id).unwrap()));
        }
        text.push_str("</BlockList>");
        prop_assert_eq!(read_block_list(text.as_bytes(), 20), Ok(expected));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(read_block_list(&bytes, 5));
    }
}
