//! What must be true of every moment of a rollout, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use hemline_model::{
    Fleet,
    document::{Approve, Offline},
    id::{DeviceId, DocumentName, Revision},
    valid::RolloutSpec,
};
use hemline_plan::{
    Facts, Resolution, plan, resolve,
    rollout::{Ledger, Progress, RolloutRecord, State, Turn, WaveRecord},
    simulate::{Devices, Event, Outcome, Rehearsal, rehearse},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Holds every moment against what must be true of it, with its own small model: who had what a moment ago, and whom nobody
/// found healthy with it.
struct Judge<'a> {
    fleets: BTreeMap<&'a Revision, &'a Fleet>,
    before: Ledger,
    /// Devices that the hub knew a moment ago.
    known: BTreeSet<DeviceId>,
    /// Who is deleted at the hub, and when.
    deleted: Vec<(Timestamp, &'a DeviceId)>,
    /// What cameras were told last, also of devices that were deleted at the hub and are made again.
    told: BTreeMap<DeviceId, Value>,
    /// Devices with a revision that is not complete, and that were not found healthy with it.
    unproven: BTreeSet<DeviceId>,
    quiet: bool,
    /// Looks so far, and at the present moment: so many passes find something to do.
    looks: usize,
    now: (Timestamp, usize),
}

/// One rollout at one moment.
#[derive(Clone, Copy)]
struct Moment<'m> {
    now: Timestamp,
    spec: &'m RolloutSpec,
    record: &'m RolloutRecord,
    /// The same a moment ago.
    same: Option<&'m RolloutRecord>,
    enabled: &'m dyn Fn(&DeviceId) -> bool,
    there: &'m dyn Fn(&DeviceId) -> bool,
}

impl<'a> Judge<'a> {
    fn new(rehearsal: &'a Rehearsal<'a>) -> Self {
        let commits = rehearsal.base.iter().chain(&rehearsal.commits);
        let fleets = commits.map(|commit| (commit.revision, commit.fleet)).collect();
        let deleted = rehearsal.events.iter().filter_map(|(at, event)| match event {
            Event::Deleted(id) => {
                Some((rehearsal.start + SignedDuration::from_secs(i64::try_from(*at).unwrap()), id))
            }
            Event::Order(_) | Event::Leaves(_) | Event::Returns(_) | Event::Reports(..) => None,
        });
        let deleted = deleted.collect();
        let (before, known, told, unproven) = Default::default();
        Self {
            fleets,
            before,
            known,
            deleted,
            told,
            unproven,
            quiet: false,
            looks: 0,
            now: (rehearsal.start, 0),
        }
    }

    fn look(&mut self, now: Timestamp, turn: &Turn, devices: &Devices) {
        self.looks += 1;
        self.now = if self.now.0 == now { (now, self.now.1 + 1) } else { (now, 1) };
        assert!(self.now.1 < 20, "the passes of one moment find something to do again and again: {turn:#?}");
        let told = cameras(devices);
        for (name, record) in &turn.ledger.rollouts {
            // Going back ignores waves, budgets, windows and people.
            if !record.state.goes_back() {
                self.gives(now, name, record, devices);
                self.nobody_else(name, record, &told);
            }
        }
        self.learn(&turn.ledger);
        self.known = devices.observed.devices.keys().cloned().collect();
        self.told.retain(|id, _| turn.desired.devices.contains_key(id));
        self.told.extend(told);
        // A second pass with the same sight finds nothing to do. Where nothing was decided, the rehearsal itself goes on only when
        // its plan was empty.
        if self.before != turn.ledger {
            let again = plan(&turn.desired, turn.said.as_ref(), Some(&devices.observed));
            assert!(again.is_empty(), "{again}");
        }
        self.before = turn.ledger.clone();
        self.quiet = turn.ledger.rollouts.values().all(|record| record.state.is_over());
    }

