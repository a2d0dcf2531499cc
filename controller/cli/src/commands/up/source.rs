//! From flags to an open source: which kind it is, how it is entered, where its status goes.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hemline_api::SourceHooks;
use hemline_model::secret::Secret;
use hemline_sources::{
    Access, AnySource, Credentials, Directory, ForgeConfig, ForgeKind, Git, GitConfig, ONLY, OneSource,
    SecretText, Several, Signers, StatusBranch,
};

use super::sources;
use crate::{
    args::{Forge, ForgeFlags, GitFlags, SourceFlags},
    data_dir::DataDir,
    error::CommandError,
};

/// Opens the source, or all of them.
pub(super) fn open(flags: &SourceFlags, data_dir: &DataDir) -> Result<AnySource, CommandError> {
    let part = |error| CommandError::part("the source", error);
    let mut sources = Vec::new();
    for (name, flags) in &listed(flags)? {
        sources.push((name.clone(), typed(flags, data_dir)?));
    }
    for also in &flags.also {
        let (name, location) = named(also)?;
        sources.push((name.to_owned(), one(flags, &Place::parse(location), data_dir)?));
    }
    if sources.len() == 1
        && let Some((_, only)) = sources.pop()
    {
        return Ok(only.into());
    }
    Several::new(sources, data_dir.path().join("sources")).map(AnySource::from).map_err(part)
}

/// The sources of a file, or the one that was typed.
fn listed(flags: &SourceFlags) -> Result<Vec<(String, Cow<'_, SourceFlags>)>, CommandError> {
    if !sources::is_one(&flags.source) {
        return Ok(vec![(ONLY.to_owned(), Cow::Borrowed(flags))]);
    }
    let read = sources::read(Path::new(&flags.source))?;
    Ok(read.into_iter().map(|(name, flags)| (name, Cow::Owned(flags))).collect())
}

fn typed(flags: &SourceFlags, data_dir: &DataDir) -> Result<OneSource, CommandError> {
    let place = Place { location: &flags.source, reference: flags.branch.as_deref(), folder: &flags.folder };
    one(flags, &place, data_dir)
}

/// One source as typed.
struct Place<'a> {
    location: &'a str,
    reference: Option<&'a str>,
    folder: &'a str,
}

impl<'a> Place<'a> {
    /// `LOCATION[#REF[:FOLDER]]`.
    fn parse(text: &'a str) -> Self {
        let (location, rest) =
            text.rsplit_once('#').map_or((text, None), |(location, rest)| (location, Some(rest)));
        let (reference, folder) = rest.map_or((None, ""), |rest| {
            rest.split_once(':').map_or((Some(rest), ""), |(reference, folder)| (Some(reference), folder))
        });
        Self { location, reference, folder }
    }

    fn is_git(&self) -> bool {
        // `git@host:path`, unless there is such a folder.
        let scp = !Path::new(self.location).exists()
            && self
                .location
                .split_once(':')
                .is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
        let typed = self.reference.is_some() || !self.folder.is_empty();
        typed || self.location.contains("://") || self.location.ends_with(".git") || scp
    }
}

fn named(typed: &str) -> Result<(&str, &str), CommandError> {
    let wrong = || {
        CommandError::Usage(format!(
            "--also {typed}: write it like guests=https://git.example/fleet.git#main"
        ))
    };
    typed.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)
}

fn one(flags: &SourceFlags, place: &Place<'_>, data_dir: &DataDir) -> Result<OneSource, CommandError> {
    let part = |error| CommandError::part("the source", error);
    if !place.is_git() {
        return Directory::open(PathBuf::from(place.location)).map(OneSource::from).map_err(part);
    }
    let config = GitConfig {
        reference: place.reference.unwrap_or("HEAD").to_owned(),
        folder: place.folder.to_owned(),
        interval: flags.interval,
        access: access(&flags.git)?,
        signers: signers(&flags.git),
        status: status(&flags.git, data_dir),
        forge: forge(flags, place.location)?,
        ..GitConfig::new(place.location, data_dir.path().join("git"))
    };
    Git::open(config).map(OneSource::from).map_err(part)
}

