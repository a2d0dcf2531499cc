//! Documents: what is read has its place, what is wrong keeps the fleet away, what is printed reads back.

use hemline_model::{
    Finding, Fleet, SourceFile, load,
    text::{self, Limits},
};
use hemline_query::{route::Route, target::TargetCondition};
use serde_json::Value;

use crate::places::Lines;

/// Reads bytes as one file of documents.
///
/// # Panics
/// When a law is broken.
pub fn documents(bytes: &[u8]) {
    let file = SourceFile { path: "f.yaml".into(), bytes: bytes.to_vec() };
    let lines = Lines::of(bytes);
    let loaded = load(std::slice::from_ref(&file));
    assert_eq!(loaded.fleet.is_some(), !loaded.findings.iter().any(Finding::is_error));
    assert!(loaded.findings.is_sorted_by_key(|finding| &finding.position), "not in order");
    loaded.findings.iter().for_each(|finding| lines.hold(finding));
    if let Some(fleet) = &loaded.fleet {
        assert!(lines.are_exact(), "a fleet from what is not UTF-8");
        placed(fleet, &lines);
    }
    for document in text::read(&file).0 {
        pointers(&document.value, &mut String::new(), &mut |pointer| {
            lines.line(&document.located.position(pointer));
            lines.line(&document.located.key_position(pointer));
        });
        read_back(&document.value);
    }
}

fn placed(fleet: &Fleet, lines: &Lines<'_>) {
    for device in fleet.devices.values() {
        lines.line(&device.origin.position);
    }
    for deployment in fleet.deployments.values() {
        lines.line(&deployment.origin.position);
        let condition = &deployment.spec.condition;
        assert_eq!(TargetCondition::parse(&condition.to_string()).as_ref(), Ok(condition));
        for (route, settings) in deployment.spec.routes.values().map(|route| &**route) {
            assert_eq!(Route::parse(&settings.text).as_ref(), Ok(route));
            assert_eq!(Route::parse(&route.to_string()).as_ref(), Ok(route));
        }
    }
}

/// Calls for the pointer of every value.
fn pointers(value: &Value, pointer: &mut String, each: &mut impl FnMut(&str)) {
    each(pointer);
    let back = pointer.len();
    let mut down = |name: &str, child: &Value| {
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        pointers(child, pointer, each);
        pointer.truncate(back);
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| down(&index.to_string(), item));
        }
        Value::Object(map) => map.iter().for_each(|(key, item)| down(key, item)),
    }
}

/// JSON is YAML: the value printed as JSON is the same document.
fn read_back(value: &Value) {
    let printed = escaped(&value.to_string());
    // Aliases may have made it larger than a file may be.
    if printed.len() > Limits::default().file_bytes {
        return;
    }
    let (documents, findings) =
        text::read(&SourceFile { path: "f.json".into(), bytes: printed.clone().into_bytes() });
    let errors: Vec<_> = findings.iter().filter(|finding| finding.is_error()).collect();
    assert!(errors.is_empty(), "{printed}: {errors:#?}");
    assert_eq!(documents.len(), 1, "{printed}");
    assert!(documents[0].value == *value, "{printed} reads as {}", documents[0].value);
}

/// JSON may hold control characters as they are, a document may not.
fn escaped(json: &str) -> String {
    json.chars()
        .map(|c| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
        .collect()
}
