//! The reader against odd and hostile text: values, limits, and never a panic.

use hemline_model::{
    Finding, SourceFile, load,
    text::{self, Limits, RawDocument},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn file(bytes: impl Into<Vec<u8>>) -> SourceFile {
    SourceFile { path: "f.yaml".into(), bytes: bytes.into() }
}

fn values(text: &str) -> Vec<Value> {
    let (documents, findings) = text::read(&file(text));
    let errors: Vec<_> = findings.iter().filter(|finding| finding.is_error()).collect();
    assert!(errors.is_empty(), "{text:?}: {errors:#?}");
    documents.into_iter().map(|RawDocument { value, .. }| value).collect()
}

fn rules(bytes: &[u8]) -> Vec<&'static str> {
    text::read(&file(bytes)).1.iter().map(|finding| finding.rule).collect()
}

#[test]
fn scalars_follow_yaml_1_2() {
    let text = "{a: 1, b: -2, c: 0x1F, d: 0o17, e: 1.5, f: 1e3, g: true, h: False, i: ~, j: , k: 'true', l: \"1\", m: +3, n: .5, o: 1., p: 1.2.3, q: 18446744073709551615, r: 2026-01-01, s: 1_000, t: -}";
    let expected = json!([{"a": 1, "b": -2, "c": 31, "d": 15, "e": 1.5, "f": 1000.0, "g": true, "h": false, "i": null, "j": null,
        "k": "true", "l": "1", "m": 3, "n": 0.5, "o": 1.0, "p": "1.2.3", "q": 18_446_744_073_709_551_615_u64, "r": "2026-01-01",
        "s": "1_000", "t": "-"}]);
    // A lone `-` in a flow mapping is no plain scalar for every parser, so it stands alone.
    let text = text.replace(", t: -", ", t: \"-\"");
    assert_eq!(Value::from(values(&text)), expected);
}

