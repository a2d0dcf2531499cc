//! Who of an HTTPS connection is let in. The head of a request says who asks; its body is read only when that is somebody, and
//! until somebody was, the connection is one of those that wait at the door (`door.rs`).
//!
//! Here only whether a credential is genuine is asked; what its holder may do is decided where the request is carried out.
//! What a sender is not let in with is read and thrown away after the answer, up to a bound, because most of them read no
//! answer before they have sent all of it.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, Request, header},
};
use futures_util::StreamExt as _;
use hemline_hub_core::{
    event::Caller,
    service::{ServiceError, ServiceRequest},
};
use hemline_model::id::ClientId;
use hemline_protocol::bag;
use tokio::{sync::mpsc, time::timeout};

use super::http::{attempts, call};
use crate::{door::Pass, handle::HubHandle, visitor::Visitor};

/// What is read and thrown away of somebody who is not let in.
pub(crate) const STRANGER_BYTES: usize = 1 << 20;

/// What the requests of one connection share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    state: Arc<Mutex<State>>,
    aside: mpsc::Sender<Aside>,
}

#[derive(Debug)]
struct State {
    /// The place at the door, until somebody has proved who it is.
    pass: Option<Pass>,
    /// Who did last.
    known: Option<Caller>,
    /// Was the core asked, of one who brought no body?
    asked: bool,
}

/// What is done beside the requests of a connection.
#[derive(Debug)]
enum Aside {
    /// Read and thrown away, up to so many bytes.
    Unread(BodyDataStream, usize),
    /// A request was answered, but nobody knows whether whoever made it is somebody.
    Identify(Sender),
}

/// What is done beside, to be done in the connection's task.
#[derive(Debug)]
pub(crate) struct Asides(mpsc::Receiver<Aside>);

/// Who a request says that it is from, by its head.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// `None` when it shows nothing at all.
    caller: Option<Caller>,
    /// Whom it speaks of.
    client: Option<ClientId>,
    /// Does it prove itself by something else, where that is asked for: the signature in the URL of an upload, which is looked
    /// at before anything is read, or that of a webhook, which is over the body?
    otherwise: bool,
}

impl Sender {
    /// `identity` is whom the request speaks of, as it is spelled there.
    pub(crate) fn of<B>(request: &Request<B>, visitor: &Visitor, identity: Option<&str>) -> Self {
        let (headers, path) = (request.headers(), request.uri().path());
        let client = identity.and_then(|text| bag::decode(text).ok()?.parse().ok());
        let uploads = path.starts_with("/files/");
        let webhook = path.starts_with("/api/v1/sources/") && path.ends_with("/sync");
        let otherwise = (uploads || webhook) && !headers.contains_key(header::AUTHORIZATION);
        let caller = if otherwise { None } else { call::caller(headers, Some(visitor)) };
        let module = attempts::module_of(request).and_then(|text| text.parse::<ClientId>().ok());
        let caller = match (caller, module) {
            (Some(caller), Some(module)) => Some(call::as_module(caller, module)),
            (caller, _) => caller,
        };
        Self { caller, client, otherwise }
    }

    /// Asks the core whether it is somebody.
    async fn identify(&self, hub: &HubHandle, limit: Duration) -> Result<Caller, ServiceError> {
        let caller = self.caller.clone().unwrap_or_else(|| Caller::Token(String::new()));
        let operation = ServiceRequest::Identify { client: self.client.clone() };
        match timeout(limit, hub.call_as(caller.clone(), operation)).await {
            Ok(answer) => answer.map(|_| caller),
            Err(_) => Err(ServiceError::Unavailable),
        }
    }
}

impl Admission {
    /// A connection that waits at the door.
    pub(crate) fn new(pass: Pass) -> (Self, Asides) {
        // Requests come one after the other, and the next one only when the body of the one before is gone.
        let (aside, asides) = mpsc::channel(2);
        let state = State { pass: Some(pass), known: None, asked: false };
        (Self { state: Arc::new(Mutex::new(state)), aside }, Asides(asides))
    }

    /// May the body of this request be read?
    ///
    /// # Errors
    /// When its sender is nobody that the hub knows, or the hub does not answer.
    pub(crate) async fn may_send(
        &self,
        sender: &Sender,
        hub: &HubHandle,
        limit: Duration,
    ) -> Result<(), ServiceError> {
        if sender.otherwise || (sender.caller.is_some() && self.state().known == sender.caller) {
            return Ok(());
        }
        let caller = sender.identify(hub, limit).await?;
        self.let_in(Some(caller));
        Ok(())
    }

    /// A request was answered with something else than 401.
    pub(crate) fn answered(&self, sender: Sender, well: bool) {
        let mut state = self.state();
        if state.pass.is_none() {
            return;
        }
        if sender.otherwise {
            drop(state);
            if well {
                self.let_in(None);
            }
        } else if sender.caller.is_some() && !state.asked {
            // Once: whoever shows a credential that is none where nobody asks for it does not cost more than this.
            state.asked = true;
            drop(self.aside.try_send(Aside::Identify(sender)));
        }
    }

    /// The rest of a body that nobody wants: read and thrown away beside the answer.
    pub(crate) fn put_aside(&self, headers: &HeaderMap, body: Body, most: usize) {
        let waits = headers
            .get(header::EXPECT)
            .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        // Whoever waits to be told to go on hears the answer instead, and sends nothing.
        if !waits {
            self.put_rest_aside(body.into_data_stream(), most);
        }
    }

    /// The same of a body that was begun.
    pub(crate) fn put_rest_aside(&self, body: BodyDataStream, most: usize) {
        drop(self.aside.try_send(Aside::Unread(body, most)));
    }

    /// The place at the door, for what the connection becomes. `None` when somebody has proved who it is.
    pub(crate) fn hand_over(&self) -> Option<Pass> {
        self.state().pass.take()
    }

    fn let_in(&self, caller: Option<Caller>) {
        let mut state = self.state();
        state.known = caller.or(state.known.take());
        let pass = state.pass.take();
        // The door has a lock of its own.
        drop(state);
        drop(pass);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asides {
    /// Does what is to be done beside the requests of a connection, for as long as it is there.
    pub(crate) async fn attend(
        mut self,
        admission: &Admission,
        hub: &HubHandle,
        limit: Duration,
    ) -> Infallible {
        while let Some(aside) = self.0.recv().await {
            match aside {
                // Who sends slowly does not keep its place for long.
                Aside::Unread(body, most) => drop(timeout(limit, throw_away(body, most)).await),
                Aside::Identify(sender) => {
                    if let Ok(caller) = sender.identify(hub, limit).await {
                        admission.let_in(Some(caller));
                    }
                }
            }
        }
        pending().await
    }
}

async fn throw_away(mut body: BodyDataStream, most: usize) {
    let mut seen = 0;
    while seen <= most {
        let Some(Ok(piece)) = body.next().await else { return };
        seen += piece.len();
    }
}