/// Who may wake sources from outside.
pub(super) fn hooks(flags: &SourceFlags) -> Result<SourceHooks, CommandError> {
    let of = |flags: &SourceFlags| {
        secret(flags.git.webhook_secret.as_ref(), flags.git.webhook_secret_file.as_deref())
    };
    let mut secrets = BTreeMap::new();
    for (name, flags) in listed(flags)? {
        secrets.insert(name, of(&flags));
    }
    for also in &flags.also {
        secrets.insert(named(also)?.0.to_owned(), of(flags));
    }
    Ok(SourceHooks { secrets })
}

fn access(flags: &GitFlags) -> Result<Access, CommandError> {
    let token = secret(flags.git_token.as_ref(), flags.git_token_file.as_deref());
    let credentials = match (&flags.git_ssh_key, token, &flags.git_user) {
        (Some(_), Some(_), _) => {
            return Err(CommandError::Usage(
                "a token is for https and a key for ssh; give one of them (HEM_GIT_TOKEN, HEM_GIT_SSH_KEY)"
                    .to_owned(),
            ));
        }
        (Some(file), None, _) => Credentials::SshKey {
            file: file.clone(),
            passphrase: flags.git_ssh_passphrase.clone().map(SecretText::Value),
        },
        (None, Some(password), Some(user)) => Credentials::Basic { user: user.clone(), password },
        (None, Some(token), None) => Credentials::Token(token),
        (None, None, _) => Credentials::Anonymous,
    };
    let known_hosts = flags.git_known_hosts.clone();
    let of_user =
        || std::env::home_dir().map(|home| home.join(".ssh/known_hosts")).filter(|file| file.exists());
    Ok(Access { credentials, ca_file: flags.git_ca.clone(), known_hosts: known_hosts.or_else(of_user) })
}

fn signers(flags: &GitFlags) -> Option<Signers> {
    let wanted = flags.allowed_signers.is_some() || !flags.gpg_keys.is_empty();
    wanted.then(|| Signers { ssh: flags.allowed_signers.clone(), gpg: flags.gpg_keys.clone() })
}

fn status(flags: &GitFlags, data_dir: &DataDir) -> Option<StatusBranch> {
    let token = secret(flags.status_token.as_ref(), flags.status_token_file.as_deref());
    (flags.status_branch != "off").then(|| StatusBranch {
        every: flags.status_every,
        writer: writer(data_dir),
        credentials: token.map(Credentials::Token),
        ..StatusBranch::new(flags.status_branch.clone())
    })
}

/// The forge behind the repository; `None` when no token for it is given.
fn forge(flags: &SourceFlags, location: &str) -> Result<Option<ForgeConfig>, CommandError> {
    let typed: &ForgeFlags = &flags.forge;
    let statuses = secret(typed.forge_status_token.as_ref(), typed.forge_status_token_file.as_deref());
    let comments = secret(typed.forge_comment_token.as_ref(), typed.forge_comment_token_file.as_deref());
    let pulls = secret(typed.forge_pull_token.as_ref(), typed.forge_pull_token_file.as_deref());
    if statuses.is_none() && comments.is_none() && pulls.is_none() {
        return Ok(None);
    }
    let kind = typed.forge.map(|forge| match forge {
        Forge::Github => ForgeKind::GitHub,
        Forge::Gitlab => ForgeKind::GitLab,
        Forge::Gitea => ForgeKind::Gitea,
    });
    let Some(found) = ForgeConfig::of(location, kind) else {
        let what = format!(
            "{:?} does not tell which forge it is on; say --forge github, gitlab or gitea",
            flags.source
        );
        return Err(CommandError::Usage(what));
    };
    Ok(Some(ForgeConfig {
        api: typed.forge_api.clone().unwrap_or(found.api),
        context: typed.forge_context.clone(),
        target_url: typed.forge_target_url.clone(),
        ca_file: flags.git.git_ca.clone(),
        statuses,
        comments,
        pulls,
        ..found
    }))
}

/// Two controllers on one branch are told apart by machine and data directory.
fn writer(data_dir: &DataDir) -> String {
    let host = hostname::get().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let place = data_dir.path().canonicalize().unwrap_or_else(|_| data_dir.path().to_path_buf());
    format!("hem on {host} in {}", place.display())
}

/// A text that was given, or the file that holds it.
fn secret(text: Option<&Secret>, file: Option<&Path>) -> Option<SecretText> {
    let text = text.filter(|text| !text.is_empty()).cloned().map(SecretText::Value);
    text.or_else(|| file.map(|file| SecretText::File(file.to_path_buf())))
}
