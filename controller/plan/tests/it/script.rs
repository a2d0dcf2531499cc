//! A planner driven by a script: documents, plans, and a hub that is a value.
//!
//! A line `> command` starts a command; the lines after it are its body.
//!
//! ```text
//! > documents                      the body replaces all documents
//! > policy deny KIND | max-devices LIMIT | max-restarts LIMIT
//!                                  what the plans from here on must not do
//! > plan                           from the documents applied last to these
//! > observe                        the plan against the hub
//! > markdown                       the same as the comment of a pull request
//! > offline DEVICE                 the device has no connection until the next apply; the others have one
//! > base                           these documents are where the next change starts
//! > state                          the plan from that base, with the hub as its public state says
//! > since DEVICE PATH TIME         the state knows when a value was set
//! > apply                          does it to the hub as the controller does, and checks that nothing is left to do
//! > tags DEVICE JSON               somebody merges tags by hand
//! > desired DEVICE[/MODULE] JSON   somebody merges desired properties by hand
//! > reported DEVICE JSON           the device reports
//! > why DEVICE PATH                where a value comes from
//! > twin DEVICE[/MODULE]           desired properties on the hub
//! ```

use std::{collections::BTreeMap, fmt::Write as _};

use hemline_model::{
    Fleet, SourceFile,
    id::{DeviceId, ModuleId},
    twin::merge,
};
use hemline_plan::{
    Documents, Facts, FleetState, Forecast, Known, Observed, Plan, Policy, Resolution, Review, Scene, Side,
    drift, plan, resolve, three_way, why,
};
use serde_json::{Map, Value};

#[derive(Default)]
pub(crate) struct World {
    fleet: Fleet,
    facts: Facts,
    applied: Option<(Fleet, Resolution)>,
    hub: Observed,
    policy: Policy,
    base: Option<Resolution>,
    since: BTreeMap<DeviceId, BTreeMap<String, String>>,
    transcript: String,
}

