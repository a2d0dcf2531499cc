//! Two thousand devices in one go: nothing in resolve and plan may grow faster than the fleet.

use std::fmt::Write as _;

use hemline_model::{SourceFile, twin};
use hemline_plan::{Facts, Resolution, plan, resolve};
use sha2::{Digest as _, Sha256};

fn resolution(changed: usize) -> Resolution {
    let mut text = String::new();
    for place in 0..2_000 {
        let interval = if place < changed { 60 } else { 30 };
        writeln!(
            text,
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: d-{place}}}\nspec: {{edge: true, tags: {{site: s{}}}, desired: {{interval: {interval}}}}}\n---",
            place % 5
        )
        .unwrap();
    }
    for site in 0..5 {
        writeln!(text, "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: s{site}}}\nspec:\n  targetCondition: tags.site = 's{site}'\n  modules:").unwrap();
        for module in 0..5 {
            writeln!(
                text,
                "    m{module}: {{image: 'i:{site}', env: {{A: '1', B: '2'}}, desired: {{a: 1}}}}"
            )
            .unwrap();
        }
        writeln!(text, "---").unwrap();
    }
    let files: Vec<SourceFile> = text
        .split("---\n")
        .filter(|document| !document.is_empty())
        .enumerate()
        .map(|(place, document)| SourceFile { path: format!("{place}.yaml").into(), bytes: document.into() })
        .collect();
    let loaded = hemline_model::load(&files);
    let resolved =
        resolve(&loaded.fleet.unwrap_or_else(|| panic!("{:?}", loaded.findings)), &Facts::default());
    assert!(resolved.findings.is_empty(), "{:?}", resolved.findings);
    resolved
}

#[test]
fn a_change_on_four_hundred_of_two_thousand_devices() {
    let (before, after) = (resolution(0), resolution(400));
    let planned = plan(&after, Some(&before), None);
    assert_eq!(
        (planned.summary.change, planned.summary.devices, planned.summary.unchanged),
        (400, 400, 1_600)
    );
    assert_eq!(planned.groups().len(), 1, "the same change is said once");
    assert!(planned.to_string().lines().count() < 10, "{planned}");
    // The digest is made piece by piece; it is that of the whole text.
    let text = twin::canonical(&serde_json::to_value(&planned).unwrap());
    assert_eq!(planned.digest(), format!("sha256:{:x}", Sha256::digest(text)));
}
