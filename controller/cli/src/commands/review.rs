//! From what was typed to a reviewed plan: reads documents and state, resolves, plans, forecasts, judges. `plan` prints
//! it, `apply` carries it out; both see the same.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hemline_model::{Finding, Fleet, Known, Loaded, SourceFile, id::DeviceId};
use hemline_plan::{
    Facts, FleetState, Forecast, Judged, Observed, Plan, Policy, Resolution, Review, Scene, SealedPlan,
    SealedSide, Sealing, Side as Documents, StateSight, judge, judge_knowing, plan, resolve, three_way,
};
use hemline_sources::{Note, Snapshot, SourceError};
use reqwest::Method;
use serde_json::Value;

use super::documents;
use crate::{args::Args, client::HubClient, error::CommandError};

/// A state larger than this is no state.
const STATE_AT_MOST: u64 = 256 << 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// Folder of documents.
    pub(crate) folder: &'a Path,
    /// Where the change starts, as typed.
    pub(crate) base: Option<&'a str>,
    /// Where it leads, as typed; without it the documents on disk.
    pub(crate) head: Option<&'a str>,
    /// What the hub is known to hold.
    pub(crate) state: StateFrom<'a>,
    /// What is not allowed.
    pub(crate) policy: Policy,
}

/// Where the state of the fleet comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateFrom<'a> {
    /// Nobody is asked: the plan leads from documents to documents.
    Nobody,
    /// A file, a status branch, or `REV:path` of the repository around the documents.
    File(&'a str),
    /// The running hub.
    Hub,
}

/// A reviewed plan and what it was made from.
#[derive(Debug)]
pub(crate) struct Reviewed {
    pub(crate) review: Review,
    pub(crate) sealed: SealedPlan,
    /// The documents that the hub was last brought to, where it was asked.
    pub(crate) applied: Option<hemline_plan::Documents>,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// There is a plan.
    Plan(Box<Reviewed>),
    /// The documents are not usable; they have been shown.
    Broken(Vec<Finding>),
}

/// One side of the comparison.
struct Side {
    sealed: SealedSide,
    label: String,
    /// Gone when they were read: documents keep their own text.
    files: Vec<SourceFile>,
    notes: Vec<Note>,
}

impl Side {
    fn new(given: Option<String>, snapshot: Snapshot) -> Self {
        let Snapshot { revision, files, notes, .. } = snapshot;
        let digest = hemline_sources::contents(&files);
        let label = revision.short().to_owned();
        Self { sealed: SealedSide { given, revision: revision.to_string(), digest }, label, files, notes }
    }
}

/// Does it all.
pub(crate) async fn review(args: &Args, request: &Request<'_>) -> Result<Outcome, CommandError> {
    let state = state(args, request).await?;
    let (mut before, mut after) = match request.base {
        Some(base) => {
            let (before, after) = revisions(request, base)?;
            (Some(before), after)
        }
        // What a hub works towards is only a guess at what it holds, where nobody says what it holds.
        None if state.is_some() => (None, head(request)?),
        None => (in_force(args), head(request)?),
    };
    let base = before.as_mut().map(|side| resolved(side, &Facts::default()).unwrap_or_default());
    let facts = state.as_ref().map(reported).unwrap_or_default();
    let (resolved, findings) = judged(&mut after, base.as_ref(), &facts);
    let Some((fleet, head)) = resolved else { return Ok(Outcome::Broken(findings)) };

    let base_resolution = base.as_ref().map(|base| &base.resolution);
    let mut notes = Vec::new();
    let (planned, observed) = match &state {
        Some(state) => {
            let hints: Vec<&Resolution> = base_resolution.into_iter().chain([&head]).collect();
            let waits = state.waiting.as_ref().is_some_and(|waiting| waiting.digest == after.sealed.digest);
            let sight = if waits { state.sight_of_waiting(&hints) } else { state.sight(&hints) };
            notes = said_of(state, &sight, before.as_ref());
            (three_way(&head, base_resolution, &sight, &times(state)), Some(sight.observed))
        }
        None => (plan(&head, base_resolution, None), None),
    };
    let base_label = match (&before, &state) {
        (Some(side), _) => Some(side.label.clone()),
        (None, Some(state)) => state.applied.as_ref().map(|applied| short(&applied.revision)),
        (None, None) => None,
    };
    // A reader wants to see what moved between deployments, also where only the applied revision's name is known.
    let planned = planned.between(base_label, Some(after.label.clone()));
    let sides = (base.as_ref().map(|base| (&base.fleet, &base.resolution)), &fleet, &head);
    let review = finish(planned, sides, observed.as_ref(), (findings, notes), &request.policy);
    let base_side = before.as_ref().map(|side| side.sealed.clone()).or_else(|| {
        let applied = state.as_ref()?.applied.as_ref()?;
        Some(SealedSide { given: None, revision: applied.revision.clone(), digest: applied.digest.clone() })
    });
    let sealed = SealedPlan::new(&Sealing {
        folder: request.folder.display().to_string(),
        base: base_side,
        head: after.sealed.clone(),
        state: state.as_ref(),
        review: &review,
    });
    let applied = state.and_then(|state| state.applied);
    // The process ends with its command; to take a large fleet apart piece by piece would only keep somebody waiting.
    std::mem::forget((base, fleet, head));
    Ok(Outcome::Plan(Box::new(Reviewed { review, sealed, applied })))
}

