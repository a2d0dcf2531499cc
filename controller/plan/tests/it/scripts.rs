//! Every script in `tests/scripts`, compared with its transcript.

use super::script;

#[test]
fn transcripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let transcript = script::run(&std::fs::read_to_string(&path).unwrap());
        insta::with_settings!({ snapshot_path => "../scripts/out", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, transcript);
        });
        count += 1;
    }
    assert!(count > 5, "the scripts are missing");
}
