//! `hem route test`: the outcome, or the compile error with its place.

use std::{
    fs,
    io::Write as _,
    process::{Output, Stdio},
};

use crate::hem::hem;

const MESSAGE: &str = r#"{
  "properties": {"level": "3", "Alarm": "true", "empty": null},
  "systemProperties": {"connectionDeviceId": "press-07"},
  "body": {"temperature": 31, "at": "somewhere"}
}"#;
const FROM_CAMERA: &str =
    r#"{"systemProperties": {"connectionModuleId": "camera", "outputName": "frames"}, "body": {"t": 1}}"#;
const NOT_JSON: &str = r#"{"systemProperties": {"contentType": "text/plain"}, "body": {"temperature": 31}}"#;
const TWIN: &str = r#"{"tags": {"site": "lyon"}, "properties": {"reported": {"model": "X2"}}}"#;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn test(route: &str, message: &str, twin: Option<&str>) -> Said {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("message.json"), message).expect("writable");
    let mut command = hem();
    command.current_dir(folder.path()).args(["route", "test", "--route", route, "--message", "message.json"]);
    if let Some(twin) = twin {
        fs::write(folder.path().join("twin.json"), twin).expect("writable");
        command.args(["--twin", "twin.json"]);
    }
    told(command.output().expect("hem starts"))
}

