//! Pages of a query over twins (reference service-api §4.4): a stable order, and a look ahead so that the last page
//! has no continuation.
//!
//! The language itself is the query crate's; where rows come from is `core/requests.rs`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hemline_model::id::ClientId;
use hemline_query::select::{Query, Source};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the next page starts. Travels as an opaque text; it names the last row given, so changes in between neither
/// repeat nor skip a row that stayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) after: ClientId,
    /// Rows given so far, for `TOP n`.
    taken: usize,
}

impl Cursor {
    /// Reads a continuation token. `None` when it is none of ours.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }

    fn token(&self) -> Option<String> {
        Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).ok()?))
    }
}

/// `x-ms-item-type` of an answer.
pub(crate) fn item_type(query: &Query) -> &'static str {
    if query.is_raw() {
        return "Raw";
    }
    match query.source() {
        Source::Devices | Source::Modules => "Twin",
        Source::Jobs => "DeviceJob",
    }
}

/// One page. `rows` starts after the cursor. Counts and groups come in one page, whatever its size.
pub(crate) fn page(
    query: &Query,
    rows: impl Iterator<Item = (ClientId, Value)>,
    size: usize,
    cursor: Option<&Cursor>,
) -> (Vec<Value>, Option<String>) {
    if query.is_aggregated() {
        let matching: Vec<Value> = rows.map(|(_, row)| row).filter(|row| query.matches(row)).collect();
        return (query.run(matching.iter()), None);
    }
    let taken = cursor.map_or(0, |cursor| cursor.taken);
    let left = query.top().unwrap_or(usize::MAX).saturating_sub(taken);
    let mut page = Vec::new();
    let mut last: Option<ClientId> = None;
    if left == 0 {
        return (page, None);
    }
    for (client, row) in rows {
        let Some(item) = query.run(std::iter::once(&row)).pop() else {
            continue;
        };
        if page.len() == size {
            let cursor = last.map(|after| Cursor { after, taken: taken + page.len() });
            return (page, cursor.and_then(|cursor| cursor.token()));
        }
        page.push(item);
        last = Some(client);
        if page.len() == left {
            break;
        }
    }
    (page, None)
}