fn finish(
    plan: Plan,
    (base, fleet, head): (Option<(&Fleet, &Resolution)>, &Fleet, &Resolution),
    observed: Option<&Observed>,
    (findings, notes): (Vec<Finding>, Vec<String>),
    policy: &Policy,
) -> Review {
    let scene = Scene {
        before: base.map(|(fleet, resolution)| Documents { fleet, resolution }),
        after: Documents { fleet, resolution: head },
        observed,
    };
    let forecast = Forecast::new(&plan, &scene);
    Review { verdict: policy.judge(&plan, &forecast), plan, forecast, findings, notes }
}

/// What a reader must know about the state that a plan was made with.
fn said_of(state: &FleetState, sight: &StateSight, before: Option<&Side>) -> Vec<String> {
    let mut notes = Vec::new();
    match (&state.applied, before) {
        (None, _) => notes.push("the hub was not brought to any documents completely yet".to_owned()),
        (Some(applied), Some(base)) if applied.digest != base.sealed.digest => notes.push(format!(
            "the hub was last brought to {}, not to the base {}",
            short(&applied.revision),
            base.label
        )),
        (Some(_), _) => {}
    }
    if let Some(waiting) = &state.waiting {
        notes.push(format!("revision {} waits for `hem apply`", short(&waiting.revision)));
    }
    if sight.unknown > 0 {
        let values = documents::plural(sight.unknown, "masked value");
        let are = if sight.unknown == 1 { "is" } else { "are" };
        notes.push(format!("{values} of the state {are} unknown here and taken as unchanged"));
    }
    notes
}

/// What a hub with this data directory works towards.
fn in_force(args: &Args) -> Option<Side> {
    let snapshot = hemline_reconcile::documents_in_force(&args.data_dir.join("last-good"))?;
    Some(Side::new(None, snapshot))
}

fn head(request: &Request<'_>) -> Result<Side, CommandError> {
    let Some(head) = request.head else { return on_disk(request.folder) };
    let place = hemline_sources::locate(request.folder).map_err(git)?;
    at(&place, head, head)
}

fn on_disk(folder: &Path) -> Result<Side, CommandError> {
    let (files, notes) = documents::read_noted(&[PathBuf::from(folder)])?;
    let revision = hemline_sources::digest(&files);
    Ok(Side::new(None, Snapshot { revision, files, message: None, notes }))
}

fn revisions(request: &Request<'_>, base: &str) -> Result<(Side, Side), CommandError> {
    let place = hemline_sources::locate(request.folder).map_err(git)?;
    match request.head {
        Some(head) => {
            // What the base branch gained meanwhile is not part of this change.
            let fork = hemline_sources::merge_base(&place.repository, base, head).map_err(git)?;
            Ok((at(&place, fork.as_str(), base)?, at(&place, head, head)?))
        }
        None => Ok((at(&place, base, base)?, on_disk(request.folder)?)),
    }
}

fn at(place: &hemline_sources::Located, revision: &str, given: &str) -> Result<Side, CommandError> {
    let snapshot = hemline_sources::read_revision(&place.repository, revision, &place.folder).map_err(git)?;
    Ok(Side::new(Some(given.to_owned()), snapshot))
}

fn git(error: SourceError) -> CommandError {
    CommandError::part("Git", error)
}

