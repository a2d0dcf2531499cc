//! A file system of one's own, as large as it is told, for tests of what happens when it is full. Needs the right to mount.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A small disk; unmounted when it goes out of scope.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one on this folder, which is made if it is not there; `size` as in `2m`. `None` without the right to mount.
    #[must_use]
    pub fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).ok()?;
        let disk = Self(folder.to_owned());
        disk.asked(&format!("size={size}")).then_some(disk)
    }

    /// Makes it larger or smaller; what is on it stays.
    #[must_use]
    pub fn resize(&self, size: &str) -> bool {
        self.asked(&format!("remount,size={size}"))
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Fills what is left of it with a file of this name, which is to be removed again to make room.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn fill(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = File::create(&path)?;
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(path)
    }

    fn asked(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0);
        command.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}
