//! Findings as JUnit XML, the format that test reports of most CI systems read: one test case per finding, errors fail.
//! Without findings there is one case that passes, because several readers take an empty suite for a broken run.

use super::{Finding, Severity};

/// The whole file.
#[must_use]
pub fn print(findings: &[Finding]) -> String {
    let failures = findings.iter().filter(|finding| finding.is_error()).count();
    let tests = findings.len().max(1);
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\"");
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  \
         <testsuite name=\"hem validate\" {counts} errors=\"0\" skipped=\"0\">\n"
    );
    if findings.is_empty() {
        out.push_str("    <testcase classname=\"hem validate\" name=\"documents\"/>\n");
    }
    for finding in findings {
        out.push_str(&case(finding));
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn case(finding: &Finding) -> String {
    let file = finding.position.as_ref().map_or("hem validate", |position| super::relative(&position.file));
    let place = finding
        .position
        .as_ref()
        .map(|position| format!(" at {}:{}", position.line, position.column))
        .unwrap_or_default();
    let (rule, message) = (escaped(finding.rule), escaped(&finding.message));
    let (file, text) = (escaped(file), escaped(&finding.render()));
    let inside = match finding.severity {
        Severity::Error => format!("<failure type=\"{rule}\" message=\"{message}\">{text}</failure>"),
        Severity::Warning | Severity::Note => format!("<system-out>{text}</system-out>"),
    };
    format!("    <testcase classname=\"{file}\" name=\"{rule}{place}\">{inside}</testcase>\n")
}

/// For text and attributes; what XML cannot hold at all becomes a replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