    /// Who has the change now and had it not a moment ago: may they?
    fn gives(&self, now: Timestamp, name: &DocumentName, record: &RolloutRecord, devices: &Devices) {
        let before = self.before.rollouts.get(name);
        let same = before.filter(|before| before.revision == record.revision);
        let earlier = before.filter(|before| before.revision != record.revision && !before.state.goes_back());
        let mut both = None;
        let mut had = |id: &DeviceId| match (same, earlier) {
            (Some(same), _) => same.brings(id.as_str()),
            // From a commit before it has what says the same for it.
            (None, Some(earlier)) => {
                let (was, is) = both.get_or_insert_with(|| {
                    let there = devices.observed.devices.iter();
                    let reported =
                        there.map(|(id, there)| (id.clone(), Value::Object(there.reported.clone())));
                    let facts = Facts { reported: reported.collect(), ..Facts::default() };
                    let of = |revision| resolve(self.fleets[revision], &facts);
                    (of(&earlier.revision), of(&record.revision))
                });
                let modules = |of: &Resolution| of.devices.get(id).map(|is| is.twins.modules.clone());
                earlier.progress(id.as_str()).is_some_and(Progress::has_it) && modules(was) == modules(is)
            }
            (None, None) => false,
        };
        let fleet = self.fleets[&record.revision];
        let spec = fleet.deployments[name].spec.rollout.as_ref().unwrap();
        let open = spec.window.as_ref().is_none_or(|window| window.is_open(now));
        let enabled = |id: &DeviceId| fleet.devices.get(id).is_none_or(|device| device.spec.enabled);
        let there =
            |id: &DeviceId| devices.observed.devices.get(id).is_some_and(|there| there.is_connected());
        let moment = Moment { now, spec, record, same, enabled: &enabled, there: &there };
        for (place, wave) in record.waves.iter().enumerate() {
            let new: Vec<&DeviceId> =
                wave.devices.keys().filter(|id| record.brings(id.as_str()) && !had(id)).collect();
            if wave.begun.is_some()
                && before.is_none_or(|before| same.is_some() && before.waves[place].begun.is_none())
            {
                let budgets = (wave.max_unavailable, wave.max_failures);
                let many = wave.devices.len();
                assert_eq!(budgets, (spec.max_unavailable.of(many), spec.max_failures.of(many)), "{record}");
            }
            // At the end it is for those that are away, too.
            let (new, last): (Vec<&DeviceId>, Vec<&DeviceId>) =
                new.into_iter().partition(|id| wave.devices[*id].has_it());
            for id in last {
                // One that was made in this moment had no connection when the turn looked.
                let made = !self.known.contains(id) || self.deleted.contains(&(now, id));
                assert!(made || !there(id) || !enabled(id), "{id} is there, and has it unwatched:\n{record}");
            }
            if new.is_empty() {
                continue;
            }
            assert!(open, "{new:?} outside of the window, at {now}:\n{record}");
            assert!(record.paused.is_none(), "{new:?} while it is paused:\n{record}");
            if spec.approve == Approve::EachWave && record.story.len() < 90 {
                let agreed = |what: &str| what.contains("approved by") || what.contains("resumed by");
                let agreed = record.story.iter().any(|line| agreed(&line.what));
                assert!(agreed && record.approved > place, "{new:?} and nobody agreed:\n{record}");
            }
            self.fits(&moment, wave, &new);
            in_order(record, place);
            for id in new {
                assert!(there(id) || !enabled(id), "{id} is away and was given it:\n{record}");
            }
        }
    }

