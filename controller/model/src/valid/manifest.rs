//! Azure manifests among the files of a source: which files are some, and the documents that take their content from one.
//!
//! Everything is decided from the files that were read together, so a folder, a Git tree and a pull request agree. Not
//! here: reading a manifest (`azure`).

use std::collections::{BTreeMap, BTreeSet};

use hemline_query::near;
use serde_json::{Map, Value};

use super::words;
use crate::{
    azure,
    document::Object,
    finding::{Finding, Severity},
    text::{self, Located, RawDocument, SourceFile},
};

/// Members of `spec` that a manifest takes the place of.
const INSTEAD: [&str; 4] = ["modules", "routes", "storeAndForward", "broker"];
/// Members that a document says better than a manifest.
const ITS_OWN: [&str; 3] = ["targetCondition", "priority", "layered"];
/// Manifests that a note lists.
const LISTED_AT_MOST: usize = 5;

/// The manifests of a source, and which of them a document has named.
pub(super) struct Manifests<'a> {
    files: &'a [SourceFile],
    /// The manifests by path, and where each says that it is one.
    known: BTreeMap<&'a str, Option<Located>>,
    used: BTreeSet<&'a str>,
}

impl<'a> Manifests<'a> {
    pub(super) fn among(files: &'a [SourceFile]) -> Self {
        let known = files.iter().filter_map(|file| Some((&*file.path, is_manifest(file)?))).collect();
        Self { files, known, used: BTreeSet::new() }
    }

    /// Is this file a manifest, and so no document?
    pub(super) fn holds(&self, file: &SourceFile) -> bool {
        self.known.contains_key(&*file.path)
    }

    /// Gives a document the content of the manifest that it names, and says which one that was.
    pub(super) fn adopt(
        &self,
        raw: RawDocument,
        findings: &mut Vec<Finding>,
    ) -> (RawDocument, Option<&'a str>) {
        let named = raw.value.pointer("/spec/manifest").and_then(Value::as_str);
        let (Some(named), Some("EdgeDeployment")) = (named, raw.value.get("kind").and_then(Value::as_str))
        else {
            return (raw, None);
        };
        match self.find(named, &raw.located) {
            Ok(file) => (adopted(raw, file, findings), Some(&file.path)),
            Err(finding) => {
                findings.push(*finding);
                (raw, None)
            }
        }
    }

    /// Remembers that a document takes its content from there.
    pub(super) fn note(&mut self, used: Option<&'a str>) {
        self.used.extend(used);
    }

    /// The file that a document names.
    fn find(&self, named: &str, located: &Located) -> Result<&'a SourceFile, Box<Finding>> {
        const POINTER: &str = "/spec/manifest";
        let path = resolve(located.file(), named).map_err(|(message, hint)| {
            let finding = located.finding(Severity::Error, "manifest-path", POINTER, message.to_owned());
            Box::new(finding.with_hint(hint))
        })?;
        let found = self.files.binary_search_by(|file| (*file.path).cmp(path.as_str())).ok();
        let found = found.and_then(|place| self.files.get(place));
        // The order of the files is up to the caller.
        if let Some(file) = found.or_else(|| self.files.iter().find(|file| *file.path == *path)) {
            return Ok(file);
        }
        let message = format!("there is no file {path} among those that were read");
        let finding = located.finding(Severity::Error, "manifest-missing", POINTER, message);
        let names: Vec<String> = self.known.keys().map(|known| relative(located.file(), known)).collect();
        let named = relative(located.file(), &path);
        let any = self
            .files
            .iter()
            .map(|file| relative(located.file(), &file.path))
            .filter(|path| path.ends_with(".json"));
        let any: Vec<String> = any.collect();
        let close = near(&named, names.iter().map(String::as_str))
            .or_else(|| same_name(&named, &names))
            .or_else(|| near(&named, any.iter().map(String::as_str)));
        Err(Box::new(match (close, names.as_slice()) {
            (Some(close), _) => finding.with_hint(format!("did you mean {close:?}?")),
            (None, []) => finding.with_hint("put the manifest beside the document; links are not followed"),
            (None, names) => {
                let more = if names.len() > LISTED_AT_MOST { ", …" } else { "" };
                let names: Vec<&str> = names.iter().take(LISTED_AT_MOST).map(String::as_str).collect();
                finding.with_note(format!("manifests there: {}{more}", names.join(", ")))
            }
        }))
    }

    /// What no document has asked for.
    pub(super) fn unused(self, findings: &mut Vec<Finding>) {
        for (path, located) in self.known.into_iter().filter(|(path, _)| !self.used.contains(path)) {
            let message = "an Azure manifest that no document uses".to_owned();
            let finding = match located {
                Some(located) => located.finding_at_key(Severity::Note, "manifest-not-used", "", message),
                None => {
                    let start = crate::Position { file: path.into(), line: 1, column: 1 };
                    Finding::note("manifest-not-used", message).with_position(start)
                }
            };
            let name = path.rsplit('/').next().unwrap_or(path);
            findings.push(finding.with_note(format!(
                "use it with `manifest: ./{name}` in the spec of an EdgeDeployment beside it, or make a document of it: hem import {path}"
            )));
        }
    }
}

