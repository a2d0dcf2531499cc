//! The `Device` documents of a made-up fleet.

use super::{Revision, Shape};

/// Rings, from the first to get a change to the last.
pub(super) const RINGS: [&str; 3] = ["canary", "early", "broad"];
/// What the devices are.
pub(super) const HARDWARE: [&str; 4] = ["ipc-427", "nuc-12", "cm4", "agx-orin"];

/// The name of a device's document.
pub(super) fn name(index: usize) -> String {
    format!("press-{index:06}")
}

/// One document, about 330 bytes.
pub(super) fn text(shape: &Shape, index: usize, revision: Revision) -> String {
    let mut random = shape.random(1, index);
    // A device with a layer of its own is changed there.
    let changed = if index < shape.own() { None } else { shape.is_changed(index, revision) };
    let ring = match random.below(50) {
        0 => RINGS[0],
        1..=9 => RINGS[1],
        _ => RINGS[2],
    };
    let hardware = random.one_of(&HARDWARE);
    let line = random.below(8);
    let floor = random.below(4);
    let serial = random.below(100_000_000);
    let interval = 5 * (1 + random.below(12));
    let interval = if changed.is_some() { interval + 1 } else { interval };
    let limit = 60 + random.below(30);
    let site = shape.site_of(index);
    let name = name(index);
    format!(
        "apiVersion: hemline.dev/v1alpha1
kind: Device
metadata:
  name: {name}
spec:
  edge: true
  tags:
    site: {site}
    line: '{line}'
    ring: {ring}
    hardware: {hardware}
    serial: SN-{serial:08}
    location: {{building: B{floor}{line}, floor: {floor}}}
  desired:
    telemetryInterval: {interval}
    thresholds: {{temperature: {limit}, vibration: 0.{limit}}}
"
    )
}
