//! `hem up A --also NAME=B`: two repositories make one fleet, and each owns what it brings.

use crate::{
    credentials::{device, every, trouble},
    hem::Hem,
    repository::{git_is_here, origin_and_clone, push},
};

#[test]
fn a_second_repository_adds_its_documents_and_takes_none_of_the_first() {
    if !git_is_here() {
        return;
    }
    let (folder, ours, our_clone) = origin_and_clone();
    let (_guests, theirs, their_clone) = origin_and_clone();
    push(&our_clone, &device("press", 1), "ours");
    push(&their_clone, &device("meter", 1), "theirs");
    let also = format!("guests=file://{}#main", theirs.display());
    let options = ["--branch", "main", "--interval", "1s", "--status-branch", "off", "--also", &also];
    let hem = Hem::up_from(folder, &format!("file://{}", ours.display()), &options);
    hem.eventually("both are in force", |hem| {
        (every(hem, "press") == Some(1) && every(hem, "meter") == Some(1)).then_some(())
    });
    assert_eq!(trouble(&hem), []);

    push(&their_clone, &device("meter", 2), "theirs moves");
    hem.eventually("the second moves", |hem| (every(hem, "meter") == Some(2)).then_some(()));
    assert_eq!(every(&hem, "press"), Some(1));

    // What the first one has is not the second one's to say.
    let both = format!("{}---\n{}", device("meter", 3), device("press", 9));
    push(&their_clone, &both, "theirs takes");
    let held = [("guests".to_owned(), "held-back".to_owned())];
    hem.eventually("it is held back", |hem| (trouble(hem) == held).then_some(()));
    let status = hem.status();
    let line = status.lines().find(|line| line.contains("held-back")).unwrap_or_default();
    for part in ["default/fleet.yaml", "guests/fleet.yaml", "press"] {
        assert!(line.contains(part), "{part}: {status}");
    }
    assert_eq!((every(&hem, "press"), every(&hem, "meter")), (Some(1), Some(2)), "nothing of it is used");

    // The first one goes on meanwhile.
    push(&our_clone, &device("press", 2), "ours moves");
    hem.eventually("the first moves", |hem| (every(hem, "press") == Some(2)).then_some(()));
    assert_eq!((trouble(&hem), every(&hem, "meter")), (held.to_vec(), Some(2)));

    push(&their_clone, &device("meter", 4), "theirs gives way");
    hem.eventually("the second is back", |hem| (every(hem, "meter") == Some(4)).then_some(()));
    hem.eventually("all is well", |hem| trouble(hem).is_empty().then_some(()));
    assert_eq!(every(&hem, "press"), Some(2));
}
