//! A made-up fleet of any size, as text: for benchmarks and tests of scale.
//!
//! The same shape gives the same bytes on every machine: no clock, no randomness but a seed. The documents look like those
//! of a plant: devices with tags and a twin, one base per site, layers by ring, hardware and feature, and, when there are
//! more deployments than those, one layer of its own per device. Not here: what Hemline makes of them.

mod deployment;
mod device;
mod random;

use std::{fs, io, path::Path};

use random::Random;

/// Sites at most; each has one base deployment.
const SITES: [&str; 20] = [
    "lyon", "turin", "graz", "leeds", "porto", "gdansk", "malmo", "basel", "bilbao", "ghent", "brno", "cork",
    "aarhus", "essen", "nantes", "parma", "tampere", "utrecht", "varna", "zadar",
];
/// Shared layers at most; deployments beyond belong to one device each.
const SHARED: usize = 40;
/// Devices in one file.
const DEVICES_PER_FILE: usize = 100;

/// How large a fleet, and how much is different or wrong in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// `Device` documents.
    pub devices: usize,
    /// `EdgeDeployment` documents, about 3.9 KB each.
    pub deployments: usize,
    /// Devices that the second revision changes: by their own layer where they have one, else by their document.
    pub changed: usize,
    /// Deployments with a mistake.
    pub bad: usize,
    /// Another seed gives another fleet of the same shape.
    pub seed: u64,
}

/// Which of the two revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// The first.
    Before,
    /// The one with the changes.
    After,
}

/// One file: its path below the folder of the corpus, and its text.
pub type File = (String, String);

impl Shape {
    /// All files of a revision, in order of their paths.
    #[must_use]
    pub fn files(&self, revision: Revision) -> Vec<File> {
        let mut files: Vec<File> =
            (0..self.deployments).map(|index| self.deployment(index, revision)).collect();
        let mut first = 0;
        while first < self.devices {
            let end = self.devices.min(first + DEVICES_PER_FILE);
            let texts = (first..end).map(|index| device::text(self, index, revision));
            let text = texts.collect::<Vec<_>>().join("---\n");
            files.push((format!("devices/{:04}.yaml", first / DEVICES_PER_FILE), text));
            first = end;
        }
        files.sort();
        files
    }

    /// Writes the files of a revision below a folder, and says how many bytes they have.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, revision: Revision, folder: &Path) -> io::Result<usize> {
        let mut bytes = 0;
        for (path, text) in self.files(revision) {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            bytes += text.len();
            fs::write(path, text)?;
        }
        Ok(bytes)
    }

    fn bases(&self) -> usize {
        (self.deployments / 5).clamp(1, SITES.len()).min(self.deployments)
    }

    /// Layers that select many devices.
    fn shared(&self) -> usize {
        (self.deployments - self.bases()).min(SHARED)
    }

    /// Layers of one device each.
    fn own(&self) -> usize {
        self.deployments - self.bases() - self.shared()
    }

    fn site_of(&self, device: usize) -> &'static str {
        SITES[device % self.bases().max(1)]
    }

    fn deployment(&self, index: usize, revision: Revision) -> File {
        let (bases, shared) = (self.bases(), self.shared());
        let mistake = self.mistake(index);
        if index < bases {
            let text = deployment::base(self, index, mistake);
            return (format!("deployments/base/{}.yaml", SITES[index]), text);
        }
        if index < bases + shared {
            let text = deployment::shared(self, index - bases, mistake);
            return (format!("deployments/layers/{:03}.yaml", index - bases), text);
        }
        let own = index - bases - shared;
        let text = deployment::own(self, own, self.is_changed(own, revision), mistake);
        (format!("deployments/own/{}.yaml", device::name(own)), text)
    }

    /// Bad deployments are spread evenly, and each has another mistake than the one before.
    fn mistake(&self, index: usize) -> Option<usize> {
        spread(index, self.bad, self.deployments)
    }

    fn is_changed(&self, device: usize, revision: Revision) -> Option<usize> {
        match revision {
            Revision::Before => None,
            Revision::After => spread(device, self.changed, self.devices.max(self.own())),
        }
    }

    fn random(&self, kind: u64, index: usize) -> Random {
        Random::new(self.seed, kind, index as u64)
    }
}

/// `Some(n)` when the item is the n-th of `some` that are spread evenly over `all`.
fn spread(index: usize, some: usize, all: usize) -> Option<usize> {
    if all == 0 {
        return None;
    }
    let before = index * some / all;
    ((index + 1) * some / all > before).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::{Revision, Shape};

    const SHAPE: Shape = Shape { devices: 200, deployments: 100, changed: 20, bad: 10, seed: 7 };

    #[test]
    fn the_same_shape_gives_the_same_bytes_and_another_seed_others() {
        assert_eq!(SHAPE.files(Revision::Before), SHAPE.files(Revision::Before));
        assert_ne!(SHAPE.files(Revision::Before), Shape { seed: 8, ..SHAPE }.files(Revision::Before));
    }

    #[test]
    fn as_much_is_changed_and_wrong_as_the_shape_says() {
        let (before, after) = (SHAPE.files(Revision::Before), SHAPE.files(Revision::After));
        let names = |files: &[super::File]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after));
        let lines = |files: &[super::File]| -> Vec<String> {
            files.iter().flat_map(|(_, text)| text.lines().map(str::to_owned)).collect()
        };
        let (old, new) = (lines(&before), lines(&after));
        assert_eq!(old.len(), new.len());
        assert_eq!(old.iter().zip(&new).filter(|(old, new)| old != new).count(), 20);
        let good = lines(&Shape { bad: 0, ..SHAPE }.files(Revision::Before));
        assert_eq!(old.len(), good.len());
        assert_eq!(old.iter().zip(&good).filter(|(bad, good)| bad != good).count(), 10);
    }

    #[test]
    fn two_thousand_manifests_are_about_eight_megabytes() {
        let shape = Shape { devices: 0, deployments: 2000, changed: 0, bad: 0, seed: 1 };
        let bytes: usize = shape.files(Revision::Before).iter().map(|(_, text)| text.len()).sum();
        assert!((7_700_000..8_100_000).contains(&bytes), "{bytes}");
    }
}
