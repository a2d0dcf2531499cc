//! Properties of the Markdown: never too long, the same every time, and no word of a user outside code.

use std::sync::Arc;

use hemline_model::{
    Finding, Position,
    id::{DeviceId, ModuleId},
};
use hemline_plan::{
    Action, Change, DevicePlan, Facts, Json, MARKDOWN_AT_MOST, Plan, Planned, Reason, findings_markdown,
    plan, resolve,
};
use proptest::prelude::*;
use serde_json::Value;

use super::idempotence::fleet;

/// Words that would like to be more than words.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z.]{1,12}",
        Just("@octocat".to_owned()),
        "(`{1,5}|\n|</details>|<b>|\\||@a |-- >|\\\\|~~~|&#64;|[*_]|\u{2028}|\r){1,12}",
        "[`]{1,200}",
        "[@|`x]{300,2000}",
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let value = || prop::option::of(text().prop_map(|text| Json(Value::from(text))));
    (text(), value(), value()).prop_map(|(path, from, to)| Change { path, from, to, ..Change::default() })
}

fn action() -> impl Strategy<Value = Action> {
    let module = || "[a-z$@`|<]{1,20}".prop_map(|name| ModuleId::new(&name).unwrap_or(ModuleId::edge_hub()));
    let changes = || prop::collection::vec(change(), 1..30);
    prop_oneof![
        Just(Action::DeleteDevice),
        module().prop_map(|module| Action::RemoveModule { module }),
        (text(), change()).prop_map(|(route, change)| Action::RemoveRoute { route, change }),
        (module(), text()).prop_map(|(module, runs)| Action::CreateModule { module, runs, started: true }),
        (module(), changes()).prop_map(|(module, because)| Action::RecreateModule { module, because }),
        (text(), changes()).prop_map(|(route, changes)| Action::SetRoute { route, changes }),
        changes().prop_map(|changes| Action::PatchTags { changes }),
    ]
}

/// A plan of few or many devices. Counts do not matter here.
fn any_plan() -> impl Strategy<Value = Plan> {
    let planned = (action(), any::<bool>()).prop_map(|(action, drift)| Planned {
        action,
        reason: if drift { Reason::Drift } else { Reason::Documents },
    });
    let few = prop::collection::vec(planned, 1..40);
    (few, 1_usize..400, prop::option::of(text())).prop_map(|(few, devices, base)| {
        let device = |number: usize| DevicePlan {
            device: DeviceId::new(format!("press-{number:03}")).unwrap(),
            actions: few
                .iter()
                .skip(number % few.len())
                .take(1 + number % 7)
                .cloned()
                .map(Arc::new)
                .collect(),
            steps: Vec::new(),
        };
        Plan {
            base,
            head: Some("`@x`".to_owned()),
            devices: (0..devices).map(device).collect(),
            ..Plan::default()
        }
    })
}

/// What a forge reads as words: everything but fences, spans and tags of code.
fn outside_code(text: &str) -> String {
    let mut outside = String::new();
    let mut fence: Option<&str> = None;
    for line in text.split('\n') {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if ticks.len() >= open.len() && ticks == line => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 && !line[ticks.len()..].contains('`') => fence = Some(ticks),
            None => outside.push_str(&without_spans(line)),
        }
        outside.push('\n');
    }
    assert_eq!(fence, None, "a fence is open at the end:\n{text}");
    outside
}

fn without_spans(line: &str) -> String {
    let (mut left, mut rest) = (String::new(), line);
    loop {
        let tag = rest.find("<code>");
        let tick = rest.find('`');
        match (tag, tick) {
            (Some(tag), tick) if tick.is_none_or(|tick| tag < tick) => {
                left.push_str(&rest[..tag]);
                let end = rest.find("</code>").expect("a closed tag");
                rest = &rest[end + "</code>".len()..];
            }
            (_, Some(tick)) => {
                left.push_str(&rest[..tick]);
                let inside = rest[tick..].trim_start_matches('`');
                let ticks = rest.len() - tick - inside.len();
                let end = closing(inside, ticks).unwrap_or_else(|| panic!("an open span in {line}"));
                rest = &inside[end + ticks..];
            }
            (_, None) => {
                left.push_str(rest);
                return left;
            }
        }
    }
}

/// Where a run of exactly so many ticks begins.
fn closing(text: &str, ticks: usize) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].find('`').map(|at| at + from) {
        let run = text[at..].len() - text[at..].trim_start_matches('`').len();
        if run == ticks {
            return Some(at);
        }
        from = at + run;
    }
    None
}

/// Findings whose every word is a user's.
fn findings() -> impl Strategy<Value = Vec<Finding>> {
    let finding = (text(), text(), any::<bool>()).prop_map(|(message, file, error)| {
        let new = if error { Finding::error } else { Finding::warning };
        let position = Position { file: file.into(), line: 7, column: 9 };
        new("unknown-field", message.clone()).with_position(position).with_hint(message)
    });
    prop::collection::vec(finding, 0..40)
}

fn holds(planned: &Plan, findings: &[Finding]) -> String {
    let text = planned.markdown(findings);
    assert_eq!(text, planned.clone().markdown(findings), "the same twice");
    assert!(text.contains(&planned.digest()));
    harmless(&text);
    text
}

