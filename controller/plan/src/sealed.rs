//! A plan that may be carried out later, and only if nothing moved meanwhile: `hem plan --out`, `hem apply --plan`.
//!
//! The file holds digests of everything the plan was made from, and no value that the plan itself masks. It proves nothing
//! about who made it; it says exactly what was looked at, so that something else is noticed.

use std::collections::BTreeMap;

use hemline_model::{document::API_VERSION, id::DeviceId, twin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{FleetState, Plan, PlanDocument, Policy, Review, names::some_names, print::count};

/// The kind of the document.
pub const SEALED_KIND: &str = "SealedPlan";
/// Devices that a refusal names.
const NAMED_AT_MOST: usize = 5;

/// A plan with digests of all that it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(
    title = "SealedPlan",
    description = "A plan with digests of all that it was made from, as `hem plan --out` writes it."
)]
pub struct SealedPlan {
    /// `hemline.dev/v1alpha1`.
    pub api_version: String,
    /// `SealedPlan`.
    pub kind: String,
    /// The folder of documents, as it was typed.
    pub folder: String,
    /// Where the change starts; absent when it starts from what was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<SealedSide>,
    /// Where it leads.
    pub head: SealedSide,
    /// Digest of what the hub held, for every device that the plan looked at; absent when no hub was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub facts: Option<BTreeMap<DeviceId, String>>,
    /// Digest of what would be done, whatever the reasons.
    pub work: String,
    /// What it was judged by, and is judged by again.
    pub policy: Policy,
    /// The plan, for people and programs.
    pub plan: PlanDocument,
    /// `sha256:…` over everything above.
    pub seal: String,
}

/// One side of a sealed plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedSide {
    /// The revision as it was typed, such as `origin/main`; absent for documents on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// What it stood for.
    pub revision: String,
    /// Digest of what the files hold.
    pub digest: String,
}

/// What a sealed plan is made of.
#[derive(Debug, Clone)]
pub struct Sealing<'a> {
    /// The folder of documents, as it was typed.
    pub folder: String,
    /// Where the change starts.
    pub base: Option<SealedSide>,
    /// Where it leads.
    pub head: SealedSide,
    /// What the hub holds, when it was asked.
    pub state: Option<&'a FleetState>,
    /// The plan and all that was said about it.
    pub review: &'a Review,
}

impl SealedPlan {
    /// Seals.
    #[must_use]
    pub fn new(sealing: &Sealing<'_>) -> Self {
        let Sealing { folder, base, head, state, review } = sealing;
        let mut sealed = Self {
            api_version: API_VERSION.to_owned(),
            kind: SEALED_KIND.to_owned(),
            folder: folder.clone(),
            base: base.clone(),
            head: head.clone(),
            facts: state.map(|state| facts(state, &review.plan)),
            work: review.plan.work(),
            policy: review.verdict.policy.clone(),
            plan: review.document(),
            seal: String::new(),
        };
        sealed.seal = sealed.digest();
        sealed
    }

    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says why it is none, or that somebody changed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let sealed: Self =
            serde_json::from_str(text).map_err(|error| format!("not a sealed plan: {error}"))?;
        if sealed.api_version != API_VERSION || sealed.kind != SEALED_KIND {
            return Err(format!("not a sealed plan: it says {:?} {:?}", sealed.api_version, sealed.kind));
        }
        if sealed.seal != sealed.digest() {
            return Err("the file was changed after it was sealed; plan again".to_owned());
        }
        Ok(sealed)
    }

    /// What is not as it was when the plan was sealed, a sentence each; empty when it may be carried out. `now` is sealed
    /// from the same folder and revisions at this moment.
    #[must_use]
    pub fn moved(&self, now: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        match (&self.base, &now.base) {
            (Some(was), Some(is)) => side("base", was, is, &mut moved),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => moved.push("base: one of the plans has none".to_owned()),
        }
        side("head", &self.head, &now.head, &mut moved);
        if let (Some(was), Some(is)) = (&self.facts, &now.facts) {
            let differs = |id: &&DeviceId| was.get(*id) != is.get(*id);
            let all: std::collections::BTreeSet<&DeviceId> = was.keys().chain(is.keys()).collect();
            let devices: Vec<&DeviceId> = all.into_iter().filter(differs).collect();
            if !devices.is_empty() {
                let where_ = if devices.len() > NAMED_AT_MOST {
                    format!("{} ({})", count(devices.len(), "device"), some_names(&devices))
                } else {
                    devices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                };
                moved.push(format!("hub: identity, tags or desired properties changed on {where_}"));
            }
        }
        if self.work != now.work {
            moved.push(format!("plan: {}", difference(&self.plan.plan, &now.plan.plan)));
        }
        moved
    }

    fn digest(&self) -> String {
        let bare = Self { seal: String::new(), ..self.clone() };
        let value = serde_json::to_value(&bare).unwrap_or_default();
        format!("sha256:{:x}", Sha256::digest(twin::canonical(&value)))
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        hemline_model::schema::pretty(&serde_json::to_value(self).unwrap_or_default())
    }
}

/// Digests of the devices that the documents name; others are nobody's business here.
fn facts(state: &FleetState, plan: &Plan) -> BTreeMap<DeviceId, String> {
    let planned = |id: &DeviceId| plan.devices.iter().any(|device| device.device == *id);
    let ours = state.devices.iter().filter(|(id, device)| !device.foreign || planned(id));
    ours.filter_map(|(id, _)| Some((id.clone(), state.facts(id)?))).collect()
}

fn side(name: &str, was: &SealedSide, is: &SealedSide, moved: &mut Vec<String>) {
    if was.revision == is.revision && was.digest == is.digest {
        return;
    }
    let given = was.given.as_ref().map(|given| format!("{given} ")).unwrap_or_default();
    if was.revision == is.revision {
        moved.push(format!("{name}: the documents of {given}{} are others", is.revision));
    } else if was.digest == is.digest {
        moved.push(format!(
            "{name}: {given}is {} now, not {}; its documents are the same",
            is.revision, was.revision
        ));
    } else {
        moved.push(format!("{name}: {given}is {} now, not {}", is.revision, was.revision));
    }
}

/// Where two plans part.
fn difference(was: &Plan, is: &Plan) -> String {
    let devices = |plan: &Plan| -> BTreeMap<DeviceId, String> {
        let each = plan.devices.iter();
        each.map(|device| (device.device.clone(), device.work())).collect()
    };
    let (was, is) = (devices(was), devices(is));
    let all: std::collections::BTreeSet<&DeviceId> = was.keys().chain(is.keys()).collect();
    let parted: Vec<&DeviceId> = all.into_iter().filter(|id| was.get(*id) != is.get(*id)).collect();
    match parted.as_slice() {
        [] => "the order of what would be done is another".to_owned(),
        [one] => format!("something else would be done on {one}"),
        many => {
            format!("something else would be done on {} ({})", count(many.len(), "device"), some_names(many))
        }
    }
}