/// Paths of manifests that documents name and that are not among the files, of those below the folder of their document:
/// what else must be read when somebody points at single files.
#[must_use]
pub fn unread_manifests(files: &[SourceFile]) -> BTreeSet<String> {
    let mut unread = BTreeSet::new();
    for file in files.iter().filter(|file| file.bytes.windows(8).any(|word| word == b"manifest")) {
        let folder = file.path.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        for document in text::read(file).0 {
            let named = document.value.pointer("/spec/manifest").and_then(Value::as_str);
            let path = named.and_then(|named| resolve(&file.path, named).ok());
            unread.extend(path.filter(|path| path.starts_with(&folder)));
        }
    }
    unread.retain(|path| files.iter().all(|file| *file.path != **path));
    unread
}

/// Says once what several documents with the same manifest have in common. The findings are in order of place.
pub(super) fn once(findings: &mut Vec<Finding>) {
    let unset: BTreeSet<_> = findings
        .iter()
        .filter(|finding| finding.rule == "azure-variable")
        .filter_map(|finding| Some(finding.position.as_ref()?.file.clone()))
        .collect();
    let mut said: Vec<Finding> = Vec::new();
    findings.retain(|finding| {
        // A variable without a value is told already, and is no name of an image.
        let follows = finding.rule == "image"
            && finding.position.as_ref().is_some_and(|position| unset.contains(&position.file))
            && finding.underlined().is_some_and(|text| text.contains("${"));
        if follows {
            return false;
        }
        if said.last().is_some_and(|last| last.position != finding.position) {
            said.clear();
        }
        let new = !said.contains(finding);
        if new {
            said.push(finding.clone());
        }
        new
    });
}

/// Is this file a manifest? The answer holds its place, when it could be read.
fn is_manifest(file: &SourceFile) -> Option<Option<Located>> {
    let text = file.path.ends_with(".json").then_some(file.bytes.as_slice())?;
    let text = std::str::from_utf8(text).ok()?;
    // Looked for first, because few files say it and reading takes longer.
    if !["modulesContent\"", "moduleContent\"", "deviceContent\""].iter().any(|key| text.contains(key)) {
        return None;
    }
    // Without any value, so that a template can be read as far as it goes.
    let (documents, findings, _) = text::read_manifest(file, Some(&Object::new()));
    match documents.as_slice() {
        [only] => azure::is_manifest(&only.value).then(|| Some(only.located.clone())),
        // Not readable: a document says what it is.
        [] if findings.iter().any(Finding::is_error) && !text.contains("hemline.dev/") => Some(None),
        [] | [_, ..] => None,
    }
}

/// The document with what the manifest says; the document itself wins where both speak.
fn adopted(raw: RawDocument, file: &SourceFile, findings: &mut Vec<Finding>) -> RawDocument {
    let RawDocument { mut value, located, weight } = raw;
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else {
        return RawDocument { value, located, weight };
    };
    let layered = spec.get("layered").and_then(Value::as_bool);
    let no_variables = Object::new();
    let variables = spec.get("variables").and_then(Value::as_object).unwrap_or(&no_variables);
    nulls(variables, &located, findings);
    let azure::Adopted { spec: lent, places, findings: told, weight: lent_weight } =
        azure::adopt(file, &located, variables, layered);
    findings.extend(told);
    let kept = take(spec, lent, &located, findings);
    let located = match places {
        None => located,
        Some((manifest, mut trail)) => {
            trail.retain(|pointer, _| {
                let member = pointer.strip_prefix("/spec/").and_then(|rest| rest.split('/').next());
                member.is_some_and(|member| kept.contains(member))
            });
            located.lending(&manifest, trail)
        }
    };
    RawDocument { value, located, weight: weight + lent_weight }
}

