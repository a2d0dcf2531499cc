//! Twins: what a patch or a replacement does to one, and what its client sees (reference device-protocol §5,
//! service-api §4.3, §6.1). Pure functions over the record; nothing here knows sessions or effects.

use bytes::Bytes;
use hemline_model::{
    Packed,
    id::ClientId,
    twin::{self, Metadata, Which, limits},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::write::{Collection, TwinRecord};

type Section = Map<String, Value>;

/// A twin limit was broken: said to whoever wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{section}{pointer}: {why}")]
pub(crate) struct Refused {
    section: &'static str,
    pointer: String,
    why: String,
}

/// A twin as it is when its identity is made.
pub(crate) fn fresh(client: ClientId, now: Timestamp, etag: u64) -> TwinRecord {
    let collection = |version| Collection {
        properties: Packed::default(),
        version: 1,
        metadata: Packed::of(Metadata::new(now, version).as_map()),
    };
    TwinRecord {
        client,
        version: 2, // what Azure shows of a twin that nobody has touched (reference service-api §6)
        etag,
        tags: Packed::default(),
        desired: collection(Some(1)),
        reported: collection(None),
        model_id: String::new(),
        unsynced: false,
    }
}

/// A client reports properties. On refusal nothing has changed.
pub(crate) fn report(record: &mut TwinRecord, mut patch: Section, now: Timestamp) -> Result<(), Refused> {
    strip(&mut patch);
    let merged = merged(record.reported.properties.open(), &patch, Which::Reported)?;
    record.reported.properties = Packed::of(&merged);
    record.reported.version += 1;
    touch(&mut record.reported.metadata, &patch, now, None);
    record.version += 1;
    Ok(())
}

/// The service patches. Gives the patch for the client when desired properties were named, values changed or not: the
/// version grows either way, and clients count in steps of one. On refusal nothing has changed.
pub(crate) fn patch(
    record: &mut TwinRecord,
    tags: Option<Section>,
    desired: Option<Section>,
    now: Timestamp,
) -> Result<Option<Section>, Refused> {
    let named = |section: Option<Section>| {
        let mut section = section?;
        strip(&mut section);
        (!section.is_empty()).then_some(section)
    };
    let (tags, desired) = (named(tags), named(desired));
    let new_tags = tags.as_ref().map(|tags| merged(record.tags.open(), tags, Which::Tags)).transpose()?;
    let properties = || record.desired.properties.open();
    let new_desired =
        desired.as_ref().map(|patch| merged(properties(), patch, Which::Desired)).transpose()?;
    if new_tags.is_none() && new_desired.is_none() {
        return Ok(None);
    }
    record.version += 1;
    record.etag += 1;
    if let Some(tags) = new_tags {
        record.tags = Packed::of(&tags);
    }
    if let (Some(properties), Some(patch)) = (new_desired, &desired) {
        record.desired.properties = Packed::of(&properties);
        record.desired.version += 1;
        touch(&mut record.desired.metadata, patch, now, Some(record.desired.version));
    }
    Ok(desired)
}

/// The service replaces tags and desired properties. Gives the patch that leads the client from the old desired
/// properties to the new ones, with `null` for what is gone. On refusal nothing has changed.
pub(crate) fn replace(
    record: &mut TwinRecord,
    mut tags: Section,
    mut desired: Section,
    now: Timestamp,
) -> Result<Section, Refused> {
    strip(&mut tags);
    strip(&mut desired);
    let tags = merged(Section::new(), &tags, Which::Tags)?;
    let desired = merged(Section::new(), &desired, Which::Desired)?;
    let difference = twin::diff(&record.desired.properties.open(), &desired);
    record.version += 1;
    record.etag += 1;
    record.tags = Packed::of(&tags);
    record.desired.version += 1;
    let metadata = Metadata::of(&desired, now, Some(record.desired.version));
    record.desired.metadata = Packed::of(metadata.as_map());
    record.desired.properties = Packed::of(&desired);
    Ok(difference)
}

/// The parent's desired properties take the place of those here, with their version. Gives the patch that leads the client
/// from the old ones to the new ones; `None` when nothing is different. The parent has judged them.
pub(crate) fn mirror_desired(
    record: &mut TwinRecord,
    mut desired: Section,
    version: u64,
    now: Timestamp,
) -> Option<Section> {
    strip(&mut desired);
    let before = record.desired.properties.open();
    if record.desired.version == version && before == desired {
        return None;
    }
    let difference = twin::diff(&before, &desired);
    record.version += 1;
    record.etag += 1;
    record.desired.version = version;
    let metadata = Metadata::of(&desired, now, Some(version));
    record.desired.metadata = Packed::of(metadata.as_map());
    record.desired.properties = Packed::of(&desired);
    Some(difference)
}

/// The parent's patch of desired properties, which leads to the next version. `None` when it is no next one.
pub(crate) fn follow_desired(
    record: &mut TwinRecord,
    mut patch: Section,
    version: u64,
    now: Timestamp,
) -> Option<Section> {
    strip(&mut patch);
    if record.desired.version + 1 != version {
        return None;
    }
    let mut properties = record.desired.properties.open();
    twin::merge(&mut properties, &patch);
    record.version += 1;
    record.etag += 1;
    record.desired.version = version;
    record.desired.properties = Packed::of(&properties);
    touch(&mut record.desired.metadata, &patch, now, Some(version));
    Some(patch)
}

/// What the parent has as reported takes the place of what is here. Says whether anything was different.
pub(crate) fn mirror_reported(record: &mut TwinRecord, mut reported: Section, now: Timestamp) -> bool {
    strip(&mut reported);
    if record.reported.properties.open() == reported {
        return false;
    }
    record.version += 1;
    record.reported.version += 1;
    record.reported.metadata = Packed::of(Metadata::of(&reported, now, None).as_map());
    record.reported.properties = Packed::of(&reported);
    true
}

/// What a client gets for a GET: both collections with their versions, nothing else.
pub(crate) fn for_client(record: &TwinRecord) -> Bytes {
    let collection = |collection: &Collection| {
        let mut section = collection.properties.open();
        section.insert("$version".to_owned(), collection.version.into());
        section
    };
    let document = json!({
        "desired": collection(&record.desired),
        "reported": collection(&record.reported),
    });
    Bytes::from(document.to_string())
}

/// The body of a desired patch: the patch, nulls kept, and the version it led to.
pub(crate) fn patch_body(mut patch: Section, version: u64) -> Bytes {
    patch.insert("$version".to_owned(), version.into());
    Bytes::from(Value::Object(patch).to_string())
}

/// Clients and tools send back what they have read; the hub's own members in it are passed over.
fn strip(section: &mut Section) {
    section.remove("$version");
    section.remove("$metadata");
}

fn merged(mut merged: Section, patch: &Section, which: Which) -> Result<Section, Refused> {
    twin::merge(&mut merged, patch);
    limits::check(&merged, which).map_err(|limit| Refused {
        section: match which {
            Which::Tags => "tags",
            Which::Desired => "properties.desired",
            Which::Reported => "properties.reported",
        },
        pointer: limit.pointer,
        why: limit.why.to_string(),
    })?;
    Ok(merged)
}

fn touch(metadata: &mut Packed, patch: &Section, now: Timestamp, version: Option<u64>) {
    let mut tree = Metadata::from(metadata.open());
    tree.touch(patch, now, version);
    *metadata = Packed::of(tree.as_map());
}
