//! Each file of `cases/` is read alone (a folder: all its files together); what the model says about it is a snapshot
//! beside it. A case named `good-…` must come through without an error.

use std::{fs, path::Path, sync::Arc};

use hemline_model::{SourceFile, load, valid::EnvSetting};

fn source(path: &Path) -> SourceFile {
    let name = path.file_name().unwrap().to_string_lossy();
    SourceFile { path: Arc::from(&*name), bytes: fs::read(path).unwrap() }
}

fn files(path: &Path) -> Vec<SourceFile> {
    if path.is_file() {
        return vec![source(path)];
    }
    let mut files = Vec::new();
    below(path, "", &mut files);
    files
}

fn below(folder: &Path, relative: &str, files: &mut Vec<SourceFile>) {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = format!("{relative}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            below(&path, &format!("{name}/"), files);
        } else {
            files.push(SourceFile { path: Arc::from(name), bytes: fs::read(&path).unwrap() });
        }
    }
}

#[test]
fn every_case_renders_as_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "snap"))
        .collect();
    cases.sort();
    assert!(cases.len() > 30, "the cases are gone");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for case in cases {
            let name = case.file_stem().unwrap().to_string_lossy().into_owned();
            let loaded = load(&files(&case));
            assert_eq!(
                loaded.fleet.is_some(),
                !loaded.findings.iter().any(hemline_model::Finding::is_error),
                "{name}"
            );
            if name.starts_with("good-") {
                assert!(loaded.fleet.is_some(), "{name}: {:#?}", loaded.findings);
            }
            let findings: Vec<String> = loaded.findings.iter().map(hemline_model::Finding::render).collect();
            let fleet = loaded.fleet.map(|fleet| {
                let devices: Vec<String> = fleet.devices.keys().map(ToString::to_string).collect();
                let deployments: Vec<String> = fleet.deployments.keys().map(ToString::to_string).collect();
                format!("devices: {}\ndeployments: {}\n", devices.join(", "), deployments.join(", "))
            });
            insta::assert_snapshot!(name, format!("{}{}", findings.join("\n"), fleet.unwrap_or_default()));
        }
    });
}

/// What later stages rely on: unsaid is `None`, text forms are parsed, positions answer.
#[test]
fn a_loaded_fleet_says_what_was_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let loaded = load(&files(&folder.join("good-everything.yaml")));
    let fleet = loaded.fleet.unwrap();
    let vision = &fleet.deployments["vision"];
    let camera = &vision.spec.modules["camera"];
    assert_eq!(camera.create_options.as_ref().unwrap().open()["HostConfig"]["Memory"], 67_108_864);
    assert_eq!(camera.env["RETRIES"], EnvSetting::Text("3".to_owned()));
    assert_eq!(camera.restart_policy, None);
    let (_, cloud) = &*vision.spec.routes["cloud"];
    assert_eq!((cloud.priority, cloud.time_to_live_secs), (Some(0), Some(7200)));
    let image = vision.position("/spec/modules/camera/image");
    let text = String::from_utf8(fs::read(folder.join("good-everything.yaml")).unwrap()).unwrap();
    let line = text.lines().nth(image.line as usize - 1).unwrap();
    assert!(line[image.column as usize - 1..].starts_with("registry.example/camera"), "{image} {line}");
    // What the document does not say is where its parent is.
    assert_eq!(vision.position("/spec/modules/camera/command"), vision.position("/spec/modules/camera"));
    assert_eq!(fleet.devices["Press_07"].spec.parent.as_ref().unwrap().as_str(), "gateway-1");
}