pub(crate) fn run(script: &str) -> String {
    let mut world = World::default();
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in script.lines() {
        match (line.strip_prefix("> "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    for (command, body) in commands {
        writeln!(world.transcript, "> {command}").unwrap();
        world.command(&command, &body);
        world.transcript.push('\n');
    }
    world.transcript
}

impl World {
    fn command(&mut self, command: &str, body: &str) {
        let mut words = command.splitn(3, ' ');
        let (name, whom, rest) =
            (words.next().unwrap(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match name {
            "documents" => self.documents(body),
            "plan" => {
                let review = self.review(false);
                write!(self.transcript, "{review}").unwrap();
            }
            "observe" => {
                let review = self.review(true);
                write!(self.transcript, "{review}").unwrap();
            }
            "markdown" => {
                let mut review = self.review(true);
                review.plan = review.plan.between(Some("3f2c1a9".to_owned()), Some("8d90bc4".to_owned()));
                write!(self.transcript, "{}", review.markdown()).unwrap();
            }
            "policy" => match whom {
                "deny" => {
                    self.policy.deny.insert(rest.parse().unwrap());
                }
                "max-devices" => self.policy.max_devices = Some(rest.parse().unwrap()),
                "max-restarts" => self.policy.max_restarts = Some(rest.parse().unwrap()),
                other => panic!("no such policy: {other}"),
            },
            "base" => self.base = Some(resolve(&self.fleet, &self.facts)),
            "state" => self.state(),
            "since" => {
                let (path, time) = rest.split_once(' ').unwrap();
                let times = self.since.entry(DeviceId::new(whom).unwrap()).or_default();
                times.insert(path.to_owned(), time.to_owned());
            }
            "offline" => self.offline(whom),
            "apply" => self.apply(),
            "tags" => merge(&mut self.hub.devices.get_mut(whom).unwrap().tags, &object(rest)),
            "desired" => merge(self.desired(whom), &object(rest)),
            "reported" => {
                self.facts.reported.insert(DeviceId::new(whom).unwrap(), Value::Object(object(rest)));
            }
            "why" => {
                let resolution = resolve(&self.fleet, &self.facts);
                let device = &self.fleet.devices[whom];
                let found = why(&self.fleet, device, &resolution.devices[whom], Some(rest));
                for because in found.unwrap_or_else(|unknown| panic!("{unknown:?}")) {
                    let at = format!("{}:{}:{}", because.file, because.line, because.column);
                    writeln!(self.transcript, "{} at {at}", because.document).unwrap();
                    for over in &because.overrides {
                        let (path, value) = (&over.path, over.shown());
                        let at = format!("{}:{}:{}", over.file, over.line, over.column);
                        writeln!(self.transcript, "  overrides {path} {value} of {} at {at}", over.document)
                            .unwrap();
                    }
                }
            }
            "twin" => {
                let text = serde_json::to_string_pretty(self.desired(whom)).unwrap();
                writeln!(self.transcript, "{text}").unwrap();
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn documents(&mut self, body: &str) {
        let file = SourceFile { path: "fleet.yaml".into(), bytes: body.as_bytes().to_vec() };
        let loaded = hemline_model::load(&[file]);
        for finding in &loaded.findings {
            self.transcript.push_str(&finding.render());
        }
        if let Some(fleet) = loaded.fleet {
            self.fleet = fleet;
            for finding in resolve(&self.fleet, &self.facts).findings {
                self.transcript.push_str(&finding.render());
            }
        }
    }

    fn applied(&self) -> Option<&Resolution> {
        self.applied.as_ref().map(|(_, resolution)| resolution)
    }

    fn review(&self, observe: bool) -> Review {
        let resolution = resolve(&self.fleet, &self.facts);
        let observed = observe.then_some(&self.hub);
        let plan: Plan = plan(&resolution, self.applied(), observed);
        let before = self.applied.as_ref().map(|(fleet, resolution)| Side { fleet, resolution });
        let after = Side { fleet: &self.fleet, resolution: &resolution };
        let forecast = Forecast::new(&plan, &Scene { before, after, observed });
        let verdict = self.policy.judge(&plan, &forecast);
        Review { plan, forecast, verdict, findings: resolution.findings, notes: Vec::new() }
    }

    fn state(&mut self) {
        let head = resolve(&self.fleet, &self.facts);
        let known =
            Known { observed: &self.hub, applied: self.applied(), waiting: None, reads_reported: false };
        let mut state = FleetState::new(&known);
        state.applied = self.applied().map(|_| Documents::default());
        let base = self.base.as_ref();
        let sight = state.sight(&base.into_iter().chain([&head]).collect::<Vec<_>>());
        let plan = three_way(&head, base, &sight, &self.since);
        let done = self.planned(&head);
        assert_eq!(plan.work(), done.work(), "the controller would do something else:\n{done}");
        assert_eq!(plan.stays, done.stays);
        let after = Side { fleet: &self.fleet, resolution: &head };
        let forecast = Forecast::new(&plan, &Scene { before: None, after, observed: Some(&sight.observed) });
        let verdict = self.policy.judge(&plan, &forecast);
        let review = Review { plan, forecast, verdict, ..Review::default() };
        write!(self.transcript, "{review}").unwrap();
        writeln!(self.transcript, "\n{}", review.markdown()).unwrap();
    }

    /// What the controller would do.
    fn planned(&self, wanted: &Resolution) -> Plan {
        let planned = plan(wanted, self.applied(), Some(&self.hub));
        let mut observed = self.hub.clone();
        match self.applied() {
            Some(said) => drift::spare(planned, wanted, said, &mut observed).0,
            None => planned,
        }
    }

    fn offline(&mut self, whom: &str) {
        for (id, device) in &mut self.hub.devices {
            let connected = id.as_str() != whom;
            device.connected = connected;
            if let Some(agent) = device.modules.get_mut(&ModuleId::edge_agent()) {
                agent.connected = connected;
            }
        }
    }

    fn apply(&mut self) {
        let resolution = resolve(&self.fleet, &self.facts);
        for device in self.planned(&resolution).devices {
            for step in &device.steps {
                step.apply_to(&mut self.hub);
            }
        }
        let again = self.planned(&resolution);
        assert!(again.is_empty(), "the second plan is not empty:\n{again}");
        self.applied = Some((self.fleet.clone(), resolution));
        self.offline("");
    }

    fn desired(&mut self, whom: &str) -> &mut Map<String, Value> {
        match whom.split_once('/') {
            None => &mut self.hub.devices.get_mut(whom).unwrap().desired,
            Some((device, module)) => {
                let module = ModuleId::new(module).unwrap();
                &mut self.hub.devices.get_mut(device).unwrap().modules.get_mut(&module).unwrap().desired
            }
        }
    }
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}
