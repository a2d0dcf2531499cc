//! Fixes mend: a fleet without fault, with slips of the pen in it, is the same fleet again afterwards.

use std::sync::Arc;

use hemline_model::{Finding, SourceFile, finding::mend as apply, load};
use hemline_plan::{Facts, judge, mend};
use proptest::prelude::*;

/// Nothing is wrong with it. `⟦a|b|c⟧` stands for `a`, and for `b` or `c` where the pen slipped.
const FLEET: &str = r#"apiVersion: ⟦hemline.dev/v1alpha1|hemline.dev/v1alpha|"hemline.dev/v1"⟧
kind: Device
metadata: {name: gateway}
spec: {edge: true, ⟦tags|tgas|'tgas'|"tgas"⟧: {site: lyon}}
---
apiVersion: hemline.dev/v1alpha1
⟦kind|kind|"kind"⟧: ⟦Device|Devcie|'Devcie'⟧
metadata:
  name: press
⟦|  annotations: {hemline.dev/ignore-ambiguous-scalar: nobody knows}
|  annotations:
    hemline.dev/ignore-ambiguous-scalar: >-
      nobody
      knows
|  annotations:
    example.org/a: b
    "hemline.dev/ignore-no-effect": nobody knows
|  annotations: {example.org/a: b, hemline.dev/ignore-twin-limit: nobody knows, example.org/c: d}
⟧spec:
  edge: true
  ⟦parent|parnt|"parnt"⟧: ⟦gateway|gatway|'gatway'|"gatway"⟧
  tags: {site: lyon, country: ⟦"NO"|NO⟧}
---
apiVersion: hemline.dev/v1alpha1
kind: EdgeDeployment
metadata:
  name: vision
spec:
  targetCondition: ⟦tags|tag⟧.site = 'lyon'
  ⟦priority|prioriti|'prioriti'⟧: 10
  modules:
    camera:
      image: registry.example/camera:1.3
      restartPolicy: ⟦always|alwasy|"alwasy"|'Always'⟧
      createOptions: "{\"⟦Labels|Lables|labels⟧\": {\"é\\n\": \"x\", \"v\": ⟦\"1.10\"|1.10|true⟧}, \"HostConfig\": {\"⟦Memory|Memmory⟧\": ⟦67108864|\"64m\"|\"67108864\"⟧}}"
      env:
        LEVEL: "⟦1|1⟧"
    filter:
      image: registry.example/filter:1.3
      createOptions: '{"⟦StopSignal|stopSignal⟧": "⟦SIGTERM|SIGTREM⟧", "Labels": {"it''s": "x"}, "HostConfig": {"LogConfig": {"Config": {"max-file": ⟦"3"|3⟧}}}}'
    folded:
      image: registry.example/filter:1.3
      createOptions: >-
        {"Labels": {"a": "b"},
        "HostConfig": {"⟦Binds|Bins⟧":
        ⟦["/srv/x:/x"]|"/srv/x:/x"⟧}}
    object:
      image: registry.example/filter:1.3
      createOptions:
        ⟦Cmd|cmd|"Cmdd"⟧: [--fast]
        HostConfig:
          Privileged: ⟦false|'false'|"false"⟧
          LogConfig: {Config: {max-file: ⟦"3"|3⟧, max-size: 10m}}
        Healthcheck: {⟦Interval|interval|Intervall⟧: ⟦30000000000|30s|'30s'⟧}
  routes:
    frames: FROM /messages/modules/⟦camera|camrea⟧/outputs/* INTO BrokeredEndpoint("/modules/⟦filter|fliter⟧/inputs/in")
    quoted: {⟦route|rout⟧: "FROM /messages/modules/⟦object|objetc⟧/outputs/\u0061 INTO $upstream", timeToLive: ⟦2h|7200⟧}
"#;

/// The fleet with one choice per slot.
fn written(choices: &[usize]) -> String {
    let mut text = String::new();
    let mut choices = choices.iter();
    for (index, piece) in FLEET.split(['⟦', '⟧']).enumerate() {
        if index % 2 == 0 {
            text.push_str(piece);
        } else {
            let variants: Vec<&str> = piece.split('|').collect();
            text.push_str(variants[choices.next().copied().unwrap_or_default() % variants.len()]);
        }
    }
    text
}

fn files(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { path: Arc::from("fleet.yaml"), bytes: text.as_bytes().to_vec() }]
}

fn findings(text: &str) -> Vec<Finding> {
    judge(load(&files(text)), &Facts::default()).findings
}

fn rendered(findings: &[Finding]) -> String {
    findings.iter().map(Finding::render).collect()
}

fn check(choices: &[usize]) {
    let text = written(choices);
    let before = findings(&text);
    let errors = |findings: &[Finding]| findings.iter().filter(|finding| finding.is_error()).count();
    for finding in before.iter().filter(|finding| finding.fix.is_some()) {
        let mended = apply(&text, &[finding.fix.as_ref().unwrap()]).text;
        let after = findings(&mended);
        let same = |one: &&Finding| (one.rule, &one.message) == (finding.rule, &finding.message);
        let (was, is) = (before.iter().filter(same).count(), after.iter().filter(same).count());
        assert!(is < was, "still there:\n{}{text}\n{mended}", finding.render());
        let unveils =
            slips(choices) > 1 && (finding.rule.starts_with("unknown-") || finding.rule == "wrong-type");
        assert!(
            unveils || errors(&after) <= errors(&before),
            "worse:\n{}{mended}{}",
            finding.render(),
            rendered(&after)
        );
    }
    let mended = mend(files(&text));
    let text = String::from_utf8(mended.files[0].bytes.clone()).unwrap();
    let after = findings(&text);
    let open = |finding: &Finding| finding.ignored.is_none() && (finding.fix.is_some() || slips(choices) < 2);
    let left: Vec<Finding> = after.into_iter().filter(open).collect();
    assert_eq!(rendered(&left), "", "{text}");
}

/// How many slips there are. One hides nothing, but a misspelt name hides what is wrong with its value.
fn slips(choices: &[usize]) -> usize {
    let variants = FLEET.split(['⟦', '⟧']).skip(1).step_by(2).map(|slot| slot.split('|').count());
    choices.iter().zip(variants).filter(|(choice, variants)| *choice % variants != 0).count()
}

#[test]
fn each_slip_alone_is_mended() {
    assert_eq!(rendered(&findings(&written(&[]))), "");
    let slots = FLEET.split(['⟦', '⟧']).skip(1).step_by(2).count();
    for slot in 0..slots {
        for choice in 1..5 {
            let mut choices = vec![0; slots];
            choices[slot] = choice;
            check(&choices);
        }
    }
}

#[test]
fn what_is_mended_reads_well() {
    let slots = FLEET.split(['⟦', '⟧']).skip(1).step_by(2).count();
    let mut choices = vec![1; slots];
    choices[0] = 0;
    let text = written(&choices);
    let mended = mend(files(&text));
    let said = mended.done.iter().map(|finding| {
        let at = finding.position.as_ref().unwrap();
        format!("{}:{} {}: {}\n", at.line, at.column, finding.rule, finding.fix.as_ref().unwrap().description)
    });
    let said: String = said.collect();
    insta::assert_snapshot!(format!("{said}\n{}", String::from_utf8_lossy(&mended.files[0].bytes)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn slips_together_are_mended(choices in prop::collection::vec(0_usize..5, 40)) {
        check(&choices);
    }
}
