//! Meaning of `Secret` documents: what SOPS wrote is whole, nothing stands in clear, and who names a secret finds it.
//!
//! Nothing is opened here. Whether a value was encrypted is told by its form, so every rule of SOPS about which values are
//! (`encrypted_regex`, `unencrypted_suffix` and their like) is kept without being read again.

use std::{collections::BTreeMap, sync::Arc};

use hemline_query::near;
use serde_json::Value;

use super::{Context, SecretDoc, SecretSpec, escape};
use crate::{
    document::{EnvScalar, Object, SecretDocument, SecretKeyRef},
    edge::{Encrypted, Sealed, SealedValue},
    finding::{Finding, Severity},
    id::DocumentName,
    text::Located,
};

/// How a file is encrypted so that the rest of the document stays readable.
const HOW: &str = "sops --encrypt --in-place --age RECIPIENT --encrypted-regex '^(data|stringData)$' FILE";
/// How an age file in letters begins.
const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
/// Sections that hold values.
const SECTIONS: [&str; 2] = ["stringData", "data"];

/// All secrets of a revision, for those who name them.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// `None`: it is there, and something is wrong with it.
    named: BTreeMap<String, Option<SecretSpec>>,
}

impl Secrets {
    pub(super) fn new(
        written: impl Iterator<Item = String>,
        sound: impl Iterator<Item = (String, SecretSpec)>,
    ) -> Self {
        let mut named: BTreeMap<String, Option<SecretSpec>> = written.map(|name| (name, None)).collect();
        named.extend(sound.map(|(name, spec)| (name, Some(spec))));
        Self { named }
    }

    /// The encrypted document that a variable names; `None` when the device has to have the value.
    pub(super) fn find(
        &self,
        secret: &SecretKeyRef,
        pointer: &str,
        context: &mut Context<'_>,
    ) -> Option<Arc<str>> {
        let SecretKeyRef { name, key } = secret;
        match self.named.get(name) {
            Some(Some(spec)) => {
                if !spec.keys.contains(key) {
                    let message = format!("the secret {name:?} has no key {key:?}");
                    let near = near(key, spec.keys.iter().map(String::as_str));
                    let at = format!("{pointer}/key");
                    let fix = near.and_then(|near| context.located.fix_value(&at, &Value::from(near)));
                    let finding = context.error("secret-key", &at, message);
                    finding.hint = Some(match near {
                        Some(near) => format!("did you mean {near:?}?"),
                        None => format!(
                            "it has {}",
                            spec.keys.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                        ),
                    });
                    finding.fix = fix;
                }
                Some(Arc::clone(&spec.sealed))
            }
            Some(None) => None,
            // A repository without any keeps them all on the devices.
            None if self.named.is_empty() => None,
            None => {
                let message = format!("no document holds the secret {name:?}; every device has to have it");
                let near = near(name, self.named.keys().map(String::as_str));
                let at = format!("{pointer}/name");
                let fix = near.and_then(|near| context.located.fix_value(&at, &Value::from(near)));
                let finding = context.warning_at("secret-unknown", &at, message);
                finding.hint = near.map(|near| format!("did you mean {near:?}?"));
                finding.fix = fix;
                None
            }
        }
    }
}

/// The same place in the file, for findings that must not quote what stands there in clear.
pub(super) fn hiding(located: &Located, document: &Value) -> Located {
    let mut clear = Vec::new();
    for (key, value) in document.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "sops") {
            leaves(&format!("/{}", escape(key)), value, &mut |pointer, value| {
                if value.as_str().is_none_or(|text| Encrypted::parse(text).is_none()) {
                    clear.push(pointer.to_owned());
                }
            });
        }
    }
    if clear.is_empty() { located.clone() } else { located.hiding(&clear) }
}

/// What is said of a document of ours whose very kind was encrypted.
pub(super) fn all_encrypted(document: &Value, located: &Located) -> Option<Finding> {
    let said = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
    let encrypted = ["apiVersion", "kind"].into_iter().find(|key| Encrypted::parse(said(key)).is_some())?;
    document.get("sops").filter(|block| block.is_object())?;
    let message = format!("{encrypted} is encrypted, so nobody can tell what the document is");
    let finding = located.finding(Severity::Error, "secret-too-much", &format!("/{encrypted}"), message);
    Some(finding.with_hint(format!("encrypt the values alone: {HOW}")))
}

/// Judges one secret. `None` when devices could not open it.
pub(super) fn check(document: &SecretDocument, context: &mut Context<'_>) -> Option<SecretSpec> {
    let before = context.findings.len();
    values(document, context);
    let block = document.sops.as_ref().and_then(|block| sops(block, context));
    if !context.located.is_alone() {
        let message = "the file holds other documents too, and SOPS proves a file as a whole";
        context.error("secret-not-alone", "/kind", message).hint =
            Some("give the secret a file of its own".to_owned());
    }
    if context.findings.iter().skip(before).any(Finding::is_error) {
        return None;
    }
    let Block { age, mac, modified, mac_only_encrypted } = block?;
    let sealed =
        Sealed { age, mac, modified, mac_only_encrypted, values: in_order(document, context.located) };
    let keys = document.string_data.keys().chain(document.data.keys()).cloned().collect();
    Some(SecretSpec { sealed: sealed.to_text().into(), keys })
}

