//! Documents with the fixes that their findings offer. Pure: who calls it writes the files.
//!
//! A fix is only kept when its finding is gone and the documents are no worse for it; a mended shape may show what it hid.

use std::collections::BTreeMap;

use hemline_model::{
    Finding, SourceFile,
    finding::{Fix, mend as apply},
    load,
};

use crate::{Facts, judge};

/// A mended name can show another slip below it, and that one a further one.
const ROUNDS: usize = 8;
/// Fixes that are tried one by one when all together made it worse.
const ALONE: usize = 100;

/// Rules about the shape of a document: while it is off, nobody judges what the document means.
const UNVEIL: [&str; 5] =
    ["unknown-api-version", "unknown-field", "unknown-kind", "unknown-value", "wrong-type"];

/// What came of it.
#[derive(Debug)]
pub struct Mended {
    /// All files, in the order in which they came.
    pub files: Vec<SourceFile>,
    /// The findings that are mended, each with the place where it was at that time.
    pub done: Vec<Finding>,
}

/// Applies everything that can be applied.
#[must_use]
pub fn mend(files: Vec<SourceFile>) -> Mended {
    let (mut files, mut done) = (files, Vec::new());
    for _ in 0..ROUNDS {
        let before = Count::of(&files);
        let (next, mut mended) = with(&files, &before.offers);
        let mut next = Some(next).filter(|next| before.is_served_by(next, &mended));
        if next.is_none() {
            (next, mended) = one_by_one(&files, before);
        }
        let Some(next) = next.filter(|_| !mended.is_empty()) else { break };
        files = next;
        done.extend(mended);
    }
    Mended { files, done }
}

/// What a set of files has.
struct Count {
    errors: usize,
    /// How often each finding is there, by file, rule and message.
    findings: BTreeMap<String, usize>,
    /// Findings that a fix mends.
    offers: Vec<Finding>,
}

impl Count {
    fn of(files: &[SourceFile]) -> Self {
        let all = judge(load(files), &Facts::default()).findings;
        let errors = all.iter().filter(|finding| finding.is_error()).count();
        let mut findings = BTreeMap::new();
        for finding in &all {
            *findings.entry(key(finding)).or_default() += 1;
        }
        let offers = |finding: &Finding| finding.fix.is_some() && finding.ignored.is_none();
        Self { errors, findings, offers: all.into_iter().filter(offers).collect() }
    }

    /// Are the files better than these, now that the fixes of these findings are in them?
    fn is_served_by(&self, next: &[SourceFile], mended: &[Finding]) -> bool {
        let next = Self::of(next);
        let count = |count: &Self, finding| count.findings.get(&key(finding)).copied().unwrap_or_default();
        let gone = mended.iter().all(|finding| count(&next, finding) < count(self, finding));
        // What nobody had looked at is no worse for being looked at.
        let unveils = mended.iter().any(|finding| UNVEIL.contains(&finding.rule));
        gone && (next.errors <= self.errors || unveils)
    }
}

fn key(finding: &Finding) -> String {
    let file = finding.position.as_ref().map(|at| &*at.file).unwrap_or_default();
    format!("{file}\0{}\0{}", finding.rule, finding.message)
}

fn one_by_one(files: &[SourceFile], before: Count) -> (Option<Vec<SourceFile>>, Vec<Finding>) {
    let (mut kept, mut done): (Option<Vec<SourceFile>>, Vec<Finding>) = (None, Vec::new());
    let (offers, mut count) = (before.offers.clone(), before);
    for offer in offers.iter().take(ALONE) {
        // Positions move with the first change of a file, so this round keeps one per file.
        let file = |finding: &Finding| finding.position.as_ref().map(|at| at.file.clone());
        if done.iter().any(|one| file(one) == file(offer)) {
            continue;
        }
        let (next, mended) = with(kept.as_deref().unwrap_or(files), std::slice::from_ref(offer));
        if !mended.is_empty() && count.is_served_by(&next, &mended) {
            count = Count::of(&next);
            kept = Some(next);
            done.extend(mended);
        }
    }
    (kept, done)
}

/// The files with these fixes, and the findings whose fix is in them.
fn with(files: &[SourceFile], offers: &[Finding]) -> (Vec<SourceFile>, Vec<Finding>) {
    let mut of_file: BTreeMap<&str, Vec<(&Finding, &Fix)>> = BTreeMap::new();
    for offer in offers {
        let Some(fix) = &offer.fix else { continue };
        let Some(edit) = fix.edits.first() else { continue };
        of_file.entry(&edit.file).or_default().push((offer, fix));
    }
    let mut done = Vec::new();
    let mended = files.iter().map(|file| {
        let (Some(offers), Ok(text)) = (of_file.get(&*file.path), std::str::from_utf8(&file.bytes)) else {
            return file.clone();
        };
        let fixes: Vec<&Fix> = offers.iter().map(|(_, fix)| *fix).collect();
        let mended = apply(text, &fixes);
        done.extend(
            mended.applied.iter().filter_map(|index| offers.get(*index)).map(|(offer, _)| (*offer).clone()),
        );
        SourceFile { path: file.path.clone(), bytes: mended.text.into_bytes() }
    });
    let files = mended.collect();
    (files, done)
}
