//! Rules about `spec.manifest`: an Azure manifest beside the documents.

use super::{Rule, error, note};

/// In the order in which a document meets them.
pub(super) const RULES: &[Rule] = &[
    error(
        "manifest-path",
        "The path of a manifest leads somewhere else than into the source.",
        "A revision must be complete in itself, and a document must not read what lies outside.",
        "Write a path relative to the document, such as ./deployment.json, and move the manifest beside it.",
        "manifest: /etc/deployment.json",
        "manifest: ./deployment.json",
    ),
    error(
        "manifest-missing",
        "The manifest of a document is not among the files that were read.",
        "Without it the document would deploy nothing.",
        "Correct the path, add the file to the commit, or give its folder to the command; links are not followed.",
        "manifest: ./deploymnet.json",
        "manifest: ./deployment.json",
    ),
    error(
        "manifest-conflict",
        "A document has modules, routes or settings of its own beside a manifest.",
        "Two places that say the same would have to be merged in an order that nobody sees.",
        "Say it in a layered deployment above this one, or remove `manifest`.",
        "manifest: ./deployment.json\nmodules: {camera: {image: camera:2}}",
        "manifest: ./deployment.json",
    ),
    note(
        "manifest-overruled",
        "The document says another target condition or priority than its manifest.",
        "The document wins: it is what a reviewer reads, and one manifest may serve several documents.",
        "Nothing, when it is meant; else remove it from the document.",
        "manifest: ./configuration.json\npriority: 20",
        "manifest: ./configuration.json",
    ),
    note(
        "manifest-not-used",
        "An Azure manifest lies among the documents, and none of them uses it.",
        "It deploys nothing by itself.",
        "Name it in the `manifest` of an EdgeDeployment, make a document of it with hem import, or remove it.",
        "deployment.json, and no document with `manifest: ./deployment.json`",
        "manifest: ./deployment.json",
    ),
];
