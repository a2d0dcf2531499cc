//! A file of sources: each with its own address, credentials, status branch and forge.
//!
//! TOML, one table per source, paths relative to the file. No secret stands in it: a key that ends in `-file` names a file, and
//! `HEM_SOURCE_<NAME>_<WORD>` in the environment, which counts more, gives the text. Sources share nothing, so that the token
//! of one forge is never shown to another. Not here: opening sources (`source.rs`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::ValueEnum as _;
use hemline_model::secret::{Secret, in_variable};
use serde::Deserialize;

use crate::{
    args::{CONTEXT, Forge, ForgeFlags, GitFlags, INTERVAL, STATUS_BRANCH, STATUS_EVERY, SourceFlags},
    error::CommandError,
};

/// More is no list of sources.
const BYTES_AT_MOST: u64 = 1 << 20;
/// Keys that people try, and that would put a secret into the file.
const SECRET_KEYS: [&str; 4] = ["token", "password", "ssh-passphrase", "webhook-secret"];

/// One table.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct Table {
    location: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    folder: String,
    interval: Option<String>,
    token_file: Option<PathBuf>,
    user: Option<String>,
    ca: Option<PathBuf>,
    ssh_key: Option<PathBuf>,
    known_hosts: Option<PathBuf>,
    allowed_signers: Option<PathBuf>,
    gpg_keys: Vec<PathBuf>,
    status_branch: Option<String>,
    status_every: Option<String>,
    status_token_file: Option<PathBuf>,
    webhook_secret_file: Option<PathBuf>,
    forge: Option<String>,
    forge_api: Option<String>,
    forge_context: Option<String>,
    forge_target_url: Option<String>,
    forge_status_token_file: Option<PathBuf>,
    forge_comment_token_file: Option<PathBuf>,
    forge_pull_token_file: Option<PathBuf>,
}

/// Is this a file of sources, and no folder or repository?
pub(super) fn is_one(location: &str) -> bool {
    location.ends_with(".toml") && !location.contains("://")
}

