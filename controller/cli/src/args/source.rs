//! Where documents come from and status goes to, as typed or as `HEM_*` says. Tokens are given by file or environment; a
//! flag would show them to everybody who may list processes.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use hemline_model::secret::Secret;

/// How often a Git repository is looked at, unless somebody says otherwise.
pub(crate) const INTERVAL: &str = "15s";
/// Where status goes.
pub(crate) const STATUS_BRANCH: &str = "hemline/status";
/// Shortest time between two commits of status.
pub(crate) const STATUS_EVERY: &str = "30s";
/// What forges call this controller.
pub(crate) const CONTEXT: &str = "hemline";

/// The source of `hem up`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SourceFlags {
    /// A folder of documents, a Git repository (path, https://, ssh:// or git@host:path), or a file of sources (.toml), each with
    /// its own credentials.
    #[arg(value_name = "PATH|URL")]
    pub(crate) source: String,
    /// A further source, as `NAME=PATH|URL[#REF[:FOLDER]]`. Each owns the documents it brings; the first is named `default`.
    /// They share what the flags below say; a file of sources shares nothing.
    #[arg(long, value_name = "NAME=SOURCE")]
    pub(crate) also: Vec<String>,
    /// Read the source as a Git repository, at this branch, tag or commit.
    #[arg(long, value_name = "REF")]
    pub(crate) branch: Option<String>,
    /// Only the documents below this folder of the repository.
    #[arg(long, default_value = "", value_name = "FOLDER")]
    pub(crate) folder: String,
    /// How often a Git repository is looked at.
    #[arg(long, default_value = INTERVAL, value_parser = super::seconds, value_name = "DURATION")]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) git: GitFlags,
    #[command(flatten)]
    pub(crate) forge: ForgeFlags,
}

/// How a Git remote is entered, who may sign, where status goes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Git")]
pub(crate) struct GitFlags {
    /// File whose first line is a token that may read the repository; read at each use. HEM_GIT_TOKEN gives the token itself.
    #[arg(long, env = "HEM_GIT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) git_token_file: Option<PathBuf>,
    /// The token itself.
    #[arg(long, env = "HEM_GIT_TOKEN", hide = true, hide_env_values = true)]
    pub(crate) git_token: Option<Secret>,
    /// User name beside the token, for deploy tokens and passwords.
    #[arg(long, env = "HEM_GIT_USER", value_name = "NAME")]
    pub(crate) git_user: Option<String>,
    /// PEM file of the only authorities that the server's certificate may come from; without it those of this machine.
    #[arg(long, env = "HEM_GIT_CA", value_name = "FILE")]
    pub(crate) git_ca: Option<PathBuf>,
    /// Private key for SSH. HEM_GIT_SSH_PASSPHRASE opens an encrypted one.
    #[arg(long, env = "HEM_GIT_SSH_KEY", value_name = "FILE")]
    pub(crate) git_ssh_key: Option<PathBuf>,
    /// Of the private key.
    #[arg(long, env = "HEM_GIT_SSH_PASSPHRASE", hide = true, hide_env_values = true)]
    pub(crate) git_ssh_passphrase: Option<Secret>,
    /// Keys of SSH servers; without it `~/.ssh/known_hosts`. A server that is not in it is refused.
    #[arg(long, env = "HEM_GIT_KNOWN_HOSTS", value_name = "FILE")]
    pub(crate) git_known_hosts: Option<PathBuf>,
    /// Take only commits that are signed by a key of this file (OpenSSH's allowed_signers).
    #[arg(long, env = "HEM_ALLOWED_SIGNERS", value_name = "FILE")]
    pub(crate) allowed_signers: Option<PathBuf>,
    /// Take only commits that are signed by a GPG key of these files (armored public keys).
    #[arg(long, env = "HEM_GPG_KEYS", value_delimiter = ',', value_name = "FILE,…")]
    pub(crate) gpg_keys: Vec<PathBuf>,
    /// Branch of the repository that status is written to, or `off`.
    #[arg(long, env = "HEM_STATUS_BRANCH", default_value = STATUS_BRANCH, value_name = "NAME|off")]
    pub(crate) status_branch: String,
    /// Shortest time between two commits of status.
    #[arg(long, default_value = STATUS_EVERY, value_parser = super::seconds, value_name = "DURATION")]
    pub(crate) status_every: Duration,
    /// File with a token of its own for the status branch; without it the one that reads. HEM_STATUS_TOKEN gives it itself.
    #[arg(long, env = "HEM_STATUS_TOKEN_FILE", value_name = "FILE")]
    pub(crate) status_token_file: Option<PathBuf>,
    /// The token itself.
    #[arg(long, env = "HEM_STATUS_TOKEN", hide = true, hide_env_values = true)]
    pub(crate) status_token: Option<Secret>,
    /// File with the secret of webhooks to /api/v1/sources/NAME/sync. HEM_WEBHOOK_SECRET gives it itself.
    #[arg(long, env = "HEM_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub(crate) webhook_secret_file: Option<PathBuf>,
    /// The secret itself.
    #[arg(long, env = "HEM_WEBHOOK_SECRET", hide = true, hide_env_values = true)]
    pub(crate) webhook_secret: Option<Secret>,
}

