//! One connection of a client, from the hub's acceptance to its end.
//!
//! Two halves run side by side in one task: [`pump`] drives the socket and is never interrupted, because the library's
//! writes do not survive that; [`Talk`] decides and never waits for the socket. Not here: what outlives the connection
//! (`session.rs`).

use std::{convert::Infallible, future, time::Duration};

use hemline_protocol::topic::{self, HubTopic};
use rumqttc::{
    AsyncClient, Event, EventLoop, Outgoing, Packet, Publish, QoS, SubscribeFilter, SubscribeReasonCode,
};
use serde_json::{Map, Value};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    Line, Messages, Methods, Refused, Report, Reported, Session, Wish, desired::Step, inputs::Taken,
    methods::Answer,
};
use crate::causes;

/// Events between the two halves.
const NEWS: usize = 32;

/// Before a planned reconnect: how long what is owed on either side is waited for.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Pause after the hub could not give the twin. Never at once: that is how clients flood hubs.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client was closed.
    Stopped,
    /// The token runs out.
    Renewal,
    /// The hub does not want this client, in words.
    Refused(String),
    /// Anything else, in words.
    Broken(String),
}

/// What the socket half tells.
enum News {
    Subscribed {
        granted: bool,
    },
    /// A message was given this packet id.
    Sent(u16),
    Acknowledged(u16),
    Arrived(Publish),
    /// Everything that was asked for has left, the DISCONNECT too.
    Farewell,
    Lost(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The hub has not confirmed the subscriptions yet.
    Subscribing,
    /// Everything goes.
    Ready,
    /// Nothing new is sent; what is unacknowledged or unanswered is waited for until then.
    Draining(Instant),
    /// The DISCONNECT is on its way; not waited for longer than that.
    Leaving(Instant),
}

/// A request to the hub that has no answer yet.
struct Asked {
    rid: String,
    at: Instant,
}

/// The deciding half.
struct Talk<'a> {
    session: &'a mut Session,
    requests: AsyncClient,
    renew_at: Instant,
    begun: Instant,
    phase: Phase,
    get: Option<Asked>,
    get_again: Option<Instant>,
    report: Option<Asked>,
    stopped: bool,
    last_rid: u64,
}

impl Session {
    /// Uses a connection as long as it lasts.
    pub(super) async fn serve(&mut self, line: Line) -> End {
        let Line { requests, mut events, renew_at } = line;
        let (sink, news) = mpsc::channel(NEWS);
        let talk = Talk {
            session: self,
            requests,
            renew_at,
            begun: Instant::now(),
            phase: Phase::Subscribing,
            get: None,
            get_again: None,
            report: None,
            stopped: false,
            last_rid: 0,
        };
        tokio::select! {
            end = talk.run(news) => end,
            never = pump(&mut events, sink) => match never {},
        }
    }
}

/// Drives the socket. After its end it waits to be dropped, so that nothing it told is lost.
async fn pump(events: &mut EventLoop, news: mpsc::Sender<News>) -> Infallible {
    loop {
        let item = match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => News::Arrived(publish),
            Ok(Event::Incoming(Packet::PubAck(ack))) => News::Acknowledged(ack.pkid),
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                News::Subscribed { granted: !ack.return_codes.contains(&SubscribeReasonCode::Failure) }
            }
            Ok(Event::Outgoing(Outgoing::Publish(packet))) if packet > 0 => News::Sent(packet),
            Ok(Event::Outgoing(Outgoing::Disconnect)) => News::Farewell,
            Ok(Event::Incoming(_) | Event::Outgoing(_)) => continue,
            Err(error) => News::Lost(causes(&error)),
        };
        let last = matches!(item, News::Lost(_));
        if news.send(item).await.is_err() || last {
            return future::pending().await;
        }
    }
}