    /// Those of a wave that get the change now fit into its budgets.
    fn fits(&self, moment: &Moment<'_>, wave: &WaveRecord, new: &[&DeviceId]) {
        let Moment { now, spec, record, same, enabled, there } = *moment;
        let deadline = SignedDuration::from_secs(i64::try_from(spec.deadline_secs).unwrap());
        let late = now >= wave.begun.unwrap() + deadline;
        let busy = |(id, progress): &(&DeviceId, &Progress)| match progress {
            Progress::Given(_) => true,
            // One that is away takes up room for as long as a device has.
            Progress::Waiting | Progress::Skipped if late && enabled(id) && !there(id) => false,
            Progress::Waiting => {
                self.unproven.contains(*id) || (spec.offline == Offline::Count && enabled(id) && !there(id))
            }
            Progress::Skipped => self.unproven.contains(*id),
            Progress::Done | Progress::Failed(_) => false,
        };
        let busy = wave.devices.iter().filter(busy).count();
        let fresh = new.iter().any(|id| enabled(id) && !self.unproven.contains(*id));
        assert!(!fresh || busy <= wave.max_unavailable, "{busy} unavailable at once:\n{record}");
        let had_failed = |id: &DeviceId| {
            same.is_none_or(|same| matches!(same.progress(id.as_str()), Some(Progress::Failed(_))))
        };
        let failed = wave
            .devices
            .iter()
            .filter(|(id, progress)| matches!(progress, Progress::Failed(_)) && had_failed(id));
        assert!(failed.count() < wave.max_failures, "given after too many failures:\n{record}");
    }

    /// What the record does not give, the hub does not tell.
    fn nobody_else(&self, name: &DocumentName, record: &RolloutRecord, told: &BTreeMap<DeviceId, Value>) {
        let image = |revision: &Revision| {
            let camera = self.fleets[revision].deployments.get(name)?.spec.modules.get("camera")?;
            camera.desired.as_ref()?.open().get("fps").cloned()
        };
        let new = image(&record.revision);
        if record.base.as_ref().is_some_and(|base| image(base) == new) {
            return;
        }
        for (id, _) in record.devices().filter(|(id, _)| !record.brings(id.as_str())) {
            let has = told.get(id) == new.as_ref() && self.told.get(id) != new.as_ref();
            assert!(!has, "{id} has what nobody gave it:\n{record}");
        }
    }

    fn learn(&mut self, ledger: &Ledger) {
        let mut unproven = BTreeSet::new();
        for record in ledger.rollouts.values() {
            let over = record.state.goes_back() || matches!(record.state, State::Complete { .. });
            for (id, progress) in record.devices().filter(|_| !over) {
                let doubt = match progress {
                    Progress::Given(_) => true,
                    Progress::Failed(_) if progress.has_it() => true,
                    Progress::Waiting | Progress::Skipped | Progress::Failed(_) => self.unproven.contains(id),
                    Progress::Done => false,
                };
                if doubt {
                    unproven.insert(id.clone());
                }
            }
        }
        self.unproven = unproven;
    }
}

/// Nobody of an earlier wave waits.
fn in_order(record: &RolloutRecord, place: usize) {
    for earlier in record.waves.iter().take(place) {
        let open = earlier.devices.values().any(|p| matches!(p, Progress::Waiting));
        let name = record.wave_name(place);
        assert!(!open, "wave {name} was given to before {} was:\n{record}", earlier.name);
    }
}

fn cameras(devices: &Devices) -> BTreeMap<DeviceId, Value> {
    let fps = |(id, there): (&DeviceId, &hemline_plan::ObservedDevice)| {
        Some((id.clone(), there.modules.get("camera")?.desired.get("fps")?.clone()))
    };
    devices.observed.devices.iter().filter_map(fps).collect()
}

/// Runs it, and judges every moment and the end.
pub(super) fn judged(rehearsal: &Rehearsal<'_>) -> (Outcome, Ledger, Devices) {
    let mut judge = Judge::new(rehearsal);
    let mut last = None;
    let outcome = rehearse(rehearsal, &mut |now, turn, devices| {
        judge.look(now, turn, devices);
        last = Some((turn.ledger.clone(), devices.clone()));
    });
    let (ledger, devices) = last.unwrap();
    assert!(judge.quiet, "it never ends: {outcome:#?}");
    assert!(judge.looks < 40_000, "{} passes", judge.looks);
    let text = serde_json::to_string(&ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger, "what is kept is what was there");
    (outcome, ledger, devices)
}
