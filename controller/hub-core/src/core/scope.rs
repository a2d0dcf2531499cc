//! The identities beneath this edge hub, as its parent has them: read when the link comes up and when they change, and kept,
//! so that whoever is known gets in while the parent is away (reference edge-runtime §5.3).
//!
//! What the parent knows, the parent owns: it replaces a local identity of the same name, and takes away what it gave.

use std::collections::BTreeSet;

use hemline_model::id::ClientId;
use jiff::Timestamp;

use super::{Core, connections::End};
use crate::{
    effect::{CloseReason, Effect},
    registry::{Writing, first_etag},
    scope::{ScopeIdentity, ScopePage},
    upstream::{AskId, Link, Scope, ToParent},
    write::Identity,
};

impl Core {
    /// Begins to read the list.
    pub(super) fn read_scope(&mut self, out: &mut Vec<Effect>) {
        let Some(up) = self.linked() else {
            return;
        };
        let ask = up.ask();
        up.scope = Scope::Reading { ask, seen: BTreeSet::new(), again: false };
        out.push(Effect::Upstream { link: up.id, what: ToParent::Scope { ask, after: None } });
    }

    pub(super) fn scope_changed(&mut self, out: &mut Vec<Effect>) {
        let Some(up) = self.linked() else {
            return;
        };
        match &mut up.scope {
            Scope::Reading { again, .. } => *again = true,
            Scope::Known => self.read_scope(out),
        }
    }

    pub(super) fn take_scope(
        &mut self,
        answered: AskId,
        page: ScopePage,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        let is_ours = matches!(&up.scope, Scope::Reading { ask, .. } if *ask == answered);
        if !is_ours {
            return;
        }
        let Scope::Reading { mut seen, again, .. } = std::mem::replace(&mut up.scope, Scope::Known) else {
            return;
        };
        let (after, before) = (page.identities.last().map(|last| last.client.clone()), seen.len());
        seen.extend(page.identities.iter().map(|identity| identity.client.clone()));
        if page.more {
            // A parent that says "more" and tells nothing new would be asked for ever; and its list is not whole, so nobody is
            // taken away for not being in it.
            if seen.len() > before {
                let ask = up.ask();
                up.scope = Scope::Reading { ask, seen, again };
                out.push(Effect::Upstream { link: up.id, what: ToParent::Scope { ask, after } });
            }
            self.adopt(page.identities, now, out);
            return;
        }
        self.adopt(page.identities, now, out);
        // A list without the edge device itself is none: it would take away everything.
        let own = self.config.parent.as_ref().map(|parent| ClientId::device(parent.device.clone()));
        if own.is_some_and(|own| seen.contains(&own)) {
            for client in self.registry.told_by_parent() {
                if !seen.contains(&client) && self.registry.identity(&client).is_some() {
                    self.remove_identity(&client, now, out);
                }
            }
        }
        if again {
            self.read_scope(out);
        }
    }

    fn adopt(&mut self, told: Vec<ScopeIdentity>, now: Timestamp, out: &mut Vec<Effect>) {
        for told in told {
            let client = told.client.clone();
            let mut current = self.registry.identity(&client).cloned();
            if client.module.is_some() && self.registry.device(&client.device).is_none() {
                continue; // a module without its device is nobody
            }
            if current.as_ref().is_some_and(|c| c.from_parent && c.generation != told.generation) {
                // Made anew up there: nothing of the one before belongs to it.
                self.remove_identity(&client, now, out);
                current = None;
            }
            let identity = told.identity(current.as_ref(), first_etag(now));
            match current {
                Some(current) if current == identity => {}
                Some(current) => self.replace_identity(&current, identity, now, out),
                None => {
                    self.put_identity(identity, Writing::Create, now, out);
                    self.enter_topics_of(&client.device);
                }
            }
            self.twin_due(&client, out);
        }
    }

    fn replace_identity(
        &mut self,
        current: &Identity,
        mut identity: Identity,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        identity.etag = current.etag + 1;
        let client = identity.client.clone();
        let disabled = current.enabled && !identity.enabled;
        let (was_edge, edge) = (current.edge, identity.edge);
        self.put_identity(identity, Writing::Update, now, out);
        match (was_edge, edge) {
            (false, true) => self.take_routes(&client.device, now, out),
            (true, false) => {
                self.routes.remove(&client.device);
            }
            (true, true) | (false, false) => {}
        }
        self.enter_topics_of(&client.device);
        if disabled {
            match &client.module {
                None => self.close_device(&client.device, now, out),
                Some(_) => self.end(&client, End::Closed(CloseReason::IdentityGone), now, out),
            }
        }
        self.close_withdrawn(&client.device, now, out);
    }
}
