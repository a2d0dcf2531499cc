//! Where the engine's socket is.

use std::path::PathBuf;

const USUAL: &[&str] = &["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock"];

/// The configured socket, or `DOCKER_HOST`, or the first of the usual places that exists.
///
/// # Errors
/// In words, when there is none.
pub(super) fn find(configured: Option<&str>) -> Result<PathBuf, String> {
    let named = configured.map(str::to_owned).or_else(|| std::env::var("DOCKER_HOST").ok());
    if let Some(named) = named {
        let path = named.strip_prefix("unix://").unwrap_or(&named);
        if !path.starts_with('/') {
            return Err(format!("{named} is not a unix socket; name one as unix:///path"));
        }
        let path = PathBuf::from(path);
        return if path.exists() { Ok(path) } else { Err(format!("there is no socket {}", path.display())) };
    }
    let rootless =
        std::env::var("XDG_RUNTIME_DIR").ok().map(|dir| PathBuf::from(dir).join("podman/podman.sock"));
    let mut places = USUAL.iter().map(PathBuf::from).chain(rootless);
    places.find(|path| path.exists()).ok_or_else(|| {
        "no socket of Docker or Podman found; start one, or name its socket with DOCKER_HOST".to_owned()
    })
}