/// The sources of a file, by name.
pub(super) fn read(path: &Path) -> Result<Vec<(String, SourceFlags)>, CommandError> {
    let file = |source| CommandError::File { action: "read", path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(file)?.len() > BYTES_AT_MOST {
        return Err(CommandError::Usage(format!(
            "{}: more than {BYTES_AT_MOST} bytes are no list of sources",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(file)?;
    let variable = |name: &str| std::env::var(name).ok();
    parse(&text, path, variable)
}

fn parse(
    text: &str,
    path: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, SourceFlags)>, CommandError> {
    let wrong = |what: String| CommandError::Usage(format!("{}: {what}", path.display()));
    let tables: BTreeMap<String, Table> = toml::from_str(text).map_err(|error| {
        // Never the line itself: somebody may have written a secret there.
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| format!("line {}: ", before.matches('\n').count() + 1)).unwrap_or_default();
        let tried = SECRET_KEYS.iter().find(|key| error.message().contains(&format!("`{key}`,")));
        match tried {
            Some(key) => wrong(format!(
                "{line}a secret does not stand in this file; write `{key}-file = \"FILE\"`, or set HEM_SOURCE_<NAME>_{}",
                key.to_ascii_uppercase().replace('-', "_")
            )),
            None => wrong(format!("{line}{}", error.message())),
        }
    })?;
    if tables.is_empty() {
        return Err(wrong("it names no source; write `[NAME]` and `location = \"…\"`".to_owned()));
    }
    let beside = path.parent().unwrap_or(Path::new(""));
    let flags = |(name, table): (String, Table)| {
        let flags =
            flags(&name, table, beside, &variable).map_err(|what| wrong(format!("[{name}]: {what}")))?;
        Ok((name, flags))
    };
    tables.into_iter().map(flags).collect()
}

fn flags(
    name: &str,
    table: Table,
    beside: &Path,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<SourceFlags, String> {
    if table.location.is_empty() {
        return Err("it has no location".to_owned());
    }
    let here = |path: Option<PathBuf>| path.map(|path| beside.join(path));
    let secret = |word: &str| variable(&format!("HEM_SOURCE_{}_{word}", in_variable(name))).map(Secret::new);
    let span =
        |text: Option<String>, otherwise: &str| crate::args::seconds(text.as_deref().unwrap_or(otherwise));
    let unknown = |text: &str| format!("forge {text:?} is not known; use github, gitlab or gitea");
    let forge = table.forge.as_deref().map(|text| Forge::from_str(text, false).map_err(|_| unknown(text)));
    let forge = forge.transpose()?;
    let is_path = !table.location.contains("://") && !table.location.contains('@');
    let source = if is_path { beside.join(&table.location).display().to_string() } else { table.location };
    Ok(SourceFlags {
        source,
        also: Vec::new(),
        branch: table.reference,
        folder: table.folder,
        interval: span(table.interval, INTERVAL)?,
        git: GitFlags {
            git_token: secret("TOKEN"),
            git_token_file: here(table.token_file),
            git_user: table.user,
            git_ca: here(table.ca),
            git_ssh_key: here(table.ssh_key),
            git_ssh_passphrase: secret("SSH_PASSPHRASE"),
            git_known_hosts: here(table.known_hosts),
            allowed_signers: here(table.allowed_signers),
            gpg_keys: table.gpg_keys.into_iter().map(|path| beside.join(path)).collect(),
            status_branch: table.status_branch.unwrap_or_else(|| STATUS_BRANCH.to_owned()),
            status_every: span(table.status_every, STATUS_EVERY)?,
            status_token: secret("STATUS_TOKEN"),
            status_token_file: here(table.status_token_file),
            webhook_secret: secret("WEBHOOK_SECRET"),
            webhook_secret_file: here(table.webhook_secret_file),
        },
        forge: ForgeFlags {
            forge,
            forge_api: table.forge_api,
            forge_context: table.forge_context.unwrap_or_else(|| CONTEXT.to_owned()),
            forge_target_url: table.forge_target_url,
            forge_status_token: secret("FORGE_STATUS_TOKEN"),
            forge_status_token_file: here(table.forge_status_token_file),
            forge_comment_token: secret("FORGE_COMMENT_TOKEN"),
            forge_comment_token_file: here(table.forge_comment_token_file),
            forge_pull_token: secret("FORGE_PULL_TOKEN"),
            forge_pull_token_file: here(table.forge_pull_token_file),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, SourceFlags)>, String> {
        let variable = |name: &str| (name == "HEM_SOURCE_GUEST_S_TOKEN").then(|| "of guests".to_owned());
        parse(text, Path::new("/etc/hem/sources.toml"), variable).map_err(|error| error.to_string())
    }

    #[test]
    fn each_source_has_its_own() {
        let read = parsed(
            "[ours]\nlocation = 'https://git.example/fleet.git'\nref = 'main'\ntoken-file = 'ours.token'\ninterval = '2m'\n\
             [\"guest-s\"]\nlocation = 'git@git.example:guests.git'\nstatus-branch = 'off'\n\
             [local]\nlocation = 'fleet'\n",
        )
        .unwrap();
        let [(guests, guest), (local, folder), (ours, our)] = &read[..] else { panic!("{read:?}") };
        assert_eq!([guests, local, ours], ["guest-s", "local", "ours"]);
        assert_eq!(our.git.git_token_file.as_deref(), Some(Path::new("/etc/hem/ours.token")));
        assert_eq!((our.git.git_token.as_ref(), our.interval), (None, Duration::from_secs(120)));
        assert_eq!(guest.git.git_token.as_ref().map(Secret::expose), Some("of guests"));
        assert_eq!(
            (guest.source.as_str(), guest.git.status_branch.as_str()),
            ("git@git.example:guests.git", "off")
        );
        assert_eq!(folder.source, "/etc/hem/fleet");
        assert!(!format!("{read:?}").contains("of guests"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_secrets() {
        for (text, expected) in [
            ("", "names no source"),
            (
                "[a]\nlocation = 'x'\ntoken = 'hunter2'\n",
                "line 3: a secret does not stand in this file; write `token-file",
            ),
            ("[a]\nlocation = 'x'\ntokn-file = 'hunter2'\n", "line 3: unknown field `tokn-file`"),
            ("[a]\nref = 'main'\n", "[a]: it has no location"),
            ("[a]\nlocation = 'x'\nforge = 'svn'\n", "forge \"svn\" is not known"),
            ("[a]\nlocation = 'x'\ninterval = 'often'\n", "[a]: "),
            ("[a]\nlocation = 'hunter2\n", "line 2: "),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{text:?}: {error}");
        }
    }
}
