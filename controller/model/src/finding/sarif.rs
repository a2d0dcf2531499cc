//! Findings as SARIF 2.1.0, the format of code scanning services and editors. One run; the rules come from the catalogue.

use serde_json::{Map, Value, json};

use super::{Edit, Finding, Fix, Position, Severity};
use crate::rules::{self, Rule};

/// Where Hemline is at home in the world.
const HOME: &str = "https://hemline.dev";
/// What relative paths start from; a convention that code scanning services know.
const SOURCE_ROOT: &str = "%SRCROOT%";

/// The whole log. `version` is that of the program.
#[must_use]
pub fn print(findings: &[Finding], version: &str) -> String {
    let rules: Vec<&Rule> =
        rules::all().filter(|rule| findings.iter().any(|finding| finding.rule == rule.id)).collect();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, &rules)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "hem validate",
                "version": version,
                "semanticVersion": version,
                "informationUri": HOME,
                "rules": rules.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            }},
            // Code scanning keeps one set of results per id.
            "automationDetails": {"id": "hem validate/"},
            "originalUriBaseIds": {SOURCE_ROOT: {"description": {"text": "The folder in which hem was started."}}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn descriptor(rule: &Rule) -> Value {
    let Rule { id, severity, summary, why, fix, wrong, right } = rule;
    let markdown =
        format!("{why}\n\n{fix}\n\nWrong:\n\n```yaml\n{wrong}\n```\n\nRight:\n\n```yaml\n{right}\n```\n");
    json!({
        "id": id,
        "shortDescription": {"text": summary},
        "fullDescription": {"text": format!("{summary} {why}")},
        "helpUri": rules::uri(id),
        "help": {"text": format!("{why}\n{fix}"), "markdown": markdown},
        "defaultConfiguration": {"level": level(*severity)},
    })
}

fn result(finding: &Finding, rules: &[&Rule]) -> Value {
    let mut result = Map::new();
    result.insert("ruleId".to_owned(), finding.rule.into());
    if let Some(index) = rules.iter().position(|rule| rule.id == finding.rule) {
        result.insert("ruleIndex".to_owned(), index.into());
    }
    result.insert("level".to_owned(), level(finding.severity).into());
    result.insert("message".to_owned(), json!({"text": finding.message_with_advice("\n")}));
    if let Some(reason) = &finding.ignored {
        result.insert("suppressions".to_owned(), json!([{"kind": "inSource", "justification": reason}]));
    }
    if let Some(position) = &finding.position {
        result.insert("locations".to_owned(), json!([location(finding, position)]));
    }
    if let Some(fix) = &finding.fix {
        result.insert("fixes".to_owned(), json!([change(fix)]));
    }
    Value::Object(result)
}

/// All edits of a fix are in one file.
fn change(fix: &Fix) -> Value {
    let replacement = |edit: &Edit| {
        json!({
            "deletedRegion": {
                "startLine": edit.start.line, "startColumn": edit.start.column,
                "endLine": edit.end.line, "endColumn": edit.end.column,
            },
            "insertedContent": {"text": edit.text},
        })
    };
    let file = fix.edits.first().map(|edit| artifact(&edit.file));
    json!({
        "description": {"text": fix.description},
        "artifactChanges": [{
            "artifactLocation": file,
            "replacements": fix.edits.iter().map(replacement).collect::<Vec<_>>(),
        }],
    })
}

fn location(finding: &Finding, position: &Position) -> Value {
    let mut region = json!({"startLine": position.line, "startColumn": position.column});
    if let Some(end) = finding.end_column {
        region["endColumn"] = end.into();
    }
    if let Some(text) = finding.underlined() {
        region["snippet"] = json!({"text": text});
    }
    let mut physical = json!({"artifactLocation": artifact(&position.file), "region": region});
    if let Some(line) = finding.source_line.as_ref().filter(|_| !finding.source_line_is_cut()) {
        physical["contextRegion"] = json!({"startLine": position.line, "snippet": {"text": line}});
    }
    let mut place = json!({"physicalLocation": physical});
    if !finding.pointer.is_empty() {
        place["logicalLocations"] = json!([{"fullyQualifiedName": finding.pointer}]);
    }
    place
}

/// A relative path is one of the repository; an absolute one is itself.
fn artifact(file: &str) -> Value {
    let uri = encoded(super::relative(file));
    if file.starts_with('/') {
        json!({"uri": format!("file://{uri}")})
    } else {
        json!({"uri": uri, "uriBaseId": SOURCE_ROOT})
    }
}

/// Everything but unreserved characters and slashes as `%XX` (RFC 3986).
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