fn told(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The same with the message on standard input, byte for byte.
fn test_stdin(route: &str, message: &[u8], more: &[&str]) -> Said {
    let mut command = hem();
    command.args(["route", "test", "--route", route, "--message", "-"]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("hem starts");
    // A command that refuses its arguments does not read.
    drop(child.stdin.take().expect("piped").write_all(message));
    told(child.wait_with_output().expect("hem ends"))
}

#[test]
fn the_outcome_is_one_word() {
    for (route, message, twin, expected) in [
        ("FROM /messages/* INTO $upstream", MESSAGE, None, "true"),
        ("FROM /messages/* WHERE level = '3' INTO $upstream", MESSAGE, None, "true"),
        ("from /messages/* where ALARM = 'false' into $upstream", MESSAGE, None, "false"),
        ("FROM /messages/* WHERE $body.temperature > 30 INTO $upstream", MESSAGE, None, "true"),
        ("level = '3'", MESSAGE, None, "true"),
        ("$connectionDeviceId = 'press-07' AND $body.temperature > 40", MESSAGE, None, "false"),
        ("missing = 'x'", MESSAGE, None, "undefined"),
        ("level = 'a INTO b'", MESSAGE, None, "false"),
        ("", MESSAGE, None, "undefined"),
        ("$body.temperature", MESSAGE, None, "undefined"),
        ("$body.temperature > 30", NOT_JSON, None, "undefined"),
        ("$twin.tags.site = 'lyon'", MESSAGE, Some(TWIN), "true"),
        ("$twin.properties.reported.model = 'X1'", MESSAGE, Some(TWIN), "false"),
        ("FROM /messages/modules/camera/outputs/frames INTO $upstream", FROM_CAMERA, None, "true"),
        ("FROM /messages/modules/camera/* INTO $upstream", FROM_CAMERA, None, "true"),
        ("FROM /messages/modules/filter/* INTO $upstream", FROM_CAMERA, None, "false"),
    ] {
        let said = test(route, message, twin);
        assert_eq!((said.code, said.out.trim()), (Some(0), expected), "{route}: {}", said.err);
    }
}

#[test]
fn a_text_that_does_not_compile_is_shown_with_its_place() {
    for (route, twin, place, word) in [
        ("FROM /messages/* INTO $upsteam", None, "error at 1:23: ", "$upstream"),
        ("FORM /messages/* INTO $upstream", None, "error at 1:1: ", "FROM"),
        ("FROM /messages/*\nWHERE level = INTO $upstream", None, "error at 2:", "^"),
        ("level = ", None, "error at 1:", "^"),
        ("level > 3", None, "error at 1:7: ", "as_number(level)"),
        ("$twin.tags.site = ", Some(TWIN), "error at 1:", "^"),
    ] {
        let said = test(route, MESSAGE, twin);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{route}: {}", said.err);
        assert!(said.err.contains(place) && said.err.contains(word), "{route}: {}", said.err);
    }
}

#[test]
fn a_doubtful_text_gets_its_warning_beside_the_outcome() {
    let said = test("Alarm = True", MESSAGE, None);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("warning at 1:9: "), "{}", said.err);
}

#[test]
fn a_wrong_file_is_a_wrong_argument() {
    for message in ["", "[]", "{\"propertys\": {}}", "{\"properties\": {\"a\": []}}"] {
        let said = test("true", message, None);
        assert_eq!(said.code, Some(64), "{message}: {}", said.err);
        assert!(said.err.contains("message.json"), "{message}: {}", said.err);
    }
}

/// Whether `$body` looks inside is decided by type and encoding, as the hub decides it, and the reason is told.
#[test]
fn bodies_of_every_kind() {
    // {"t":31} in UTF-16 with a byte order mark, big endian; in UTF-32; and as it is.
    let utf16 = r#""bodyBase64": "/v8AewAiAHQAIgA6ADMAMQB9""#;
    let utf32 = r#""bodyBase64": "ewAAACIAAAB0AAAAIgAAADoAAAAzAAAAMQAAAH0AAAA=""#;
    let utf8 = r#""bodyBase64": "eyJ0IjozMX0=""#;
    let json = |encoding: &str| {
        format!(
            r#""systemProperties": {{"contentType": "application/json; charset=x", "contentEncoding": "{encoding}"}}"#
        )
    };
    let table = [
        (format!("{{{}, {utf16}}}", json("UTF-16")), "true", ""),
        (format!("{{{}, {utf32}}}", json("utf-32")), "true", ""),
        (format!("{{{}, {utf8}}}", json("utf-8")), "true", ""),
        (format!("{{{}, {utf8}}}", json("utf-16")), "undefined", "the body is not JSON"),
        (format!("{{{}, {utf8}}}", json("ascii")), "undefined", "content encoding is \"ascii\""),
        (format!("{{{utf8}}}"), "true", ""),
        (format!("{{{}, \"body\": {{\"t\": 31}}}}", json("utf-16")), "true", ""),
        // A text is what the message carries.
        (r#"{"body": "{\"t\": 31}"}"#.to_owned(), "true", ""),
        (r#"{"body": "t is 31"}"#.to_owned(), "undefined", "the body is not JSON"),
        (r#"{"body": "\"t\""}"#.to_owned(), "false", ""),
        (r#"{"body": [31]}"#.to_owned(), "false", ""),
        ("{}".to_owned(), "undefined", "the body is not JSON"),
        (
            r#"{"systemProperties": {"contentType": "application/json"}, "body": {"t": 31}}"#.to_owned(),
            "undefined",
            "no content encoding",
        ),
        (
            r#"{"systemProperties": {"contentEncoding": "utf-8"}, "body": {"t": 31}}"#.to_owned(),
            "undefined",
            "no content type",
        ),
        (
            r#"{"systemProperties": {"contentType": "text/plain"}, "body": "{\"t\": 31}"}"#.to_owned(),
            "undefined",
            "content type is \"text/plain\"",
        ),
    ];
    for (message, outcome, note) in table {
        let said = test("$body.t = 31", &message, None);
        assert_eq!((said.code, said.out.trim()), (Some(0), outcome), "{message}: {}", said.err);
        assert!(said.err.contains(note) && note.is_empty() == said.err.is_empty(), "{message}: {}", said.err);
    }
    // Nobody asked for the body.
    assert_eq!(test("true", NOT_JSON, None).err, "");
}

#[test]
fn files_and_standard_input() {
    let message = br#"{"properties": {"a": "x"}}"#;
    let bom = [b"\xEF\xBB\xBF".as_slice(), message].concat();
    for bytes in [message.as_slice(), &bom] {
        let said = test_stdin("a = 'x'", bytes, &[]);
        assert_eq!((said.code, said.out.as_str()), (Some(0), "true\n"), "{}", said.err);
    }
    let said = test("a = 'x'", &String::from_utf8_lossy(&bom), None);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "true\n"), "{}", said.err);
    let large = format!(r#"{{"body": "{}"}}"#, "x".repeat(5 << 20));
    for (bytes, more, part) in [
        (b"".as_slice(), &[][..], "standard input holds no message"),
        (b"\xFF\xFE{\0}\0", &[], "UTF-16"),
        (b"{\"body\": \"\xFF\"}", &[], "standard input holds no message"),
        (large.as_bytes(), &[], "larger than 4 MiB"),
        (br#"{"body": 1, "bodyBase64": "MQ=="}"#, &[], "two bodies"),
        (br#"{"bodyBase64": "%"}"#, &[], "bodyBase64 is not base64"),
        (message, &["--twin", "-"], "only one of"),
    ] {
        let said = test_stdin("true", bytes, more);
        assert_eq!((said.code, said.out.as_str()), (Some(64), ""), "{part}: {}", said.err);
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    for twin in ["[]", "\"x\"", ""] {
        let said = test("true", "{}", Some(twin));
        assert_eq!(said.code, Some(64), "{}", said.err);
        assert!(said.err.contains("twin.json holds no twin"), "{}", said.err);
    }
    let output = hem().args(["route", "test", "--route", "true", "--message", "nowhere.json"]).output();
    let said = told(output.expect("hem starts"));
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("cannot read nowhere.json"), "{}", said.err);
}

#[test]
fn system_properties_are_known_by_name() {
    let message =
        r#"{"systemProperties": {"$ConnectionDeviceId": "d1", "conectionModuleId": "m", "messageId": null}}"#;
    let said = test("$connectionDeviceId = 'd1' AND NOT IS_DEFINED($messageId)", message, None);
    assert_eq!((said.code, said.out.as_str()), (Some(0), "true\n"), "{}", said.err);
    assert_eq!(
        said.err,
        "note: no hub sets a system property \"conectionModuleId\"; did you mean connectionModuleId?\n"
    );
}

#[test]
fn a_condition_about_twin_changes_sees_the_change() {
    let change = r#"{"body": {"properties": {"reported": {"battery": 20}}}}"#;
    for (route, expected) in [
        (
            "TWIN_CHANGE_INCLUDES(properties.reported.battery) AND $body.properties.reported.battery < 30",
            "true",
        ),
        ("twin_change_includes(tags.site)", "false"),
        ("FROM /twinChangeNotifications WHERE twin_change_includes(tags.site) INTO $upstream", "false"),
    ] {
        let said = test(route, change, None);
        assert_eq!((said.code, said.out.trim()), (Some(0), expected), "{route}: {}", said.err);
    }
    let said = test("FROM /messages/* WHERE twin_change_includes(tags.site) INTO $upstream", change, None);
    assert_eq!(said.code, Some(1), "{}", said.err);
}

#[test]
fn every_mistake_of_a_route_is_told() {
    let said = test("FORM /messages/* WHERE level > 3 AND alarm == 'x' INTO $upsteam", MESSAGE, None);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    for part in ["error at 1:1: ", "error at 1:30: ", "error at 1:44: ", "error at 1:56: "] {
        assert!(said.err.contains(part), "{part} {}", said.err);
    }
}
