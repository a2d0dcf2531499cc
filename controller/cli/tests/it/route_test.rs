//! `hem route test`: the outcome, or the compile error with its place.

use std::fs;

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
    let output = command.output().expect("hem starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
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