/// Puts the members of a manifest into `spec`; returns those that came in.
fn take(
    spec: &mut Map<String, Value>,
    lent: Map<String, Value>,
    located: &Located,
    findings: &mut Vec<Finding>,
) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for (member, value) in lent {
        let pointer = format!("/spec/{member}");
        match spec.get(&member) {
            None => {
                kept.insert(member.clone());
                spec.insert(member, value);
            }
            Some(own) if ITS_OWN.contains(&member.as_str()) => {
                if *own != value && member != "layered" {
                    let message = format!("{member} of the document wins; the manifest says {value}");
                    findings.push(located.finding(Severity::Note, "manifest-overruled", &pointer, message));
                }
            }
            // Told below, also when the manifest does not have it.
            Some(_) => {}
        }
    }
    for member in INSTEAD.into_iter().filter(|member| spec.contains_key(*member) && !kept.contains(*member)) {
        let message = format!("the manifest takes the place of {member}; a document has one or the other");
        let finding =
            located.finding_at_key(Severity::Error, "manifest-conflict", &format!("/spec/{member}"), message);
        findings.push(finding.with_hint("say it in a layered deployment, or remove `manifest`"));
    }
    kept
}

fn nulls(variables: &Object, located: &Located, findings: &mut Vec<Finding>) {
    for (name, _) in variables.iter().filter(|(_, value)| value.is_null()) {
        let pointer = format!("/spec/variables/{}", super::escape(name));
        let message = format!("the variable {name} has no value; this is {}", words(&Value::Null));
        let finding = located.finding_at_key(Severity::Error, "azure-variable", &pointer, message);
        findings.push(finding.with_hint("give it a value, or \"\""));
    }
}

/// The path that a document means, as the source names its files; or what is wrong, and what to do.
fn resolve(document: &str, named: &str) -> Result<String, (&'static str, &'static str)> {
    let hint = "write a path relative to this document, such as ./deployment.json";
    if named.contains('\\') {
        return Err(("a path of a source has no backslash", "write / between folders"));
    }
    let drive = named.as_bytes().get(1) == Some(&b':');
    if named.starts_with('/') || named.contains("://") || drive {
        return Err(("a manifest lies in the same source as its document", hint));
    }
    let mut steps: Vec<&str> = document.split('/').collect();
    steps.pop();
    for step in named.trim().split('/') {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| !matches!(*last, ".." | "." | "")) => {
                steps.pop();
            }
            ".." => return Err(("the path leads out of the source", "move the manifest into the source")),
            step => steps.push(step),
        }
    }
    match named.trim().rsplit('/').next() {
        Some("" | "." | "..") | None => Err(("the path names no file", hint)),
        Some(_) => Ok(steps.join("/")),
    }
}

/// A path of the source as a document writes it.
fn relative(document: &str, path: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (document.split('/').collect(), path.split('/').collect());
    let folder = from.get(..from.len() - 1).unwrap_or_default();
    let common = folder.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = "../".repeat(folder.len() - common);
    let rest = to.get(common..).unwrap_or_default().join("/");
    if up.is_empty() { format!("./{rest}") } else { format!("{up}{rest}") }
}

/// The only manifest of the same name in another folder.
fn same_name<'n>(named: &str, names: &'n [String]) -> Option<&'n str> {
    let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let mut same = names.iter().filter(|path| name(path) == name(named));
    same.next().filter(|_| same.next().is_none()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_source() {
        for (document, named, wanted) in [
            ("fleet.yaml", "deployment.json", Ok("deployment.json")),
            ("fleet.yaml", "./deployment.json", Ok("deployment.json")),
            ("a/b/fleet.yaml", "../c/./d.json", Ok("a/c/d.json")),
            ("../fleet/x.yaml", "../y.json", Ok("../y.json")),
            ("fleet.yaml", "../x.json", Err("the path leads out of the source")),
            ("a/fleet.yaml", "../../x.json", Err("the path leads out of the source")),
            ("../fleet.yaml", "../x.json", Err("the path leads out of the source")),
            ("/abs/fleet.yaml", "../../x.json", Err("the path leads out of the source")),
            ("fleet.yaml", "/etc/x.json", Err("a manifest lies in the same source as its document")),
            ("fleet.yaml", "C:/x.json", Err("a manifest lies in the same source as its document")),
            ("fleet.yaml", "https://h/x.json", Err("a manifest lies in the same source as its document")),
            ("fleet.yaml", "a\\x.json", Err("a path of a source has no backslash")),
            ("a/fleet.yaml", "..", Err("the path names no file")),
            ("fleet.yaml", "", Err("the path names no file")),
            ("fleet.yaml", "a/", Err("the path names no file")),
        ] {
            let found = resolve(document, named);
            assert_eq!(found.as_deref().map_err(|(why, _)| *why), wanted, "{document} {named}");
            if let Ok(path) = found {
                assert_eq!(resolve(document, &relative(document, &path)), Ok(path));
            }
        }
    }
}
