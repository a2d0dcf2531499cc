//! One connection to the parent, from the first byte to the last.
//!
//! Bytes go both ways at once, and nothing waits for a full socket but what is to be written: a parent that is slow to
//! take messages is still heard.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use hemline_hub_core::{
    event::DeliveryId,
    upstream::{Dialect, FromParent, LinkId, Said, ToParent},
};
use hemline_protocol::topic::nested;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::TcpStream,
    sync::mpsc::Receiver,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{Upstream, UpstreamConfig, words};
use crate::head::{
    mqtt::codec::parent::{self, ParentPacket, Verdict},
    refusals::Refusals,
};

/// Beyond this many unsent bytes nothing more is taken for the parent.
const HIGH_WATER: usize = 256 << 10;

/// Room made for a read.
const READ: usize = 16 << 10;

/// What is left to send at the end is sent within this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// Packets that may come before the subscription is granted.
const EARLY: usize = 4_096;

/// Packet id of the one subscription; messages have others.
const SUBSCRIPTION: u16 = 1;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The hub stops.
    Stopped,
    /// The token runs out soon.
    Renewal,
    /// The parent does not want this identity.
    Refused(String),
    /// Anything else.
    Broken(String),
}

/// A connection that the parent has accepted.
pub(super) struct Line {
    reader: ReadHalf<TlsStream<TcpStream>>,
    writer: WriteHalf<TlsStream<TcpStream>>,
    input: BytesMut,
    output: BytesMut,
    unflushed: bool,
    packet_bytes: usize,
    /// Messages that the parent has not acknowledged, by packet id.
    flight: HashMap<u16, DeliveryId>,
    last_id: u16,
    /// When a byte last came in.
    heard: Instant,
    /// When an acknowledgement last came in, or the first message of a new flight went out.
    progress: Instant,
    asked_for_life: bool,
    refusals: Refusals,
    /// What came before the subscription was granted: a session that lasts goes on at once.
    early: VecDeque<ParentPacket>,
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Line {
    /// Dials, is let in and subscribes.
    pub(super) async fn dial(config: &UpstreamConfig, packet_bytes: usize) -> Result<Self, End> {
        match timeout(config.timing.dial, Self::open(config, packet_bytes)).await {
            Ok(line) => line,
            Err(_) => Err(End::Broken("the parent does not answer".to_owned())),
        }
    }

    async fn open(config: &UpstreamConfig, packet_bytes: usize) -> Result<Self, End> {
        let stream = TcpStream::connect((config.host.as_str(), config.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(config.host.clone())
            .map_err(|_| End::Refused(format!("{:?} is no host name", config.host)))?;
        let stream = TlsConnector::from(Arc::clone(&config.trust)).connect(name, stream).await?;
        let (reader, writer) = tokio::io::split(stream);
        let now = Instant::now();
        let mut line = Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            packet_bytes,
            flight: HashMap::new(),
            last_id: SUBSCRIPTION,
            heard: now,
            progress: now,
            asked_for_life: false,
            refusals: Refusals::default(),
            early: VecDeque::new(),
        };
        parent::connect(&mut line.output, config.login(Timestamp::now()));
        match line.answer().await? {
            ParentPacket::ConnAck(Verdict::Accepted) => {}
            ParentPacket::ConnAck(Verdict::Unavailable) => {
                return Err(End::Broken("the parent is not ready".to_owned()));
            }
            ParentPacket::ConnAck(Verdict::Refused) => {
                return Err(End::Refused(format!(
                    "the parent refuses {}: it is unknown, disabled or no edge device there, or its key or a clock is wrong",
                    config.client()
                )));
            }
            other => return Err(End::Broken(format!("the parent said {other:?} before CONNACK"))),
        }
        match config.dialect {
            Dialect::Plain => {}
            Dialect::Nested => {
                parent::subscribe(&mut line.output, SUBSCRIPTION, nested::EVERYTHING);
                loop {
                    match line.answer().await? {
                        ParentPacket::SubAck { granted: true } => break,
                        early @ ParentPacket::Publish { .. } if line.early.len() < EARLY => {
                            line.early.push_back(early);
                        }
                        _ => return Err(End::Broken("the parent did not subscribe us".to_owned())),
                    }
                }
            }
        }
        Ok(line)
    }

    /// Sends what is there and waits for one packet.
    async fn answer(&mut self) -> Result<ParentPacket, End> {
        self.writer.write_all_buf(&mut self.output).await?;
        self.writer.flush().await?;
        loop {
            if let Some(packet) = self.packet()? {
                return Ok(packet);
            }
            self.read().await?;
        }
    }

    fn packet(&mut self) -> Result<Option<ParentPacket>, End> {
        parent::decode(&mut self.input, self.packet_bytes)
            .map_err(|error| End::Broken(format!("the parent {error}")))
    }

    fn next_packet(&mut self) -> Result<Option<ParentPacket>, End> {
        match self.early.pop_front() {
            Some(packet) => Ok(Some(packet)),
            None => self.packet(),
        }
    }

    async fn read(&mut self) -> Result<(), End> {
        self.input.reserve(READ);
        if self.reader.read_buf(&mut self.input).await? == 0 {
            return Err(End::Broken("the parent closed the connection".to_owned()));
        }
        self.heard = Instant::now();
        self.asked_for_life = false;
        Ok(())
    }

    /// Carries messages until one side ends it.
    pub(super) async fn serve(
        &mut self,
        upstream: &Upstream,
        link: LinkId,
        mut from_core: Receiver<ToParent>,
        renew_at: Instant,
        stop: &CancellationToken,
    ) -> End {
        let timing = &upstream.config.timing;
        let mut leaving: Option<(Instant, End)> = None;
        loop {
            if let Err(end) = self.take_packets(upstream, link).await {
                return end;
            }
            let now = Instant::now();
            if leaving.is_none() && now >= renew_at {
                leaving = Some((now + timing.drain, End::Renewal));
            }
            if let Some((_, end)) = leaving.take_if(|(until, _)| self.flight.is_empty() || now >= *until) {
                parent::disconnect(&mut self.output);
                return end;
            }
            if let Err(end) = self.judge(timing, now) {
                return end;
            }
            let until = leaving.as_ref().map(|(until, _)| *until);
            let wake = self.wake(timing, renew_at, until);
            let (pending, has_room) =
                (!self.output.is_empty() || self.unflushed, self.output.len() < HIGH_WATER);
            // Every arm is cancel-safe: a read or write moved bytes or did nothing, a channel loses nothing.
            let moved = tokio::select! {
                read = read_more(&mut self.reader, &mut self.input) => Moved::In(read),
                written = write_some(&mut self.writer, &mut self.output), if pending => Moved::Out(written),
                what = from_core.recv(), if has_room && leaving.is_none() => Moved::FromCore(what),
                () = sleep_until(wake) => Moved::Nothing,
                () = stop.cancelled(), if leaving.is_none() => Moved::Stop,
            };
            let outcome = match moved {
                Moved::In(Ok(0)) => Err(End::Broken("the parent closed the connection".to_owned())),
                Moved::In(Ok(_)) => {
                    self.heard = Instant::now();
                    self.asked_for_life = false;
                    Ok(())
                }
                Moved::Out(Ok(Sent::Bytes(0))) => {
                    Err(End::Broken("the parent takes no more bytes".to_owned()))
                }
                Moved::Out(Ok(sent)) => {
                    self.unflushed = matches!(sent, Sent::Bytes(_));
                    Ok(())
                }
                Moved::In(Err(error)) | Moved::Out(Err(error)) => Err(error.into()),
                Moved::FromCore(Some(what)) => self.send(upstream, link, what).await,
                // The queue of the link was full, or the hub has failed.
                Moved::FromCore(None) => Err(End::Broken("the link is slower than the hub".to_owned())),
                Moved::Nothing => Ok(()),
                Moved::Stop => {
                    leaving = Some((Instant::now() + timing.drain, End::Stopped));
                    Ok(())
                }
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }

    /// Does the parent still live, and does it acknowledge?
    fn judge(&mut self, timing: &super::Timing, now: Instant) -> Result<(), End> {
        if now >= self.heard + timing.quiet + timing.patience {
            return Err(End::Broken("the parent is silent".to_owned()));
        }
        if !self.flight.is_empty() && now >= self.progress + timing.quiet + timing.patience {
            return Err(End::Broken("the parent acknowledges nothing".to_owned()));
        }
        if now >= self.heard + timing.quiet && !self.asked_for_life {
            self.asked_for_life = true;
            parent::ping(&mut self.output);
        }
        Ok(())
    }

    /// When there is something to judge next.
    fn wake(&self, timing: &super::Timing, renew_at: Instant, until: Option<Instant>) -> Instant {
        let quiet = if self.asked_for_life { timing.quiet + timing.patience } else { timing.quiet };
        let progress = (!self.flight.is_empty()).then_some(self.progress + timing.quiet + timing.patience);
        let planned = until.unwrap_or(renew_at);
        progress.into_iter().chain([planned]).fold(self.heard + quiet, Instant::min)
    }

    async fn take_packets(&mut self, upstream: &Upstream, link: LinkId) -> Result<(), End> {
        while let Some(packet) = self.next_packet()? {
            match packet {
                ParentPacket::PubAck { id } => {
                    if let Some(delivery) = self.flight.remove(&id) {
                        self.progress = Instant::now();
                        upstream.tell(link, FromParent::Acknowledged(delivery)).await?;
                    }
                }
                ParentPacket::Publish { topic, id, retained, body } => {
                    let heard = words::Heard { topic, id, retained, body };
                    let topic = &heard.topic;
                    match words::said(&heard) {
                        Ok(Some(said)) => {
                            // A message for a device is acknowledged when the device has it, one for a topic when it is kept.
                            let waits = matches!(said, Said::CloudToDevice { .. } | Said::Published { .. });
                            self.hear(upstream, link, said).await?;
                            if waits {
                                continue;
                            }
                        }
                        Ok(None) => {
                            tracing::debug!(topic, "the parent said something that is not listened to");
                        }
                        Err(error) => tracing::warn!(topic, %error, "the parent said something unclear"),
                    }
                    if let Some(id) = id {
                        parent::puback(&mut self.output, id);
                    }
                }
                ParentPacket::Pong | ParentPacket::SubAck { .. } => {}
                ParentPacket::ConnAck(_) => {
                    return Err(End::Broken("the parent sent CONNACK twice".to_owned()));
                }
            }
        }
        if self.input.is_empty() {
            // An idle link keeps no buffer.
            self.input = BytesMut::new();
        }
        Ok(())
    }

    async fn hear(&mut self, upstream: &Upstream, link: LinkId, said: Said) -> Result<(), End> {
        if let Said::Refused(client) = &said
            && self.refusals.first(&client.to_string(), "refused", std::time::Instant::now())
        {
            tracing::warn!(
                %client,
                parent = upstream.config.hub_name,
                "the parent refuses messages of this identity: it is not beneath the edge device there, its topic policy forbids them, or they are too large"
            );
        }
        if let Said::TopicsRefused(filters) = &said {
            for filter in filters {
                if self.refusals.first(filter, "refused", std::time::Instant::now()) {
                    let parent = &upstream.config.hub_name;
                    tracing::warn!(
                        filter,
                        parent,
                        "the topic policy of the parent refuses what a bridge wants"
                    );
                }
            }
        }
        upstream.tell(link, FromParent::Said(Box::new(said))).await
    }

    async fn send(&mut self, upstream: &Upstream, link: LinkId, what: ToParent) -> Result<(), End> {
        let hub = upstream.config.client();
        match what {
            ToParent::Message { delivery, message } => {
                let topic = words::message(upstream.config.dialect, &hub, &message);
                return self.carry(upstream, link, (delivery, topic, false), message.body.clone()).await;
            }
            ToParent::Publish { delivery, message, retain } => {
                let topic = message.topic.to_string();
                return self.carry(upstream, link, (delivery, topic, retain), message.body.clone()).await;
            }
            ToParent::Acknowledge(receipt) => parent::puback(&mut self.output, receipt.0),
            other => {
                if let Some((topic, body)) = words::said_to(&hub, other)
                    && let Err(error) = parent::publish(&mut self.output, topic, None, false, body)
                {
                    tracing::error!(%error, "something cannot be said to the parent");
                }
            }
        }
        Ok(())
    }

    /// Sends something that the parent acknowledges.
    async fn carry(
        &mut self,
        upstream: &Upstream,
        link: LinkId,
        (delivery, topic, retain): (DeliveryId, String, bool),
        body: Bytes,
    ) -> Result<(), End> {
        let id = self.next_id();
        if let Err(error) = parent::publish(&mut self.output, topic, Some(id), retain, body) {
            // It would block everything behind it for ever.
            tracing::error!(%error, "a message cannot be sent to the parent and is dropped");
            return upstream.tell(link, FromParent::Acknowledged(delivery)).await;
        }
        if self.flight.is_empty() {
            self.progress = Instant::now();
        }
        self.flight.insert(id, delivery);
        Ok(())
    }

    /// A packet id that is not in use. The core has far fewer on their way than there are.
    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(SUBSCRIPTION + 1);
            if !self.flight.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Sends what is left and closes.
    pub(super) async fn finish(mut self) {
        let farewell = async {
            // The parent may be gone; then there is nobody to tell.
            if self.writer.write_all_buf(&mut self.output).await.is_ok() {
                drop(self.writer.shutdown().await);
            }
        };
        drop(timeout(FAREWELL, farewell).await);
    }
}

enum Moved {
    In(std::io::Result<usize>),
    Out(std::io::Result<Sent>),
    FromCore(Option<ToParent>),
    Nothing,
    Stop,
}

enum Sent {
    Bytes(usize),
    Flushed,
}

async fn read_more(
    reader: &mut ReadHalf<TlsStream<TcpStream>>,
    input: &mut BytesMut,
) -> std::io::Result<usize> {
    if input.capacity() - input.len() < READ {
        input.reserve(READ);
    }
    reader.read_buf(input).await
}

/// Writes what is there; flushes when nothing is.
async fn write_some(
    writer: &mut WriteHalf<TlsStream<TcpStream>>,
    output: &mut BytesMut,
) -> std::io::Result<Sent> {
    if output.has_remaining() {
        writer.write_buf(output).await.map(Sent::Bytes)
    } else {
        writer.flush().await.map(|()| Sent::Flushed)
    }
}
