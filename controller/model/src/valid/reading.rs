//! Files one by one: text to drafts. Nothing here asks what another document says, so the files of a batch are read on all
//! cores at once, and what comes out stands in the order of the files.
//!
//! Not here: limits on all files together (`valid`), and what only several documents show (`across`).

use rayon::prelude::*;

use super::{
    draft::{Draft, draft},
    known::{Known, Same},
    manifest::Manifests,
};
use crate::{
    finding::Finding,
    text::{self, Located, RawDocument, SourceFile},
};

/// Bytes of text that are read before anybody looks whether all documents together have become too large: memory that a
/// hostile folder may take beyond the limit, and work enough for all cores.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// What a file says.
pub(super) struct Read<'a> {
    pub(super) documents: Vec<Document<'a>>,
    /// What is wrong with its text.
    pub(super) problems: Vec<Finding>,
}

/// What one document says.
pub(super) struct Document<'a> {
    pub(super) located: Located,
    /// Memory that its values take, in units of about 50 bytes.
    pub(super) weight: usize,
    /// Path of the manifest that it takes its content from.
    pub(super) manifest: Option<&'a str>,
    /// `None` when it is none of ours.
    pub(super) draft: Option<Draft<'a>>,
    /// What is wrong with its shape, or with its manifest.
    pub(super) told: Vec<Finding>,
}

/// The files in pieces that are read at once.
pub(super) fn batches(files: &[SourceFile]) -> impl Iterator<Item = &[SourceFile]> {
    let mut bytes = 0;
    files.chunk_by(move |file, _| {
        bytes += file.bytes.len();
        let goes_on = bytes < BATCH_BYTES;
        if !goes_on {
            bytes = 0;
        }
        goes_on
    })
}

/// Reads a batch. Manifests are left out: they are read with the documents that name them.
pub(super) fn read<'a>(batch: &[SourceFile], manifests: &Manifests<'a>, known: &Known<'a>) -> Vec<Read<'a>> {
    let documents = batch.par_iter().filter(|file| !manifests.holds(file));
    documents.map(|file| read_file(file, manifests, known)).collect()
}

fn read_file<'a>(file: &SourceFile, manifests: &Manifests<'a>, known: &Known<'a>) -> Read<'a> {
    let (documents, problems) = text::read_unknown(file, |text| known.find(text));
    let document = |document| match document {
        text::Document::Read(raw) => judge(raw, manifests),
        text::Document::Known(located, same) => same_again(located, same),
    };
    Read { documents: documents.into_iter().map(document).collect(), problems }
}

fn judge<'a>(raw: RawDocument, manifests: &Manifests<'a>) -> Document<'a> {
    let mut told = Vec::new();
    let (raw, manifest) = manifests.adopt(raw, &mut told);
    let (located, weight) = (raw.located.clone(), raw.weight);
    let draft = draft(raw, &mut told);
    located.rest();
    Document { located, weight, manifest, draft, told }
}

/// It takes no memory of its own, and there is nothing to say about it.
fn same_again<'a>(located: Located, same: Same<'a>) -> Document<'a> {
    let draft = Some(Draft::same(same, located.clone()));
    Document { located, weight: 0, manifest: None, draft, told: Vec::new() }
}
