//! Twins of those beneath this edge hub, kept the same as at the parent: desired properties come down, reported ones go up
//! (reference edge-runtime §5.7).
//!
//! A client is answered here, at once. That the parent does not have its report yet stands beside the report on disk; what
//! exactly it lacks is found by comparing with what it has, so nothing else needs to be kept, and telling it twice does
//! no harm. One question at a time for each client, a bounded number for all.

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::{Packed, id::ClientId, twin::diff};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Core;
use crate::{
    effect::{Effect, Notice},
    twin,
    upstream::{AskId, Asked, Link, ToParent, TwinCopy},
    write::Write,
};

/// Questions about twins that wait for the parent's answer.
const ASKED_AT_ONCE: usize = 32;

impl Core {
    /// Everything that the parent told of is compared with it.
    pub(super) fn all_twins_due(&mut self, out: &mut Vec<Effect>) {
        let all = self.registry.told_by_parent();
        if let Some(up) = self.linked() {
            up.twins.due.extend(all);
        }
        self.ask_twins(out);
    }

    /// Something about this twin is to be asked or told.
    pub(super) fn twin_due(&mut self, client: &ClientId, out: &mut Vec<Effect>) {
        if self.registry.identity(client).is_none_or(|identity| !identity.from_parent) {
            return;
        }
        if let Some(up) = self.linked() {
            up.twins.due.insert(client.clone());
            self.ask_twins(out);
        }
    }

    /// The identity is gone. One of the same name is another one.
    pub(super) fn forget_mirror(&mut self, client: &ClientId) {
        if let Some(up) = self.linked() {
            up.twins.known.remove(client);
            up.twins.due.remove(client);
            up.twins.later.remove(client);
        }
    }

    /// Time has passed: the parent is asked again for what it could not do.
    pub(super) fn tick_twins(&mut self, out: &mut Vec<Effect>) {
        if let Some(up) = self.linked().filter(|up| !up.twins.later.is_empty()) {
            let later = std::mem::take(&mut up.twins.later);
            up.twins.due.extend(later);
            self.ask_twins(out);
        }
    }

    fn ask_twins(&mut self, out: &mut Vec<Effect>) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        while up.twins.asked.len() < ASKED_AT_ONCE {
            let Some(client) = up.twins.due.difference(&up.twins.busy).next().cloned() else {
                return;
            };
            up.twins.due.remove(&client);
            let Some(record) = self.twins.get_mut(&client) else {
                up.twins.known.remove(&client);
                continue;
            };
            let Some(known) = up.twins.known.get(&client) else {
                let ask = up.ask();
                up.twins.busy.insert(client.clone());
                up.twins.asked.insert(ask, (client.clone(), Asked::Twin));
                out.push(Effect::Upstream { link: up.id, what: ToParent::Twin { client, ask } });
                continue;
            };
            if !record.unsynced {
                continue;
            }
            let patch = diff(&known.open(), &record.reported.properties.open());
            if patch.is_empty() {
                Arc::make_mut(record).unsynced = false;
                out.push(Effect::Persist(Write::PutTwin(Arc::clone(record))));
                continue;
            }
            let (leads_to, version) = (record.reported.properties.clone(), record.reported.version);
            let ask = up.ask();
            up.twins.busy.insert(client.clone());
            up.twins.asked.insert(ask, (client.clone(), Asked::Report { leads_to, version }));
            let patch = Bytes::from(Value::Object(patch).to_string());
            out.push(Effect::Upstream { link: up.id, what: ToParent::Report { client, ask, patch } });
        }
    }

    pub(super) fn twin_answered(
        &mut self,
        ask: AskId,
        status: u16,
        copy: Option<TwinCopy>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some((client, asked)) = self.linked().and_then(|up| {
            let (client, asked) = up.twins.asked.remove(&ask)?;
            up.twins.busy.remove(&client);
            Some((client, asked))
        }) else {
            return;
        };
        if status == 429 || status >= 500 {
            // Not now: what is reported stays to be told, and the clock says when.
            if let Some(up) = self.linked() {
                up.twins.later.insert(client);
            }
            return self.ask_twins(out);
        }
        match asked {
            Asked::Twin => {
                if let Some(copy) = copy.filter(|_| status < 300) {
                    self.take_copy(&client, copy, now, out);
                }
                // Else it is not known there; the list of identities says so, too.
            }
            Asked::Report { leads_to, version } => self.report_taken(&client, status, leads_to, version, out),
        }
        self.ask_twins(out);
    }

    fn take_copy(&mut self, client: &ClientId, copy: TwinCopy, now: Timestamp, out: &mut Vec<Effect>) {
        let Some(record) = self.twins.get_mut(client).map(Arc::make_mut) else {
            return;
        };
        let TwinCopy { desired, desired_version, mut reported } = copy;
        reported.remove("$version");
        reported.remove("$metadata");
        let patch = twin::mirror_desired(record, desired, desired_version, now);
        // Without anything to tell the parent, what it has counts: the client may have been elsewhere.
        let came = !record.unsynced && twin::mirror_reported(record, reported.clone(), now);
        if let Some(up) = self.linked() {
            up.twins.known.insert(client.clone(), Packed::of(&reported));
            up.twins.due.insert(client.clone());
        }
        if let Some(patch) = patch {
            let patch = (!patch.is_empty()).then_some(patch);
            self.twin_changed(client, patch, now, out);
        } else if came {
            if let Some(record) = self.twins.get(client) {
                out.push(Effect::Persist(Write::PutTwin(Arc::clone(record))));
            }
            out.push(Effect::Notify(Notice::Reported { client: client.clone() }));
        }
    }

    fn report_taken(
        &mut self,
        client: &ClientId,
        status: u16,
        leads_to: Packed,
        version: u64,
        out: &mut Vec<Effect>,
    ) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        let taken = status < 300;
        if taken {
            // Forgotten meanwhile means that it is to be read anew.
            if let Some(known) = up.twins.known.get_mut(client) {
                *known = leads_to;
            }
            self.counters.upstream_reports += 1;
        } else {
            // Said again it would be refused again; the next report brings what differs then.
            self.counters.upstream_refused += 1;
        }
        let Some(record) = self.twins.get_mut(client) else {
            return;
        };
        if record.reported.version == version && record.unsynced {
            Arc::make_mut(record).unsynced = false;
            out.push(Effect::Persist(Write::PutTwin(Arc::clone(record))));
        } else {
            up.twins.due.insert(client.clone());
        }
    }

    /// The parent changed desired properties.
    pub(super) fn follow_parent(
        &mut self,
        client: &ClientId,
        version: u64,
        patch: Map<String, Value>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        if !up.twins.known.contains_key(client) {
            return; // the answer to the question that is on its way has it
        }
        let Some(record) = self.twins.get_mut(client).map(Arc::make_mut) else {
            return;
        };
        match twin::follow_desired(record, patch, version, now) {
            Some(patch) => self.twin_changed(client, Some(patch), now, out),
            None => {
                // Something in between is missing here, or somebody wrote here: the whole twin is read anew.
                up.twins.known.remove(client);
                self.twin_due(client, out);
            }
        }
    }
}