#[test]
fn tags_merges_and_anchors_are_sane() {
    let table = [
        ("a: !!str 1", json!([{"a": "1"}])),
        ("a: ! 1", json!([{"a": "1"}])),
        (
            "a: !!int 1\nb: !!float 1\nc: !!bool true\nd: !!null ~",
            json!([{"a": 1, "b": 1, "c": true, "d": null}]),
        ),
        ("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}", json!([{"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}])),
        (
            "x: &x {p: 1}\ny: &y {p: 2, q: 2}\nb: {<<: [*x, *y]}",
            json!([{"x": {"p": 1}, "y": {"p": 2, "q": 2}, "b": {"p": 1, "q": 2}}]),
        ),
        ("a: {\"<<\": 1}", json!([{"a": {"<<": 1}}])),
        ("a: &k key\n*k : 1", json!([{"a": "key", "key": 1}])),
        ("1: a\ntrue: b", json!([{"1": "a", "true": "b"}])),
    ];
    for (text, expected) in table {
        assert_eq!(Value::from(values(text)), expected, "{text}");
    }
}

#[test]
fn files_are_cut_into_documents() {
    let table = [
        ("", 0),
        ("# only words\n", 0),
        ("---\n---\n...\n", 0),
        ("a: 1", 1),
        ("---\na: 1\n---\nb: 2\n", 2),
        ("%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n", 2),
        ("a: 1\n...\nb: 2\n", 2),
        ("--- {a: 1}\n--- # words\nb: 2\n", 2),
        ("a: |\n  ---\n  text\n", 1),
        ("\u{feff}a: 1\r\nb: 2\r\n---\r\nc: 3\r\n", 2),
        ("{\"a\": 1}", 1),
        ("{\n\t\"a\": [\n\t\t1,\n\t\t2\n\t]\n}\n", 1),
    ];
    for (text, count) in table {
        assert_eq!(values(text).len(), count, "{text:?}");
    }
}

#[test]
fn hostile_text_is_refused_by_rule() {
    let deep = format!("a: {}{}", "[".repeat(80), "]".repeat(80));
    let blocks: String = (0..80).map(|n| format!("{}k:\n", " ".repeat(n))).collect();
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(b'b'..=b'i')
            .map(|c| {
                let (this, last) = (c as char, (c - 1) as char);
                format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 10].join(","))
            })
            .collect::<String>();
    let table: [(&[u8], &[&str]); 15] = [
        (deep.as_bytes(), &["too-deep"]),
        (blocks.as_bytes(), &["too-deep"]),
        (bomb.as_bytes(), &["alias-expansion"]),
        (b"a: &x [*x]", &["alias-recursive"]),
        (b"a: 1\na: 2\nb: {c: 1, c: 2}", &["duplicate-key", "duplicate-key"]),
        (b"a: \0", &["control-character"]),
        (b"a: \xff\xfe", &["not-utf8"]),
        (b"\xff\xfea\0", &["not-utf8"]),
        (b"- a: 1\n", &["list-at-top"]),
        (b"hello", &["not-a-document"]),
        (b"a:\n\tb: 1\n", &["tab-indent"]),
        (b"a: [1\n---\nb: {\n", &["yaml-syntax", "yaml-syntax"]),
        (
            b"a: .inf\nb: .nan\nc: 99999999999999999999",
            &["no-json-number", "no-json-number", "no-json-number"],
        ),
        (b"a: !Ref b\nb: !!binary aGk=\nc: !!int x", &["unknown-tag", "unknown-tag", "unknown-tag"]),
        (b"[a]: 1\n? {b: 1}\n: 2\n", &["key-not-text", "key-not-text"]),
    ];
    for (bytes, expected) in table {
        assert_eq!(rules(bytes), expected, "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]));
    }
    let large = file(vec![b'#'; 1024 * 1024 + 1]);
    assert_eq!(text::read(&large).1[0].rule, "file-too-large");
    let few = Limits { findings: 3, ..Limits::default() };
    assert_eq!(text::read_within(&file("a: 1\n".repeat(50)), few).1.len(), 3);
}

#[test]
fn a_file_that_is_too_large_does_not_hide_the_others() {
    let text = "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\nspec: {parent: gateway, edg: true}\n";
    let loaded = load(&[file(text), SourceFile::too_large("z.yaml")]);
    assert!(loaded.fleet.is_none(), "what is not known must not be taken for removed");
    // The gateway may well stand in the file that nobody read; the slip is a slip all the same.
    let said: Vec<String> = loaded.findings.iter().map(Finding::render).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let (documents, findings) = text::read(&file("a: 1\n---\nb: [\n---\nc: 3\n"));
    assert_eq!(documents.len(), 2);
    assert_eq!(findings.len(), 1);
    assert_eq!(documents[1].located.position("/c").line, 5);
}

#[test]
fn positions_point_into_every_way_to_write_a_text() {
    let ways = [
        "t: one two XX three",
        "t: 'one two XX three'",
        "t: \"one two XX three\"",
        "t: 'it''s XX three'",
        "t: \"\\u00e9\\n\\x41 XX three\"",
        "t: \"one \\\n   XX\"",
        "t:\n  one\n  two XX\n",
        "t: |\n  one\n  two XX\n",
        "t: |-\r\n    one\r\n    two XX\r\n",
        "t: >\n  one\n  two\n\n  three XX\n",
        "t: {u: 'ä XX'}",
    ];
    for text in ways {
        let (documents, _) = text::read(&file(text));
        let pointer = if text.contains("u:") { "/t/u" } else { "/t" };
        let value =
            documents[0].value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{text}"));
        let start = value.find("XX").unwrap();
        let place = text::InText { pointer, text: value, start, end: start + 2 };
        let finding =
            documents[0].located.finding_in(hemline_model::Severity::Error, "image", place, String::new());
        let position = finding.position.unwrap();
        let line = text.lines().nth(position.line as usize - 1).unwrap();
        let found: String =
            line.chars().skip(position.column as usize - 1).take(finding.span_len as usize).collect();
        assert_eq!(found, "XX", "{text:?} at {position}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for finding in load(&[file(bytes)]).findings {
            prop_assert!(finding.render().ends_with('\n'));
        }
    }

    #[test]
    fn anything_like_yaml_is_read_without_panic(text in "([-a-z:&*!|>'\"{}\\[\\],#%<?\t \n]|(: )|(- )|\n|(  )|é){0,120}") {
        let head = "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\n";
        for finding in load(&[file(format!("{head}{text}")), file(text)]).findings {
            prop_assert!(finding.render().ends_with('\n'));
        }
    }

    #[test]
    fn what_serde_writes_is_read_back(map in prop::collection::btree_map("[^<\\p{C}\\p{Z}][^\\p{C}\\p{Z}]{0,7}", "[^\\p{C}\\p{Zl}\\p{Zp}]{0,12}", 1..6)) {
        let value = json!(map);
        let text = serde_yaml_ng::to_string(&value).unwrap();
        prop_assert_eq!(values(&text), vec![value]);
    }
}

/// What libFuzzer and folders full of nonsense found: each was a crash, a wrong place, or minutes of work.
#[test]
fn findings_stand_inside_the_text() {
    // The parser counts a line behind the last one when the text ends in the middle of something.
    // The JSON parser counts bytes and may stand in front of a line.
    let texts = [
        "a: {\n  b: 1\nx",
        "{\n  \"a\": \"b\n",
        "a: 'b\n",
        "a: [1,\nb",
        "{\"a\": 1}\n---\nkind: x\nb: {c: \"\\ud83d\\ude00\"}\n",
        "{\"é\": \"\\ud83d\"}",
    ];
    for text in texts {
        let (_, findings) = text::read(&file(text));
        assert!(!findings.is_empty(), "{text:?}");
        for finding in findings {
            let position = finding.position.unwrap();
            let line = text.split('\n').nth(position.line as usize - 1);
            let columns =
                1..=line.unwrap_or_else(|| panic!("{text:?} at {position}")).chars().count() as u32 + 1;
            assert!(columns.contains(&position.column), "{text:?} at {position}");
        }
    }
}

#[test]
fn comments_in_json_are_told_as_comments() {
    for text in [
        "{\n  // no\n  \"a\": 1\n}",
        "{\"a\": 1 // no\n}",
        "{/* no */ \"a\": 1}",
        "{\"a\": [1,\n // no\n 2]}",
    ] {
        let file = SourceFile { path: "f.json".into(), bytes: text.as_bytes().to_vec() };
        let findings = text::read(&file).1;
        assert_eq!(findings[0].message, "JSON has no comments", "{text}");
    }
    let meant = SourceFile { path: "f.json".into(), bytes: b"{\"//\": \"a // b\"}".to_vec() };
    assert!(text::read(&meant).1.is_empty());
}

#[test]
fn a_line_without_end_is_told_in_pieces() {
    let fields: String = (0..30_000).map(|n| format!(", f{n}: 1")).collect();
    let text = format!(
        "{{apiVersion: hemline.dev/v1alpha1, kind: Device, metadata: {{name: a}}, spec: {{edge: true{fields}}}}}"
    );
    let findings = load(&[file(text.clone())]).findings;
    assert_eq!(findings.len(), 100, "nobody reads more");
    for finding in findings {
        let line = finding.source_line.as_ref().unwrap();
        assert!(line.chars().count() <= 1000 && finding.render().len() < 2000);
        let column = finding.position.as_ref().unwrap().column - 1;
        let start = (column - finding.source_line_from) as usize;
        assert_eq!(line[start..start + 2], text[column as usize..column as usize + 2]);
    }
}

#[test]
fn small_text_with_many_values_is_refused() {
    let dense = |piece: &str| format!("a: [{}]", piece.repeat(900_000 / piece.len()));
    for piece in ["1,", "[],", "{a: 1},", "{},"] {
        let (documents, findings) = text::read(&file(dense(piece)));
        assert!(documents.is_empty(), "{piece}");
        assert_eq!(findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["file-too-large"]);
    }
    let copies = |n: usize| vec!["*b"; n].join(",");
    let document = format!(
        "---\na: &a [{}]\nb: &b [{}]\nc: [{}]\n",
        "x,".repeat(100),
        vec!["*a"; 50].join(","),
        copies(10)
    );
    let (documents, findings) = text::read(&file(document.repeat(500)));
    assert!(documents.len() < 50, "{}", documents.len());
    assert_eq!(findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["alias-expansion"]);
}

#[test]
fn thousands_of_findings_end_the_reading() {
    let nonsense = file("---\n{}\n".repeat(20_000));
    let loaded = load(&[nonsense.clone(), nonsense.clone(), nonsense]);
    assert!(loaded.fleet.is_none());
    assert!(loaded.findings.len() < 6_000, "{}", loaded.findings.len());
    assert!(loaded.findings.iter().any(|finding| finding.rule == "too-many-findings"));
}
