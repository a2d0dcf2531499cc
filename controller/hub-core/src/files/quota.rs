//! How much may lie on the disk, and how much does.

use std::collections::BTreeMap;

use hemline_model::id::DeviceId;

use super::FileError;

/// Every segment and every record of a file counts at least this much, however short it is: so the bounds on bytes bound
/// numbers and memory too.
const SMALLEST: u64 = 64 << 10;

/// Bounds of uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Uploads that one device may have open (reference device-protocol §8.4).
    pub uploads: usize,
    /// Seconds that an upload may stay open (reference device-protocol §8.4).
    pub open_seconds: i64,
    /// Bytes of one file, blocks that are put for it included.
    pub file_bytes: u64,
    /// Blocks of one file.
    pub blocks: usize,
    /// Bytes of one device, open uploads included.
    pub device_bytes: u64,
    /// Bytes of all devices together.
    pub total_bytes: u64,
    /// Bytes of the disk that stay free for everything else: the hub stops when its own store finds no room.
    pub spare_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            uploads: 10,
            open_seconds: 3_600,
            file_bytes: 1 << 30,
            blocks: 10_000,
            device_bytes: 4 << 30,
            total_bytes: 64 << 30,
            spare_bytes: 256 << 20,
        }
    }
}

/// What room there is for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that it takes.
    pub used: u64,
    /// Bytes that it may take.
    pub most: u64,
}

/// What is taken, finished or under way.
#[derive(Debug, Default)]
pub(super) struct Quota {
    devices: BTreeMap<DeviceId, u64>,
    total: u64,
    /// Of it not on the disk yet.
    unwritten: u64,
}

impl Quota {
    pub(super) fn check(
        &self,
        bounds: &Bounds,
        device: &DeviceId,
        bytes: u64,
        free: u64,
    ) -> Result<(), FileError> {
        let cost = cost(bytes);
        let used = self.devices.get(device).copied().unwrap_or_default();
        if used.saturating_add(cost) > bounds.device_bytes {
            return Err(FileError::DeviceFull(Room { used, most: bounds.device_bytes }));
        }
        let over = self.total.saturating_add(cost) > bounds.total_bytes;
        let wanted = cost.saturating_add(self.unwritten).saturating_add(bounds.spare_bytes);
        if over || wanted > free { Err(FileError::DiskFull) } else { Ok(()) }
    }

    /// May a device have one more file?
    pub(super) fn check_record(&self, bounds: &Bounds, device: &DeviceId) -> Result<(), FileError> {
        self.check(&Bounds { spare_bytes: 0, ..bounds.clone() }, device, 0, u64::MAX)
    }

    pub(super) fn take(&mut self, device: &DeviceId, bytes: u64) {
        *self.devices.entry(device.clone()).or_default() += cost(bytes);
        self.total += cost(bytes);
    }

    pub(super) fn give_back(&mut self, device: &DeviceId, bytes: u64) {
        if let Some(used) = self.devices.get_mut(device) {
            *used = used.saturating_sub(cost(bytes));
            if *used == 0 {
                self.devices.remove(device);
            }
        }
        self.total = self.total.saturating_sub(cost(bytes));
    }

    pub(super) fn writing(&mut self, bytes: u64) {
        self.unwritten += cost(bytes);
    }

    pub(super) fn written(&mut self, bytes: u64) {
        self.unwritten = self.unwritten.saturating_sub(cost(bytes));
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

fn cost(bytes: u64) -> u64 {
    bytes.max(SMALLEST)
}