/// Shows findings and returns them; no resolution when one is an error.
fn judged(
    side: &mut Side,
    base: Option<&Base>,
    facts: &Facts,
) -> (Option<(Fleet, Resolution)>, Vec<Finding>) {
    let files = std::mem::take(&mut side.files);
    let judged = match base {
        Some(Base { fleet, findings, resolution }) => {
            let known = Known::of(fleet, findings);
            judge_knowing(hemline_model::load_knowing(&files, &known), facts, resolution)
        }
        None => judge(hemline_model::load(&files), facts),
    };
    let Judged { usable, findings: judged } = judged;
    let mut findings: Vec<Finding> = side.notes.iter().map(Note::finding).collect();
    findings.extend(judged);
    documents::show(&findings);
    (usable, findings)
}

/// The documents that a change starts from.
#[derive(Default)]
struct Base {
    fleet: Fleet,
    /// About its documents, one by one.
    findings: Vec<Finding>,
    resolution: Resolution,
}

/// What is wrong with the base is history: its errors only mean that everything counts as new.
fn resolved(side: &mut Side, facts: &Facts) -> Option<Base> {
    let Loaded { fleet, findings, .. } = hemline_model::load(&std::mem::take(&mut side.files));
    let fleet = fleet?;
    let resolution = resolve(&fleet, facts);
    Some(Base { fleet, findings, resolution })
}

async fn state(args: &Args, request: &Request<'_>) -> Result<Option<FleetState>, CommandError> {
    match request.state {
        StateFrom::Nobody => Ok(None),
        StateFrom::Hub => Ok(Some(of_hub(&HubClient::find(args)?).await?)),
        StateFrom::File(place) => {
            let bytes = state_file(request.folder, place)?;
            let wrong = |what: String| CommandError::Usage(format!("--state {place}: {what}"));
            let text = String::from_utf8(bytes).map_err(|_| wrong("not UTF-8".to_owned()))?;
            FleetState::parse(&text).map(Some).map_err(wrong)
        }
    }
}

/// The state that a running hub tells.
pub(crate) async fn of_hub(hub: &HubClient) -> Result<FleetState, CommandError> {
    let found = hub.call(Method::GET, &["api", "v1", "state"], None).await?;
    FleetState::parse(&found.to_string())
        .map_err(|what| CommandError::BadAnswer { url: hub.host().to_owned(), what })
}

/// What a status branch calls its state.
const STATE: &str = "state.json";

/// A file when there is one of that name, else `REV:path`, else the state on a status branch of that name, here or as
/// fetched from `origin`.
fn state_file(folder: &Path, place: &str) -> Result<Vec<u8>, CommandError> {
    let path = Path::new(place);
    if path.exists() {
        return documents::read_file(path, STATE_AT_MOST);
    }
    let located = match hemline_sources::locate(folder) {
        Ok(located) => located,
        // Without a repository it can only have been a file.
        Err(_) if !place.contains(':') => return documents::read_file(path, STATE_AT_MOST),
        Err(error) => return Err(git(error)),
    };
    let read = |revision: &str, file: &str| {
        hemline_sources::read_file(&located.repository, revision, file, STATE_AT_MOST)
    };
    match place.split_once(':') {
        Some((revision, file)) if !revision.is_empty() && !file.is_empty() => {
            read(revision, file).map_err(git)
        }
        _ => match (read(place, STATE), read(&format!("origin/{place}"), STATE)) {
            (Ok(found), _) | (Err(_), Ok(found)) => Ok(found),
            // A name that ends so was meant as a file.
            (Err(_), Err(_)) if place.ends_with(".json") => documents::read_file(path, STATE_AT_MOST),
            (Err(error @ SourceError::NoFile { .. }), _) | (Err(_), Err(error)) => Err(git(error)),
        },
    }
}

/// What target conditions may know. Only where the state was made to answer: else it is better to know that one does not.
fn reported(state: &FleetState) -> Facts {
    if state.devices.values().all(|device| device.reported.is_empty()) {
        return Facts::default();
    }
    let devices = state.devices.iter();
    Facts {
        reported: devices.map(|(id, device)| (id.clone(), Value::Object(device.reported.clone()))).collect(),
        ..Facts::default()
    }
}

fn times(state: &FleetState) -> BTreeMap<DeviceId, BTreeMap<String, String>> {
    let dated = state.devices.iter().filter(|(_, device)| !device.since.is_empty());
    dated.map(|(id, device)| (id.clone(), device.since.clone())).collect()
}

/// A revision as people say it.
pub(crate) fn short(revision: &str) -> String {
    hemline_model::id::Revision::new(revision)
        .map_or(revision.to_owned(), |revision| revision.short().to_owned())
}
