//! Twins: what a patch or a replacement does to one, and what its client sees (reference device-protocol §5,
//! service-api §4.3, §6.1). Pure functions over the record; nothing here knows sessions or effects.

use bytes::Bytes;
use hemline_model::{
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
        properties: Section::new(),
        version: 1,
        metadata: Value::Object(Metadata::new(now, version).as_map().clone()),
    };
    TwinRecord {
        client,
        version: 2, // what Azure shows of a twin that nobody has touched (reference service-api §6)
        etag,
        tags: Section::new(),
        desired: collection(Some(1)),
        reported: collection(None),
        model_id: String::new(),
    }
}

/// A client reports properties. On refusal nothing has changed.
pub(crate) fn report(record: &mut TwinRecord, mut patch: Section, now: Timestamp) -> Result<(), Refused> {
    strip(&mut patch);
    let merged = merged(&record.reported.properties, &patch, Which::Reported)?;
    record.reported.properties = merged;
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
    let new_tags = tags.as_ref().map(|tags| merged(&record.tags, tags, Which::Tags)).transpose()?;
    let properties = &record.desired.properties;
    let new_desired = desired.as_ref().map(|patch| merged(properties, patch, Which::Desired)).transpose()?;
    if new_tags.is_none() && new_desired.is_none() {
        return Ok(None);
    }
    record.version += 1;
    record.etag += 1;
    if let Some(tags) = new_tags {
        record.tags = tags;
    }
    if let (Some(properties), Some(patch)) = (new_desired, &desired) {
        record.desired.properties = properties;
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
    let empty = Section::new();
    let tags = merged(&empty, &tags, Which::Tags)?;
    let desired = merged(&empty, &desired, Which::Desired)?;
    let difference = twin::diff(&record.desired.properties, &desired);
    record.version += 1;
    record.etag += 1;
    record.tags = tags;
    record.desired.version += 1;
    let metadata = Metadata::of(&desired, now, Some(record.desired.version));
    record.desired.metadata = Value::Object(metadata.as_map().clone());
    record.desired.properties = desired;
    Ok(difference)
}

/// What a client gets for a GET: both collections with their versions, nothing else.
pub(crate) fn for_client(record: &TwinRecord) -> Bytes {
    let collection = |collection: &Collection| {
        let mut section = collection.properties.clone();
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

fn merged(current: &Section, patch: &Section, which: Which) -> Result<Section, Refused> {
    let mut merged = current.clone();
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

fn touch(metadata: &mut Value, patch: &Section, now: Timestamp, version: Option<u64>) {
    // A tree that cannot be read can only come from a damaged store; it starts afresh.
    let mut tree: Metadata = serde_json::from_value(metadata.take()).unwrap_or_default();
    tree.touch(patch, now, version);
    *metadata = Value::Object(tree.as_map().clone());
}