fn harmless(text: &str) {
    assert!(text.chars().count() <= MARKDOWN_AT_MOST, "{} characters", text.chars().count());
    assert!(text.ends_with("<!-- hemline-plan -->\n"));
    let words = outside_code(text);
    assert!(!words.contains('@') && !words.contains('&'), "{words}");
    let tags = ["<details><summary>", "</summary>", "</details>", "<!-- hemline-plan -->"];
    let bare = tags.iter().fold(words.clone(), |words, tag| words.replace(tag, ""));
    assert!(!bare.contains('<'), "{bare}");
    assert_eq!(words.matches("<details>").count(), words.matches("</details>").count());
    for row in words.lines().filter(|line| line.starts_with("| ")) {
        assert_eq!(row.matches('|').count(), 6, "{row}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_is_a_comment(planned in any_plan(), findings in findings()) {
        holds(&planned, &findings);
        harmless(&findings_markdown(&findings));
    }

    #[test]
    fn the_plan_of_any_fleet_is_a_comment(before in prop::option::of(fleet()), after in fleet()) {
        let resolved = |fleet| resolve(&fleet, &Facts::default());
        let planned = plan(&resolved(after), before.map(resolved).as_ref(), None);
        holds(&planned, &[]);
    }
}

#[test]
fn a_plan_that_is_too_long_says_what_it_left_out() {
    let devices = (0..3000).map(|number| DevicePlan {
        device: DeviceId::new(format!("press-{number:04}")).unwrap(),
        actions: vec![Arc::new(Planned {
            action: Action::PatchTags {
                changes: vec![Change {
                    path: "tags.number".to_owned(),
                    from: None,
                    to: Some(Json(number.into())),
                    ..Change::default()
                }],
            },
            reason: Reason::Documents,
        })],
        steps: Vec::new(),
    });
    let planned = Plan { devices: devices.collect(), ..Plan::default() };
    let text = holds(&planned, &[]);
    assert!(text.chars().count() > MARKDOWN_AT_MOST - 2_000, "the room is used: {}", text.chars().count());
    let end: Vec<&str> = text.lines().rev().take(5).collect();
    insta::assert_snapshot!(end.into_iter().rev().collect::<Vec<_>>().join("\n"));
}

/// A fleet as people have it: presses that see, gates that relay, one change that touches all of them.
fn factory(after: bool) -> (hemline_model::Fleet, hemline_plan::Resolution) {
    let pick = |old: &'static str, new: &'static str| if after { new } else { old };
    let mut text = String::new();
    for number in 1..=40 {
        let ring = if number % 20 == 1 { "canary" } else { "main" };
        text.push_str(&format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: press-{number:02}}}\nspec: {{edge: true, tags: {{kind: press, ring: {ring}}}}}\n---\n"
        ));
    }
    for number in (1..=120).filter(|number| !after || *number != 120) {
        let kind = if after && number == 119 { "spare" } else { "gate" };
        text.push_str(&format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: gate-{number:03}}}\nspec: {{edge: true, tags: {{kind: {kind}}}, desired: {{place: {number}}}}}\n---\n"
        ));
    }
    text.push_str(&format!(
        "apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {{name: vision}}
spec:
  targetCondition: tags.kind = 'press'
  priority: {priority}
  modules:
    camera:
      image: registry.example/camera:{tag}
      createOptions: {{HostConfig: {{Memory: {memory}, Binds: [{binds}]}}}}
      env: {{LOG_LEVEL: debug, API_TOKEN: {token}}}
      desired: {{fps: {fps}}}
    filter: {{image: 'registry.example/filter:1.0', desired: {{threshold: {fps}}}}}
  routes:
    up: FROM /messages/modules/filter/outputs/* INTO $upstream
  rollout:
    waves: [{{name: canary, selector: \"tags.ring = 'canary'\"}}, {{percent: 25}}, {{percent: 100}}]
    healthyFor: 2m
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata: {{name: gates}}
spec:
  targetCondition: \"tags.kind = 'gate'\"
  modules:
    relay: {{image: 'registry.example/relay:2.1', desired: {{every: {fps}}}}}
  routes:
    up: FROM /messages/modules/relay/outputs/* INTO $upstream
{debug}",
        priority = pick("10", "20"),
        tag = pick("1.2", "1.3"),
        memory = pick("67108864", "100663296"),
        binds = pick("'frames:/frames'", ""),
        token = pick("one", "two"),
        fps = pick("10", "12"),
        debug = pick("    debug: FROM /messages/modules/relay/outputs/debug INTO $upstream\n", ""),
    ));
    let file = hemline_model::SourceFile { path: "fleet.yaml".into(), bytes: text.into_bytes() };
    let loaded = hemline_model::load(&[file]);
    let fleet = loaded.fleet.unwrap_or_else(|| panic!("{:?}", loaded.findings));
    let resolution = resolve(&fleet, &Facts::default());
    (fleet, resolution)
}

#[test]
fn a_big_plan_reads_from_the_top() {
    let (before, after) = (factory(false), factory(true));
    let planned =
        plan(&after.1, Some(&before.1), None).between(Some("3f2c1a9".into()), Some("8d90bc4".into()));
    let side = |(fleet, resolution)| hemline_plan::Side::<'_> { fleet, resolution };
    let scene = hemline_plan::Scene {
        before: Some(side((&before.0, &before.1))),
        after: side((&after.0, &after.1)),
        observed: None,
    };
    let forecast = hemline_plan::Forecast::new(&planned, &scene);
    let policy = hemline_plan::Policy { max_restarts: "10%".parse().ok(), ..Default::default() };
    let review = hemline_plan::Review {
        verdict: policy.judge(&planned, &forecast),
        forecast,
        plan: planned,
        findings: after.1.findings.clone(),
        notes: vec!["the hub was last brought to 1a2b3c4, not to the base 3f2c1a9".to_owned()],
    };
    let text = review.markdown();
    harmless(&text);
    // The folds say the same again, value by value.
    let (above, _) = text.split_once("<details>").expect("folds");
    insta::assert_snapshot!(above);
}
