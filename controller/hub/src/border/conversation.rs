//! One MQTT connection with a core of its own, driven by hand: after each piece of what the client sends everything comes to
//! rest before the next one is sent. The same pieces give the same conversation, always.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};

use hemline_hub_core::{
    core::{Core, CoreConfig},
    effect::Effect,
    event::Event,
    write::Restored,
};
use jiff::Timestamp;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::pipe::Pipe;
use crate::{
    config::Limits,
    door::{Door, Places},
    head::{
        HeadCounters,
        mqtt::{MqttHead, connection},
        refusals::Refusals,
    },
    mailbox::Mailbox,
    outbox::Outbox,
    visitor::Visitor,
    x509::DeviceAuthorities,
};

/// Something that the core heard or wanted, in the order of events.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few at a time, and looked at as they are")]
pub enum Moment {
    /// The head told the core.
    Heard(Event),
    /// The core answered. What is to be persisted counts as persisted, as behind a disk that never fails.
    Did(Effect),
}

/// How a conversation went.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// All bytes that the hub sent.
    pub sent: Vec<u8>,
    /// What the core had to do with it.
    pub moments: Vec<Moment>,
    /// Did the hub end it before the client did?
    pub closed_by_hub: bool,
}

/// A connection that is going on.
pub struct Conversation {
    core: Core,
    now: Timestamp,
    mail: mpsc::Receiver<Event>,
    outbox: Arc<Outbox>,
    pipe: Pipe,
    moments: Vec<Moment>,
    /// `None` when the hub has ended it.
    serving: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Only for its timers, which never run out: nobody drives it.
    runtime: Runtime,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("moments", &self.moments).finish_non_exhaustive()
    }
}

impl Conversation {
    /// A client has shaken hands with a hub that starts from this, and has said nothing yet. `now` stands still.
    ///
    /// # Errors
    /// When the system refuses what timers need.
    pub fn begin(config: CoreConfig, restored: Restored, now: Timestamp) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let limits = Limits::default();
        let counters = Arc::<HeadCounters>::default();
        let outbox = Outbox::new(&limits, Arc::clone(&counters));
        let (mailbox, mail) = Mailbox::new();
        let door = Door::new(limits.door.clone());
        let (_, authorities) = watch::channel(Arc::new(DeviceAuthorities::default()));
        let visitor = Visitor::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None, authorities);
        let pass = door.hold(visitor.origin, Places::Mqtt).map_err(io::Error::other)?;
        let head = MqttHead {
            mailbox,
            outbox: Arc::clone(&outbox),
            limits,
            counters,
            refusals: Refusals::default(),
            door,
        };
        let pipe = Pipe::default();
        let stream = pipe.hub_end();
        let serving = Box::pin(async move {
            connection::serve(&head, stream, visitor, pass, CancellationToken::new()).await;
        });
        let core = Core::restore(config, restored);
        let moments = Vec::new();
        let mut begun = Self { core, now, mail, outbox, pipe, moments, serving: Some(serving), runtime };
        begun.settle();
        Ok(begun)
    }

    /// The client sends something.
    pub fn send(&mut self, bytes: &[u8]) {
        self.pipe.send(bytes);
        self.settle();
    }

    /// The client is gone without a word.
    #[must_use]
    pub fn end(mut self) -> Told {
        let closed_by_hub = self.serving.is_none();
        self.pipe.end();
        self.settle();
        Told { sent: self.pipe.received(), moments: std::mem::take(&mut self.moments), closed_by_hub }
    }

    /// Lets head and core work until neither has anything left to do.
    fn settle(&mut self) {
        loop {
            let before = self.pipe.steps();
            {
                let _timers = self.runtime.enter();
                let mut cx = Context::from_waker(Waker::noop());
                if let Some(serving) = &mut self.serving
                    && serving.as_mut().poll(&mut cx).is_ready()
                {
                    self.serving = None;
                }
            }
            if !self.hear() && self.pipe.steps() == before {
                return;
            }
        }
    }

    /// What the task and the writer of a hub do. Was there anything?
    fn hear(&mut self) -> bool {
        let mut any = false;
        while let Ok(event) = self.mail.try_recv() {
            any = true;
            self.moments.push(Moment::Heard(event.clone()));
            for effect in self.core.handle(event, self.now) {
                self.moments.push(Moment::Did(effect.clone()));
                self.outbox.release(effect);
            }
        }
        any
    }
}
