//! Direct methods on their way to whoever answers them, and the answers on their way back.
//!
//! Not here: what a method does.

use std::future;

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// Direct methods being answered at once; more get 429.
const CALLS: usize = 16;

/// A direct method call, to be answered.
#[derive(Debug)]
pub struct MethodCall {
    /// Its name.
    pub name: String,
    /// `null` when there was none.
    pub payload: Value,
    /// Status and payload of the answer.
    pub reply: oneshot::Sender<(i32, Value)>,
}

/// The answer to the call with that request id.
pub(super) struct Answer {
    pub(super) rid: String,
    pub(super) status: i32,
    pub(super) payload: Value,
}

/// The session's end: calls out, answers in.
pub(crate) struct Methods {
    calls: mpsc::Sender<MethodCall>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Methods {
    pub(crate) fn new(calls: mpsc::Sender<MethodCall>) -> Self {
        Self { calls, answers: FuturesUnordered::new() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.answers.is_empty()
    }

    pub(super) fn call(&mut self, name: String, rid: String, body: &[u8]) {
        let payload = serde_json::from_slice(body).unwrap_or(Value::Null);
        let (reply, answer) = oneshot::channel();
        let call = MethodCall { name, payload, reply };
        let accepted = self.answers.len() < CALLS && self.calls.try_send(call).is_ok();
        self.answers.push(Box::pin(async move {
            let (status, payload) = if accepted {
                answer.await.unwrap_or_else(|_| (500, json!({ "message": "the agent is shutting down" })))
            } else {
                (429, json!({ "message": "too many methods are being called at once" }))
            };
            Answer { rid, status, payload }
        }));
    }

    /// The next answer to send. Can be cancelled.
    pub(super) async fn next(&mut self) -> Answer {
        match self.answers.next().await {
            Some(answer) => answer,
            None => future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_call_is_answered_and_too_many_are_turned_away() {
        let (sender, mut calls) = mpsc::channel(64);
        let mut methods = Methods::new(sender);
        for rid in 0..=CALLS {
            methods.call("m".to_owned(), rid.to_string(), br#"{"a":1}"#);
        }
        let refused = methods.next().await;
        assert_eq!((refused.rid, refused.status), (CALLS.to_string(), 429));
        let call = calls.recv().await.unwrap();
        assert_eq!((call.name.as_str(), &call.payload), ("m", &json!({"a": 1})));
        call.reply.send((200, json!("done"))).unwrap();
        let answer = methods.next().await;
        assert_eq!((answer.rid.as_str(), answer.status, answer.payload), ("0", 200, json!("done")));
        // Whoever should answer is gone.
        drop(calls);
        let answer = methods.next().await;
        assert_eq!(answer.status, 500);
        assert_eq!(methods.answers.len(), CALLS - 2);
        assert!(!methods.is_idle());
    }
}