impl Talk<'_> {
    async fn run(mut self, mut news: mpsc::Receiver<News>) -> End {
        match self.talk(&mut news).await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    /// Ends with the reason of the end as its error.
    async fn talk(&mut self, news: &mut mpsc::Receiver<News>) -> Result<Infallible, End> {
        self.subscribe()?;
        let stop = self.session.ends.stop.clone();
        loop {
            self.due(Instant::now())?;
            self.hand_over()?;
            let ready = self.phase == Phase::Ready;
            let wake = self.wake();
            let session = &mut *self.session;
            let ends = &mut session.ends;
            let room = ready && session.outbox.has_room();
            let answering = ready || matches!(self.phase, Phase::Draining(_));
            tokio::select! {
                item = news.recv() => match item {
                    Some(item) => self.on_news(item)?,
                    None => return Err(End::Broken("the socket half is gone".to_owned())),
                },
                wish = next_wish(ends.messages.as_mut(), room) => self.on_wish(wish)?,
                answer = next_answer(ends.methods.as_mut()), if answering => self.answer(&answer)?,
                Some(report) = ends.reports.recv(), if ready && session.report.is_none() => {
                    session.report = Some(report);
                }
                () = stop.cancelled(), if !self.stopped => {
                    self.stopped = true;
                    self.leave()?;
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    fn subscribe(&mut self) -> Result<(), End> {
        let ends = &mut self.session.ends;
        let mut filters = vec![
            SubscribeFilter::new(topic::TWIN_RESPONSES.to_owned(), QoS::AtMostOnce),
            SubscribeFilter::new(topic::DESIRED_PATCHES.to_owned(), QoS::AtMostOnce),
        ];
        if ends.methods.is_some() {
            filters.push(SubscribeFilter::new(topic::METHODS.to_owned(), QoS::AtMostOnce));
        }
        if let Some(messages) = &mut ends.messages
            && *messages.inputs_wanted.borrow_and_update()
        {
            filters.push(inputs_filter(messages));
        }
        queued(self.requests.try_subscribe_many(filters))
    }

    fn on_wish(&mut self, wish: Wish) -> Result<(), End> {
        match wish {
            Wish::Send(output) => self.session.outbox.push(output),
            Wish::Acknowledge(packet) => self.acknowledge(packet)?,
            Wish::SubscribeInputs => {
                let filter = self.session.ends.messages.as_ref().map(inputs_filter);
                queued(self.requests.try_subscribe_many(filter))?;
            }
        }
        Ok(())
    }

    fn on_news(&mut self, news: News) -> Result<(), End> {
        match news {
            News::Subscribed { granted: false } => {
                Err(End::Broken("the hub refuses a subscription".to_owned()))
            }
            News::Subscribed { granted: true } => {
                if self.phase == Phase::Subscribing {
                    self.phase = Phase::Ready;
                    self.session.up();
                    return self.ask();
                }
                Ok(())
            }
            News::Sent(packet) => {
                self.session.outbox.sent(packet);
                Ok(())
            }
            News::Acknowledged(packet) => {
                self.session.outbox.acknowledged(packet);
                Ok(())
            }
            News::Arrived(publish) => self.on_message(publish),
            News::Farewell => Err(self.end()),
            News::Lost(reason) => {
                if matches!(self.phase, Phase::Leaving(_)) {
                    Err(self.end())
                } else {
                    Err(End::Broken(reason))
                }
            }
        }
    }

    fn on_message(&mut self, publish: Publish) -> Result<(), End> {
        let topic = HubTopic::parse(&publish.topic, &self.session.config.client);
        let topic = match (topic, &mut self.session.ends.messages) {
            (Ok(HubTopic::Input { input, properties }), Some(messages)) => {
                return match messages.inputs.take(input, properties, publish.payload, publish.pkid) {
                    Taken::Yes => Ok(()),
                    Taken::TooMany => Err(End::Broken("the module is too slow for its inputs".to_owned())),
                };
            }
            (topic, _) => topic,
        };
        if publish.qos != QoS::AtMostOnce {
            self.acknowledge(publish.pkid)?;
        }
        match topic {
            Ok(HubTopic::TwinResponse { status, rid, version: _ }) => {
                self.on_answer(status, &rid, &publish.payload)
            }
            Ok(HubTopic::DesiredPatch { version }) => {
                let step = self.session.follower.patch(version, &publish.payload);
                self.follow(step)
            }
            Ok(HubTopic::MethodCall { name, rid }) => {
                if let Some(methods) = &mut self.session.ends.methods {
                    methods.call(name, rid, &publish.payload);
                }
                Ok(())
            }
            // Not subscribed.
            Ok(HubTopic::CloudToDevice { .. } | HubTopic::Input { .. }) => Ok(()),
            Err(error) => {
                tracing::warn!(topic = publish.topic, %error, "message on an unexpected topic is passed over");
                Ok(())
            }
        }
    }

    fn on_answer(&mut self, status: u16, rid: &str, body: &[u8]) -> Result<(), End> {
        if self.get.take_if(|asked| asked.rid == rid).is_some() {
            if status >= 300 {
                tracing::warn!(status, "the hub does not give the twin; asking again");
                self.get_again = Some(Instant::now() + ASK_AGAIN);
                return Ok(());
            }
            let no_twin = |error| End::Broken(format!("the hub's answer is no twin: {error}"));
            let step = self.session.follower.whole(body).map_err(no_twin)?;
            self.follow(step)?;
            // Once per connection: a later answer may have been written before a report that is on its way.
            if let Some(sender) = &self.session.ends.reported
                && sender.borrow().is_none()
            {
                let properties = reported(body).map_err(no_twin)?;
                sender.send_replace(Some(Reported { connection: self.session.connection, properties }));
            }
            return Ok(());
        }
        if self.report.take_if(|asked| asked.rid == rid).is_some()
            && let Some(Report { done, .. }) = self.session.report.take()
        {
            let outcome = if status < 300 { Ok(()) } else { Err(refused(status, body)) };
            // Whoever reported may have given up.
            done.send(outcome).ok();
        }
        Ok(())
    }

    /// Publishes what the properties have become, or asks for them anew.
    fn follow(&mut self, step: Step) -> Result<(), End> {
        let current = self.session.follower.current();
        self.session.ends.desired.send_if_modified(|seen| {
            let new = seen != current;
            if new {
                seen.clone_from(current);
            }
            new
        });
        match step {
            Step::Changed | Step::Unchanged => Ok(()),
            Step::Ask => self.ask(),
        }
    }

    /// Asks for the twin, unless an answer or the time to ask is awaited already.
    fn ask(&mut self) -> Result<(), End> {
        if self.get.is_some() || self.get_again.is_some() {
            return Ok(());
        }
        let asked = self.asked();
        let sent = self.requests.try_publish(topic::twin_get(&asked.rid), QoS::AtMostOnce, false, Vec::new());
        self.get = Some(asked);
        queued(sent)
    }

    fn asked(&mut self) -> Asked {
        self.last_rid += 1;
        Asked { rid: self.last_rid.to_string(), at: Instant::now() }
    }

    fn acknowledge(&self, packet: u16) -> Result<(), End> {
        let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
        publish.pkid = packet;
        queued(self.requests.try_ack(&publish))
    }

    fn answer(&self, answer: &Answer) -> Result<(), End> {
        let Answer { rid, status, payload } = answer;
        let body = if payload.is_null() { Vec::new() } else { payload.to_string().into_bytes() };
        queued(self.requests.try_publish(topic::method_result(*status, rid), QoS::AtMostOnce, false, body))
    }

    /// Hands what waits to the socket half. The window of the outbox bounds it.
    fn hand_over(&mut self) -> Result<(), End> {
        match self.phase {
            Phase::Subscribing | Phase::Leaving(_) => return Ok(()),
            Phase::Ready | Phase::Draining(_) => {}
        }
        while let Some((topic, body)) = self.session.outbox.next(Instant::now()) {
            queued(self.requests.try_publish(topic, QoS::AtLeastOnce, false, body))?;
        }
        if self.report.is_none() {
            let connection = self.session.connection;
            self.session.report.take_if(|report| report.is_void(connection));
        }
        if self.report.is_none()
            && let Some(body) = self.session.report.as_ref().map(|report| report.body.clone())
        {
            let asked = self.asked();
            let topic = topic::reported_patch(&asked.rid);
            self.report = Some(asked);
            queued(self.requests.try_publish(topic, QoS::AtMostOnce, false, body))?;
        }
        Ok(())
    }

    /// Does what is due by the clock.
    fn due(&mut self, now: Instant) -> Result<(), End> {
        match self.phase {
            Phase::Ready if now >= self.renew_at => self.phase = Phase::Draining(now + DRAIN),
            Phase::Leaving(until) if now >= until => return Err(self.end()),
            Phase::Subscribing | Phase::Ready | Phase::Draining(_) | Phase::Leaving(_) => {}
        }
        if let Phase::Draining(until) = self.phase {
            let session = &*self.session;
            let answered = session.ends.methods.as_ref().is_none_or(Methods::is_idle);
            let nothing_owed = answered && session.outbox.is_empty() && session.report.is_none();
            if nothing_owed || now >= until {
                self.leave()?;
            }
        }
        if self.owed_since().is_some_and(|since| now >= since + self.session.config.timing.patience) {
            return Err(End::Broken("the hub does not answer".to_owned()));
        }
        if self.get_again.take_if(|at| *at <= now).is_some() {
            self.ask()?;
        }
        Ok(())
    }

    /// Since when the hub owes its oldest answer.
    fn owed_since(&self) -> Option<Instant> {
        let subscription = (self.phase == Phase::Subscribing).then_some(self.begun);
        let asked = |asked: &Option<Asked>| asked.as_ref().map(|asked| asked.at);
        let owed = [subscription, asked(&self.get), asked(&self.report), self.session.outbox.oldest()];
        owed.into_iter().flatten().min()
    }

    /// When `due` has something to do next.
    fn wake(&self) -> Instant {
        let patience = self.session.config.timing.patience;
        let phase = match self.phase {
            Phase::Subscribing => self.begun + patience,
            Phase::Ready => self.renew_at,
            Phase::Draining(until) | Phase::Leaving(until) => until,
        };
        let owed = self.owed_since().map(|since| since + patience);
        [owed, self.get_again].into_iter().flatten().fold(phase, Instant::min)
    }

    /// Sends the acknowledgements that wait, then the DISCONNECT.
    fn leave(&mut self) -> Result<(), End> {
        while let Some(packet) = self.session.ends.messages.as_mut().and_then(|it| it.inputs.waiting_ack()) {
            self.acknowledge(packet)?;
        }
        self.phase = Phase::Leaving(Instant::now() + FAREWELL);
        queued(self.requests.try_disconnect())
    }

    fn end(&self) -> End {
        if self.stopped { End::Stopped } else { End::Renewal }
    }
}

/// A full queue means that the socket has not taken anything for long.
fn queued(outcome: Result<(), rumqttc::ClientError>) -> Result<(), End> {
    outcome.map_err(|_| End::Broken("the connection does not take what is to be sent".to_owned()))
}

fn inputs_filter(messages: &Messages) -> SubscribeFilter {
    SubscribeFilter::new(messages.inputs_filter.clone(), QoS::AtLeastOnce)
}

async fn next_wish(messages: Option<&mut Messages>, room: bool) -> Wish {
    match messages {
        Some(messages) => messages.next(room).await,
        None => future::pending().await,
    }
}

async fn next_answer(methods: Option<&mut Methods>) -> Answer {
    match methods {
        Some(methods) => methods.next().await,
        None => future::pending().await,
    }
}

/// The reported properties of a twin.
fn reported(twin: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Twin {
        #[serde(default)]
        reported: Map<String, Value>,
    }
    let Twin { mut reported } = serde_json::from_slice(twin)?;
    reported.retain(|key, _| !key.starts_with('$'));
    Ok(reported)
}

fn refused(status: u16, body: &[u8]) -> Refused {
    let words = serde_json::from_slice::<Value>(body).ok();
    let message = words.as_ref().and_then(|words| words.get("message")).and_then(Value::as_str);
    Refused { status, message: message.unwrap_or("no reason given").to_owned() }
}