/// Who hears what becomes of commits.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Forge")]
pub(crate) struct ForgeFlags {
    /// What the forge of the repository is, where its address does not tell.
    #[arg(long, env = "HEM_FORGE", value_enum, value_name = "KIND")]
    pub(crate) forge: Option<Forge>,
    /// Root of its API, where it does not follow from the address, such as https://gitlab.example/api/v4.
    #[arg(long, env = "HEM_FORGE_API", value_name = "URL")]
    pub(crate) forge_api: Option<String>,
    /// Name of this controller in commit statuses and comments; two on one repository need two names.
    #[arg(long, env = "HEM_FORGE_CONTEXT", default_value = CONTEXT, value_name = "NAME")]
    pub(crate) forge_context: String,
    /// Page that commit statuses lead to.
    #[arg(long, env = "HEM_FORGE_TARGET_URL", value_name = "URL")]
    pub(crate) forge_target_url: Option<String>,
    /// File with a token that may write commit statuses (GitHub statuses:write, GitLab api, Gitea write:repository).
    /// HEM_FORGE_STATUS_TOKEN gives it itself.
    #[arg(long, env = "HEM_FORGE_STATUS_TOKEN_FILE", value_name = "FILE")]
    pub(crate) forge_status_token_file: Option<PathBuf>,
    /// The token itself.
    #[arg(long, env = "HEM_FORGE_STATUS_TOKEN", hide = true, hide_env_values = true)]
    pub(crate) forge_status_token: Option<Secret>,
    /// File with a token that may write comments (GitHub pull_requests:write, GitLab api, Gitea write:issue).
    /// HEM_FORGE_COMMENT_TOKEN gives it itself.
    #[arg(long, env = "HEM_FORGE_COMMENT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) forge_comment_token_file: Option<PathBuf>,
    /// The token itself.
    #[arg(long, env = "HEM_FORGE_COMMENT_TOKEN", hide = true, hide_env_values = true)]
    pub(crate) forge_comment_token: Option<Secret>,
    /// File with a token that may open pull requests (GitHub pull_requests:write, GitLab api, Gitea write:repository).
    /// HEM_FORGE_PULL_TOKEN gives it itself.
    #[arg(long, env = "HEM_FORGE_PULL_TOKEN_FILE", value_name = "FILE")]
    pub(crate) forge_pull_token_file: Option<PathBuf>,
    /// The token itself.
    #[arg(long, env = "HEM_FORGE_PULL_TOKEN", hide = true, hide_env_values = true)]
    pub(crate) forge_pull_token: Option<Secret>,
}

/// Whose API a forge has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Forge {
    /// github.com and GitHub Enterprise Server.
    Github,
    /// gitlab.com and self-managed.
    Gitlab,
    /// Gitea and Forgejo.
    Gitea,
}
