//! What the forge shows beside a commit: a commit status, one comment on the pull request, and pull requests for reverts.
//!
//! ```text
//! outcome.rs   what became of a revision, and whether it is worth telling again
//! shape.rs     pure   which call says it to GitHub, GitLab, Gitea or Forgejo
//! client.rs    I/O    calls, bounded, with the forge's own pace
//! queue.rs     pure   what waits to be told, the newest of each revision
//! channel.rs   two channels that never make anybody wait
//! ```
//!
//! Each use has a token of its own. One that lacks a right closes its channel with one line; nothing else is touched.

mod channel;
mod client;
mod outcome;
mod queue;
mod shape;

use std::{path::PathBuf, time::Duration};

use crate::SecretText;

pub(crate) use self::channel::{Channels, Puller};
pub use self::{
    client::ForgeError,
    outcome::{Outcome, Phase},
};

/// Whose API it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    /// github.com and GitHub Enterprise Server.
    GitHub,
    /// gitlab.com and self-managed.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
}

/// A forge, what may be done there, and as whom.
#[derive(Debug, Clone)]
pub struct ForgeConfig {
    /// Whose API it is.
    pub kind: ForgeKind,
    /// Root of the API: `https://api.github.com`, `https://gitlab.example/api/v4`, `https://gitea.example/api/v1`.
    pub api: String,
    /// `owner/repository`, on GitLab with all groups.
    pub project: String,
    /// Names the controller in commit statuses and comments: two controllers on one repository need two names.
    pub context: String,
    /// Page that a status leads to.
    pub target_url: Option<String>,
    /// Shortest time between two calls of one kind: a pass may end many times a second.
    pub every: Duration,
    /// PEM file of the only authorities that the forge's certificate may come from.
    pub ca_file: Option<PathBuf>,
    /// May write commit statuses: GitHub `statuses:write`, GitLab `api`, Gitea `write:repository`.
    pub statuses: Option<SecretText>,
    /// May write comments: GitHub `pull_requests:write`, GitLab `api`, Gitea `write:issue`.
    pub comments: Option<SecretText>,
    /// May open pull requests: GitHub `pull_requests:write`, GitLab `api`, Gitea `write:repository`.
    pub pulls: Option<SecretText>,
}

impl ForgeConfig {
    /// The forge behind the address of a repository, where the address tells; `kind` says what it does not.
    #[must_use]
    pub fn of(url: &str, kind: Option<ForgeKind>) -> Option<Self> {
        let (scheme, host, path) = parts(url)?;
        let name = host.split(':').next().unwrap_or_default();
        let kind = kind.or(match name {
            "github.com" => Some(ForgeKind::GitHub),
            "codeberg.org" | "gitea.com" => Some(ForgeKind::Gitea),
            _ if name.starts_with("gitlab.") => Some(ForgeKind::GitLab),
            _ if name.starts_with("gitea.") || name.starts_with("forgejo.") => Some(ForgeKind::Gitea),
            _ => None,
        })?;
        let api = match kind {
            ForgeKind::GitHub if name == "github.com" => "https://api.github.com".to_owned(),
            ForgeKind::GitHub => format!("{scheme}://{host}/api/v3"),
            ForgeKind::GitLab => format!("{scheme}://{host}/api/v4"),
            ForgeKind::Gitea => format!("{scheme}://{host}/api/v1"),
        };
        Some(Self {
            kind,
            api,
            project: path,
            context: "hemline".to_owned(),
            target_url: None,
            every: Duration::from_secs(5),
            ca_file: None,
            statuses: None,
            comments: None,
            pulls: None,
        })
    }
}

/// Scheme of the API, host and `owner/repository` of an address.
fn parts(url: &str) -> Option<(&'static str, String, String)> {
    let url = crate::remote::without_password(url);
    let (scheme, host, path) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => {
            let (host, path) = rest.split_once('/')?;
            (if scheme == "http" { "http" } else { "https" }, host.to_owned(), path)
        }
        Some(("ssh" | "git+ssh", rest)) => {
            let (authority, path) = rest.split_once('/')?;
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            // The port of SSH says nothing about the port of the API.
            ("https", host.split(':').next()?.to_owned(), path)
        }
        Some(_) => return None,
        None => {
            let (place, path) = url.split_once(':')?;
            ("https", place.rsplit_once('@').map_or(place, |(_, host)| host).to_owned(), path)
        }
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    path.contains('/').then(|| (scheme, host.clone(), path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forges_behind_addresses() {
        for (url, kind, api, project) in [
            ("https://github.com/acme/fleet.git", None, "https://api.github.com", "acme/fleet"),
            ("git@github.com:acme/fleet.git", None, "https://api.github.com", "acme/fleet"),
            ("https://gitlab.com/a/b/fleet", None, "https://gitlab.com/api/v4", "a/b/fleet"),
            ("ssh://git@codeberg.org:22/acme/fleet.git", None, "https://codeberg.org/api/v1", "acme/fleet"),
            (
                "https://me:x@git.example:8443/acme/fleet.git",
                Some(ForgeKind::GitHub),
                "https://git.example:8443/api/v3",
                "acme/fleet",
            ),
            (
                "http://127.0.0.1:3000/acme/fleet",
                Some(ForgeKind::Gitea),
                "http://127.0.0.1:3000/api/v1",
                "acme/fleet",
            ),
        ] {
            let found = ForgeConfig::of(url, kind).unwrap();
            assert_eq!((found.api.as_str(), found.project.as_str()), (api, project), "{url}");
        }
        for url in ["https://git.example/acme/fleet.git", "/srv/fleet.git", "file:///srv/fleet.git"] {
            assert!(ForgeConfig::of(url, None).is_none(), "{url}");
        }
        assert!(ForgeConfig::of("https://github.com/fleet.git", None).is_none());
    }
}
