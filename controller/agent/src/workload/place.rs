//! Where workload sockets are: in the data folder when the path is short enough for a socket, else under a short one.
//!
//! The place is a function of the data folder, so that a restarted agent finds its modules' sockets where they look.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

/// Longest socket path: sun_path has 108 bytes, and some clients count badly.
const LONGEST: usize = 100;

/// Room for a module's part: `/` + twelve hex digits + `/workload.sock`.
const MODULE_PART: usize = 28;

/// A folder of this user alone that holds one folder per module.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Chooses and makes the folder for a data folder.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to somebody else.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path =
            choose(&std::path::absolute(data_dir)?, std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let found = fs::symlink_metadata(&path)?;
        // In a shared /tmp somebody else may have been faster.
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            let message = format!("{} belongs to another user; remove it", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(Self { path })
    }

    /// Path of a module's socket: never longer than a socket's path may be.
    #[must_use]
    pub fn socket(&self, module: &str) -> PathBuf {
        let plain = module.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        let named = self.path.join(module).join("workload.sock");
        if plain && !module.is_empty() && named.as_os_str().len() <= LONGEST {
            return named;
        }
        self.path.join(short_hash(module.as_bytes())).join("workload.sock")
    }
}

fn choose(data_dir: &Path, runtime_dir: Option<PathBuf>) -> PathBuf {
    let own = data_dir.join("run");
    // A colon would end the host part of a bind mount.
    let fits = |path: &Path| {
        path.as_os_str().len() + MODULE_PART <= LONGEST
            && !path.as_os_str().as_encoded_bytes().contains(&b':')
    };
    if fits(&own) {
        return own;
    }
    let name = format!("hem-{}", short_hash(data_dir.as_os_str().as_encoded_bytes()));
    let short = runtime_dir.filter(|dir| dir.is_dir()).map(|dir| dir.join(&name)).filter(|path| fits(path));
    short.unwrap_or_else(|| Path::new("/tmp").join(name))
}

fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_data_folders_get_a_short_place() {
        let long = PathBuf::from(format!("/srv/{}", "x".repeat(90)));
        assert_eq!(choose(Path::new("/srv/hem"), None), Path::new("/srv/hem/run"));
        assert!(choose(&long, None).starts_with("/tmp"));
        assert_eq!(choose(&long, None), choose(&long, None));
        assert_ne!(choose(&long, None), choose(&long.join("y"), None));
        assert!(choose(&long, Some("/proc/self".into())).starts_with("/proc/self"));
        assert!(choose(Path::new("/srv/a:b"), None).starts_with("/tmp"));
    }

    #[test]
    fn no_socket_path_is_too_long() {
        for folder in [format!("/srv/{}", "x".repeat(62)), "/tmp/hem-0123456789ab".to_owned()] {
            let place = RunDir { path: folder.into() };
            for module in ["sensor", &"m".repeat(128), "a/../b", "a:b", ""] {
                let socket = place.socket(module);
                assert!(socket.as_os_str().len() <= LONGEST, "{}", socket.display());
                assert!(socket.starts_with(&place.path) && !socket.to_string_lossy().contains(".."));
            }
        }
    }
}
