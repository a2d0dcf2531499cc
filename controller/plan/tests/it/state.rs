//! The public state: no secret in it, and a planner that has it says what one with a hub would say.

use hemline_model::SourceFile;
use hemline_plan::{Facts, FleetState, Known, Observed, Resolution, StateSight, plan, resolve, three_way};
use proptest::prelude::*;

use super::idempotence::{fleet, hub};

fn resolved(text: &str) -> Resolution {
    let file = SourceFile { path: "fleet.yaml".into(), bytes: text.as_bytes().to_vec() };
    let loaded = hemline_model::load(&[file]);
    resolve(&loaded.fleet.unwrap_or_else(|| panic!("{:?}", loaded.findings)), &Facts::default())
}

fn state(hub: &Observed, applied: Option<&Resolution>) -> FleetState {
    let mut state = FleetState::new(&Known { observed: hub, applied, waiting: None, reads_reported: false });
    state.applied = applied.map(|_| hemline_plan::Documents::default());
    state
}

fn read_again(state: &FleetState, documents: &[&Resolution]) -> StateSight {
    let again = FleetState::parse(&state.text()).unwrap();
    assert_eq!(&again, state);
    again.sight(documents)
}

const SECRETS: &str = r#"
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: press-01}
spec: {edge: true, tags: {site: lyon, apiKey: TAGSECRET}, desired: {password: TWINSECRET}}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {name: vision}
spec:
  targetCondition: "*"
  modules:
    camera:
      image: registry.example/camera:1
      createOptions: {Env: ["TOKEN=OPTIONSECRET", "A=1"], Cmd: ["--password", "FLAGSECRET"]}
      env: {API_TOKEN: ENVSECRET, URL: "mqtt://user:URLSECRET@broker", LEVEL: debug}
      desired: {fps: 10, auth: {secret: MODULESECRET}}
    filter:
      type: process
      command: [/usr/bin/filter, --token=COMMANDSECRET]
"#;

#[test]
fn no_secret_is_in_a_state_and_none_is_a_difference() {
    let applied = resolved(SECRETS);
    let mut hub = Observed::after(&applied);
    let agent = hub.devices.values_mut().next().unwrap();
    agent.tags.insert("note".to_owned(), "Bearer HANDSECRET".into());
    let state = state(&hub, Some(&applied));
    let text = state.text();
    assert!(!text.contains("SECRET"), "{text}");
    assert!(text.contains("debug") && text.contains("registry.example/camera:1"), "{text}");

    let sight = read_again(&state, &[&applied]);
    assert!(sight.unknown > 5, "{}", sight.unknown);
    let nothing = three_way(&applied, Some(&applied), &sight, &Default::default());
    assert!(nothing.is_empty(), "{nothing}");

    // A secret that the documents change is a change, masked on both sides, and nothing else is one.
    let after = resolved(&SECRETS.replace("ENVSECRET", "NEWSECRET"));
    let sight = read_again(&state, &[&applied, &after]);
    let planned = three_way(&after, Some(&applied), &sight, &Default::default());
    assert_eq!(planned.work(), plan(&after, Some(&applied), Some(&hub)).work(), "{planned}");
    assert!(planned.to_string().contains("env.API_TOKEN  *** → ***"), "{planned}");
    assert!(!planned.to_string().contains("drift"), "{planned}");

    // Without a base it is unknown what the secret was, unless the hub has the new documents and says that it differs.
    let sight = read_again(&state, &[&after]);
    assert!(three_way(&after, None, &sight, &Default::default()).is_empty());
    let known =
        Known { observed: &hub, applied: Some(&applied), waiting: Some(&after), reads_reported: false };
    let mut state = FleetState::new(&known);
    (state.applied, state.waiting) = (Some(Default::default()), Some(Default::default()));
    assert!(!state.text().contains("SECRET"), "{}", state.text());
    let again = FleetState::parse(&state.text()).unwrap();
    let planned = three_way(&after, None, &again.sight_of_waiting(&[&after]), &Default::default());
    assert_eq!(planned.work(), plan(&after, Some(&applied), Some(&hub)).work(), "{planned}");
}

#[test]
fn what_is_no_state_is_refused_with_a_reason() {
    for (text, reason) in [
        ("{}", "missing field"),
        ("[]", "not a fleet state"),
        (r#"{"apiVersion": "hemline.dev/v1alpha1", "kind": "Plan", "devices": {}}"#, "\"Plan\""),
        (r#"{"apiVersion": "hemline.dev/v2", "kind": "FleetState", "devices": {}}"#, "hemline.dev/v2"),
        (
            r#"{"apiVersion": "hemline.dev/v1alpha1", "kind": "FleetState", "devices": {"d": {"enabled": true, "edge": true, "connected": false, "config": "x"}}}"#,
            "the config of d is missing",
        ),
    ] {
        let error = FleetState::parse(text).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_state_plans_as_the_hub_does(before in fleet(), after in fleet(), start in hub()) {
        let (applied, desired) = (resolve(&before, &Facts::default()), resolve(&after, &Facts::default()));
        let mut hub = start.clone();
        // Who made a module is not part of a state: what the documents name counts as made by them.
        for module in hub.devices.values_mut().flat_map(|device| device.modules.values_mut()) {
            module.managed_by = Some(hemline_plan::MANAGED_BY.to_owned());
        }
        for step in plan(&applied, None, Some(&hub.clone())).devices.iter().flat_map(|device| &device.steps) {
            step.apply_to(&mut hub);
        }
        let state = state(&hub, Some(&applied));
        let sight = read_again(&state, &[&applied, &desired]);
        let planned = three_way(&desired, Some(&applied), &sight, &Default::default());
        let direct = plan(&desired, Some(&applied), Some(&hub));
        // A device that somebody deleted is made again, whoever plans.
        let mut emptied = hub.clone();
        emptied.devices.pop_first();
        let sight_of_less = read_again(&self::state(&emptied, Some(&applied)), &[&applied, &desired]);
        prop_assert_eq!(
            three_way(&desired, Some(&applied), &sight_of_less, &Default::default()).work(),
            plan(&desired, Some(&applied), Some(&emptied)).work()
        );
        prop_assert_eq!(planned.work(), direct.work(), "state:\n{}\nhub:\n{}", planned, direct);
        // On a hub that nobody touched, nothing is drift.
        let untouched = Observed::after(&applied);
        let sight = read_again(&self::state(&untouched, Some(&applied)), &[&applied, &desired]);
        let planned = three_way(&desired, Some(&applied), &sight, &Default::default());
        let drift = planned.devices.iter().flat_map(|device| &device.actions).find(|one| {
            one.reason == hemline_plan::Reason::Drift || one.action.changes().iter().any(|change| change.drift)
        });
        prop_assert!(drift.is_none(), "{}", planned);
    }
}
