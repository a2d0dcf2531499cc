//! A revision read beside an earlier one must come out as if it had been read alone: what both say in the same words is shared,
//! and nobody may notice.

use hemline_model::{Fleet, Known, Loaded, SourceFile, load, load_knowing};
use hemline_plan::{Facts, Resolution, judge, judge_knowing, plan, resolve, resolve_knowing};
use proptest::prelude::*;

/// Documents by kind of trouble: fine ones, warnings, and some that are only wrong beside others.
const PIECES: [&str; 14] = [
    "kind: Device\nmetadata: {name: d-1}\nspec: {edge: true, tags: {site: lyon}, desired: {a: 1}}\n",
    "kind: Device\nmetadata: {name: d-1}\nspec: {edge: true, tags: {site: lyon}, desired: {a: 2}}\n",
    "kind: Device\nmetadata: {name: d-2}\nspec: {edge: true, tags: {site: turin}}\n",
    "kind: Device\nmetadata: {name: d-3}\nspec: {parent: d-2, desired: {a: 1}}\n",
    "kind: Device\nmetadata: {name: d-4}\nspec: {edge: true, auth: {primaryThumbprint: ''}}\n",
    "kind: EdgeDeployment\nmetadata: {name: base}\nspec:\n  targetCondition: '*'\n  modules: {m: {image: 'i:1'}}\n",
    "kind: EdgeDeployment\nmetadata: {name: base}\nspec:\n  targetCondition: '*'\n  modules: {m: {image: 'i:2'}, n: {image: i}}\n",
    "kind: EdgeDeployment\nmetadata: {name: lyon}\nspec:\n  targetCondition: tags.site = 'lyon'\n  priority: 5\n  layered: true\n  modules: {m: {env: {A: '1'}}, x: {image: 'x:1', restartPolicy: never}}\n",
    "kind: EdgeDeployment\nmetadata: {name: routed}\nspec:\n  targetCondition: '*'\n  priority: 6\n  layered: true\n  routes: {r: 'FROM /messages/modules/m/outputs/* INTO BrokeredEndpoint(\"/modules/n/inputs/in\")'}\n",
    "kind: EdgeDeployment\nmetadata: {name: rival}\nspec:\n  targetCondition: '*'\n  priority: 5\n  layered: true\n  modules: {m: {env: {A: '2'}}}\n",
    "kind: EdgeDeployment\nmetadata:\n  name: quiet\n  annotations: {hemline.dev/ignore-deployment-without-device: on purpose}\nspec: {targetCondition: tags.site = 'none', layered: true, priority: 9}\n",
    "kind: TwinConfiguration\nmetadata: {name: t}\nspec: {targetCondition: '*', priority: 1, desired: {b: 1}}\n",
    "kind: TwinConfiguration\nmetadata: {name: t}\nspec: {targetCondition: '*', priority: 1, desired: {b: 2}}\n",
    "kind: Device\nmetadata: {name: odd}\nspec: {edge: maybe}\n",
];

/// Files of one or more documents, in any order; the same document may stand in another file and line of another revision.
fn revision() -> impl Strategy<Value = Vec<SourceFile>> {
    let file = prop::collection::vec((0..PIECES.len(), 0..2_usize), 1..4);
    prop::collection::vec(file, 1..6).prop_map(|files| {
        let document = |(piece, blank): (usize, usize)| {
            format!("---\n{}apiVersion: hemline.dev/v1alpha1\n{}", "\n".repeat(blank), PIECES[piece])
        };
        let text = |pieces: Vec<(usize, usize)>| pieces.into_iter().map(document).collect::<String>();
        files
            .into_iter()
            .enumerate()
            .map(|(place, pieces)| SourceFile {
                path: format!("{place}.yaml").into(),
                bytes: text(pieces).into_bytes(),
            })
            .collect()
    })
}

fn usable(files: &[SourceFile]) -> Option<(Fleet, Vec<hemline_model::Finding>, Resolution)> {
    let Loaded { fleet, findings, .. } = load(files);
    let fleet = fleet?;
    let resolution = resolve(&fleet, &Facts::default());
    Some((fleet, findings, resolution))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn nobody_notices_what_is_shared(before in revision(), after in revision()) {
        let Some((fleet, findings, resolution)) = usable(&before) else { return Ok(()) };
        let known = Known::of(&fleet, &findings);
        let facts = Facts::default();
        let alone = judge(load(&after), &facts);
        let beside = judge_knowing(load_knowing(&after, &known), &facts, &resolution);
        prop_assert_eq!(&alone.findings, &beside.findings);
        prop_assert_eq!(alone.usable.is_some(), beside.usable.is_some());
        if let (Some((_, alone)), Some((_, beside))) = (alone.usable, beside.usable) {
            prop_assert_eq!(plan(&alone, Some(&resolution), None), plan(&beside, Some(&resolution), None));
            prop_assert_eq!(plan(&alone, None, None), plan(&beside, None, None));
            prop_assert!(plan(&beside, Some(&alone), None).is_empty());
            prop_assert_eq!(&alone.targeted, &beside.targeted);
            prop_assert_eq!(&alone.configured, &beside.configured);
        }
    }
}

#[test]
fn a_route_whose_module_is_gone_is_found_beside_the_revision_that_had_it() {
    let file = |pieces: &[usize]| {
        let text = |piece: &usize| format!("apiVersion: hemline.dev/v1alpha1\n{}---\n", PIECES[*piece]);
        vec![SourceFile {
            path: "fleet.yaml".into(),
            bytes: pieces.iter().map(text).collect::<String>().into_bytes(),
        }]
    };
    let (fleet, findings, resolution) = usable(&file(&[0, 6, 8])).unwrap();
    let after = load_knowing(&file(&[0, 5, 8]), &Known::of(&fleet, &findings));
    let rules: Vec<_> = after.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["route-unknown-module"], "{:#?}", after.findings);
    let after = load_knowing(&file(&[1, 6, 8]), &Known::of(&fleet, &findings));
    let after = resolve_knowing(&after.fleet.unwrap(), &Facts::default(), &resolution);
    let changed = plan(&after, Some(&resolution), None);
    assert_eq!(changed.summary.change, 1, "{changed}");
}