/// Every value is encrypted.
fn values(document: &SecretDocument, context: &mut Context<'_>) {
    let mut any = false;
    for (section, values) in SECTIONS.into_iter().zip([&document.string_data, &document.data]) {
        for (key, value) in values {
            any = true;
            let pointer = format!("/{section}/{}", escape(key));
            match value {
                // SOPS leaves an empty text as it is.
                EnvScalar::Text(text) if text.is_empty() || Encrypted::parse(text).is_some() => {}
                EnvScalar::Text(text) if Encrypted::is_meant(text) => {
                    let message = format!("the encrypted value of {key:?} is cut or damaged");
                    context.error("secret-sops", &pointer, message).hint =
                        Some("restore the line from Git, or encrypt the value again".to_owned());
                }
                EnvScalar::Text(_) | EnvScalar::Bool(_) | EnvScalar::Number(_) => {
                    let message = format!("the value of {key:?} stands in clear");
                    let finding = context.error("secret-in-clear", &pointer, message);
                    finding.hint = Some(format!("encrypt it: {HOW}"));
                    finding.notes.push(
                        "a value that was pushed in clear is known; replace it by another one".to_owned(),
                    );
                }
            }
        }
    }
    if !any && !SECTIONS.iter().any(|section| context.was_slip_of("", section)) {
        context.warning("no-effect", "/metadata", "a secret without values does nothing").hint =
            Some("say one below stringData, or remove the document".to_owned());
    } else if any && document.sops.is_none() && !context.was_dropped("/sops") {
        let clear = context.findings.iter().any(|finding| finding.rule == "secret-in-clear");
        if !clear {
            context
                .error("secret-sops", "", "the document has no sops block, so nobody can open its values")
                .hint = Some("restore the block from Git, or encrypt the values again".to_owned());
        }
    }
}

/// What SOPS says about a document.
struct Block {
    age: Vec<String>,
    mac: String,
    modified: String,
    mac_only_encrypted: bool,
}

fn sops(block: &Object, context: &mut Context<'_>) -> Option<Block> {
    let list = |key: &str| block.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
    let text = |key: &str| block.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if list("key_groups").is_some() {
        let message = "the key is shared out among groups; devices open a document with one age key";
        context.error("secret-no-age", "/sops/key_groups", message).hint =
            Some(format!("encrypt it anew: {HOW}"));
        return None;
    }
    let age: Vec<String> = list("age")
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(place, recipient)| {
            let key = recipient.get("enc").and_then(Value::as_str);
            let sound = key.filter(|key| key.trim_start().starts_with(ARMOR));
            if sound.is_none() {
                let message = "this recipient has no encrypted key";
                context.error("secret-sops", &format!("/sops/age/{place}/enc"), message).hint =
                    Some("let SOPS write it: sops updatekeys FILE".to_owned());
            }
            sound.map(str::to_owned)
        })
        .collect();
    if list("age").is_none() {
        let message = "no age key can open the document, and devices have no other";
        context.error("secret-no-age", "/sops", message).hint = Some(
            "add the recipients of the devices: sops rotate --in-place --add-age RECIPIENT FILE".to_owned(),
        );
    }
    let mac = text("mac").filter(|mac| Encrypted::parse(mac).is_some());
    if mac.is_none() {
        let message = "the proof that nobody changed the values (mac) is missing or damaged";
        context.error("secret-sops", "/sops/mac", message).hint =
            Some("restore the block from Git, or encrypt the values again".to_owned());
    }
    let modified = text("lastmodified");
    if modified.is_none() {
        let message = "lastmodified is missing; the proof of the values is bound to it";
        context.error("secret-sops", "/sops/lastmodified", message).hint =
            Some("restore the block from Git, or encrypt the values again".to_owned());
    }
    let mac_only_encrypted = block.get("mac_only_encrypted") == Some(&Value::Bool(true));
    Some(Block { age, mac: mac?.to_owned(), modified: modified?.to_owned(), mac_only_encrypted })
}

/// All values but those of SOPS, in the order of the text: the proof counts them so.
fn in_order(document: &SecretDocument, located: &Located) -> Vec<SealedValue> {
    let whole = serde_json::to_value(document).unwrap_or_default();
    let mut found = Vec::new();
    for (key, value) in whole.as_object().into_iter().flatten().filter(|(key, _)| *key != "sops") {
        leaves(&format!("/{}", escape(key)), value, &mut |pointer, value| {
            let path = pointer.split('/').skip(1).map(super::unescape).collect();
            if let Some(text) = counted(value) {
                let at = located.position(pointer);
                found.push(((at.line, at.column), SealedValue(path, text)));
            }
        });
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, value)| value).collect()
}

/// A value as SOPS counts it; `null` counts as nothing.
fn counted(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn leaves(pointer: &str, value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                leaves(&format!("{pointer}/{}", escape(key)), value, each);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                leaves(&format!("{pointer}/{index}"), value, each);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => each(pointer, value),
    }
}

impl Secrets {
    /// Are they the same as those of an earlier revision? Else who names one has to be judged again.
    pub(super) fn are(&self, before: &BTreeMap<DocumentName, SecretDoc>) -> bool {
        let same = |(name, doc): (&DocumentName, &SecretDoc)| {
            self.named.get(name.as_str()).and_then(Option::as_ref) == Some(&doc.spec)
        };
        self.named.len() == before.len() && before.iter().all(same)
    }
}
