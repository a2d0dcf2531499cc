//! The examples of rules that only layering can show break and keep their rule.

use std::{collections::BTreeSet, sync::Arc};

use hemline_model::{Finding, SourceFile, load, rules};
use hemline_plan::{Facts, resolve};

/// A gateway, the device below it, and a base of these modules for both.
fn said(modules: &str) -> BTreeSet<&'static str> {
    if modules.contains("kind:") {
        return told(modules.to_owned());
    }
    let modules: String = modules.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: gateway}}\nspec: {{edge: true}}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: leaf}}\nspec: {{edge: true, parent: gateway}}\n---\n\
         apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: x}}\nspec:\n  targetCondition: '*'\n{modules}"
    );
    told(text)
}

/// The rules of all findings about this file.
fn told(text: String) -> BTreeSet<&'static str> {
    let loaded = load(&[SourceFile { path: Arc::from("x.yaml"), bytes: text.into_bytes() }]);
    let fleet = loaded.fleet.expect("the example loads");
    let resolved = resolve(&fleet, &Facts::default()).findings;
    loaded.findings.iter().chain(&resolved).map(|finding| finding.rule).collect()
}

/// Rules that the documents together break, once it is known what each device gets.
const RULES: [&str; 14] = [
    "ignore-unused",
    "priority-tie",
    "layer-conflict",
    "module-incomplete",
    "port-clash",
    "port-of-hub",
    "bind-clash",
    "name-clash",
    "layer-without-base",
    "layer-below-base",
    "device-without-base",
    "deployment-without-device",
    "configuration-conflict",
    "configuration-without-target",
];

#[test]
fn examples_break_and_keep_their_rule() {
    for id in RULES {
        let rule = rules::find(id).unwrap();
        assert!(said(rule.wrong).contains(id), "{id} is not broken: {:?}", said(rule.wrong));
        assert_eq!(said(rule.right), BTreeSet::new(), "{id}: still wrong");
    }
}

/// A base and a layer that keep every limit, but not together.
#[test]
fn limits_hold_for_the_layers_together() {
    let texts = |from: usize, to: usize| -> String {
        (from..to).map(|n| format!("        t{n}: {}\n", "x".repeat(4000))).collect()
    };
    let modules = |from: usize, to: usize| -> String {
        (from..to).map(|n| format!("    m{n}: {{image: 'a:1'}}\n")).collect()
    };
    let deployment = |name: &str, more: &str, from: usize, to: usize, first: usize, last: usize| {
        format!(
            "---\napiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: {name}}}\nspec:\n  targetCondition: '*'\n\
             {more}  modules:\n    camera:\n      image: a:1\n      desired:\n{}{}",
            texts(from, to),
            modules(first, last)
        )
    };
    let text = format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: press}}\nspec: {{edge: true}}\n{}{}",
        deployment("base", "", 0, 5, 0, 30),
        deployment("layer", "  layered: true\n  priority: 1\n", 5, 10, 30, 60)
    );
    let loaded = load(&[SourceFile { path: Arc::from("x.yaml"), bytes: text.into_bytes() }]);
    assert_eq!(loaded.findings, []);
    let found = resolve(&loaded.fleet.unwrap(), &Facts::default()).findings;
    insta::assert_snapshot!(found.iter().map(Finding::render).collect::<Vec<_>>().join("\n"));
}
