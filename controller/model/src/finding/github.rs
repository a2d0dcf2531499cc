//! Findings as GitHub's runner reads them from standard output: one workflow command per line.
//!
//! The runner shows at most ten errors, ten warnings and ten notices of one step; errors are written first, so that the log
//! starts with what matters. Columns count for annotations of one line only, and every finding is on one line.

use super::{Finding, Severity};

/// One line per finding, errors first.
#[must_use]
pub fn print(findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.severity);
    sorted.into_iter().map(line).collect()
}

fn line(finding: &Finding) -> String {
    let command = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties = Vec::new();
    if let Some(position) = &finding.position {
        properties.push(format!("file={}", property(super::relative(&position.file))));
        properties.push(format!("line={}", position.line));
        properties.push(format!("col={}", position.column));
        properties.extend(finding.end_column.map(|end| format!("endColumn={end}")));
    }
    properties.push(format!("title={}", property(finding.rule)));
    format!("::{command} {}::{}\n", properties.join(","), data(&finding.message_with_advice("\n")))
}

/// What the runner takes apart in a message.
fn data(text: &str) -> String {
    super::harmless(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What it takes apart in a property, too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
