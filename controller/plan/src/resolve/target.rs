//! Which deployments select a device: conditions against the twin as the documents and the device itself describe it.
//!
//! Most conditions ask for one id or one tag. Those are looked up, so that a fleet where each device has a deployment of its
//! own does not cost the product of both numbers.

use std::collections::HashMap;

use hemline_model::{DeviceDoc, id::ModuleId};
use hemline_query::target::{DeviceTwin, TargetCondition};
use serde_json::{Map, Value, json};

use super::{Facts, layer::Layer};

/// All deployments, by what their conditions ask for.
pub(super) struct Targets<'a> {
    layers: &'a [Layer<'a>],
    /// Places of the layers that every device is held against.
    others: Vec<usize>,
    by_id: ByText<'a>,
    by_tag: Vec<(Vec<&'a str>, ByText<'a>)>,
}

type ByText<'a> = HashMap<&'a str, Vec<Candidate>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    place: usize,
    /// What was looked up is all that the condition asks for.
    sure: bool,
}

impl<'a> Targets<'a> {
    pub(super) fn new(layers: &'a [Layer<'a>]) -> Self {
        let mut targets = Self { layers, others: Vec::new(), by_id: HashMap::new(), by_tag: Vec::new() };
        for (place, layer) in layers.iter().enumerate() {
            let Some(need) = layer.deployment.spec.condition.needs() else {
                targets.others.push(place);
                continue;
            };
            let candidate = Candidate { place, sure: need.enough };
            match need.path.as_slice() {
                ["deviceId"] => targets.by_id.entry(need.text).or_default().push(candidate),
                ["tags", tag @ ..] if !tag.is_empty() => {
                    targets.of_tag(tag).entry(need.text).or_default().push(candidate);
                }
                _ => targets.others.push(place),
            }
        }
        targets
    }

    fn of_tag(&mut self, tag: &[&'a str]) -> &mut ByText<'a> {
        let found = self.by_tag.iter().position(|(path, _)| path == tag);
        let place = found.unwrap_or_else(|| {
            self.by_tag.push((tag.to_vec(), HashMap::new()));
            self.by_tag.len() - 1
        });
        &mut self.by_tag[place].1
    }

    /// Places of the deployments whose condition selects the device, in order.
    pub(super) fn matching(&self, device: &DeviceDoc, facts: &Facts) -> Vec<usize> {
        let mut candidates: Vec<Candidate> =
            self.others.iter().map(|place| Candidate { place: *place, sure: false }).collect();
        candidates.extend(self.by_id.get(device.id.as_str()).into_iter().flatten());
        for (path, by_text) in &self.by_tag {
            if let Some(text) = tag(device, path) {
                candidates.extend(by_text.get(text).into_iter().flatten());
            }
        }
        candidates.sort_unstable();
        let twin = twin_of(device, facts);
        candidates.retain(|candidate| {
            candidate.sure
                || self
                    .layers
                    .get(candidate.place)
                    .is_some_and(|layer| layer.deployment.spec.condition.matches_device(twin))
        });
        candidates.into_iter().map(|candidate| candidate.place).collect()
    }
}

fn tag<'d>(device: &'d DeviceDoc, path: &[&str]) -> Option<&'d str> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(device.spec.tags.get(*first)?, |value, name| value.as_object()?.get(*name))?.as_str()
}

/// Those of a list whose condition selects the device.
pub(super) fn selecting<'a, T>(
    device: &DeviceDoc,
    facts: &Facts,
    all: &'a [T],
    condition: impl Fn(&T) -> &TargetCondition,
) -> Vec<&'a T> {
    let twin = twin_of(device, facts);
    all.iter().filter(|one| condition(one).matches_device(twin)).collect()
}

/// The twin of a module as a target condition sees it. Documents give it no tags.
pub(super) fn module_twin_of(
    device: &DeviceDoc,
    module: &ModuleId,
    desired: &Map<String, Value>,
    facts: &Facts,
) -> Value {
    let reported = facts.modules.get(&device.id).and_then(|modules| modules.get(module)).cloned();
    json!({
        "deviceId": device.id.as_str(),
        "moduleId": module.as_str(),
        "properties": {"desired": desired, "reported": reported.unwrap_or_else(|| Value::Object(Map::new()))},
    })
}

/// The device twin as a target condition sees it. Tags are those of the document: what it says is what will be there.
pub(crate) fn twin_of<'a>(device: &'a DeviceDoc, facts: &'a Facts) -> DeviceTwin<'a> {
    DeviceTwin {
        device_id: device.id.as_str(),
        enabled: device.spec.enabled,
        edge: device.spec.edge,
        tags: &device.spec.tags,
        desired: &device.spec.desired,
        reported: facts.reported.get(&device.id),
    }
}
