//! Two channels to a forge, statuses and comments: an outcome goes in, calls go out when it is time, nobody waits.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{ForgeConfig, ForgeError, Outcome, client::Forge, outcome::Told, queue::Queue};
use crate::{
    Reason, SecretText, SourceError, Trouble,
    batch::{Pace, REFUSED},
};

/// What a channel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Statuses,
    Comments,
}

/// The channels of one forge.
#[derive(Debug)]
pub(crate) struct Channels {
    forge: Arc<Forge>,
    statuses: Option<Channel>,
    comments: Option<Channel>,
}

#[derive(Debug)]
struct Channel {
    says: Says,
    token: SecretText,
    told: Told,
    queue: Queue,
    pace: Pace,
    under_way: Option<(Outcome, AbortOnDropHandle<Result<(), ForgeError>>)>,
    trouble: Option<String>,
}

impl Channels {
    pub(crate) fn new(config: ForgeConfig) -> Result<Self, SourceError> {
        let every = config.every;
        let channel = |says, token: &Option<SecretText>| {
            token.clone().map(|token| Channel {
                says,
                token,
                told: Told::default(),
                queue: Queue::default(),
                pace: Pace::new(every),
                under_way: None,
                trouble: None,
            })
        };
        let statuses = channel(Says::Statuses, &config.statuses);
        let comments = channel(Says::Comments, &config.comments);
        Ok(Self { forge: Arc::new(Forge::new(config)?), statuses, comments })
    }

    /// Takes what can be said of each revision now; what is news is told. No revision stays open that nothing is said of.
    pub(crate) fn tell(&mut self, outcomes: &[Outcome]) {
        for channel in self.statuses.iter_mut().chain(&mut self.comments) {
            let news = channel.told.news(outcomes);
            let begins = !news.is_empty();
            news.into_iter().for_each(|outcome| channel.queue.put(outcome));
            if begins {
                channel.start(&self.forge);
            }
        }
    }

    /// Does what is due next. Never returns when nothing waits. Cancel-safe.
    pub(crate) async fn step(&mut self) {
        let Self { forge, statuses, comments } = self;
        tokio::select! {
            () = step(statuses, forge) => {}
            () = step(comments, forge) => {}
        }
    }

    pub(crate) fn busy(&self) -> bool {
        let channels = self.statuses.iter().chain(&self.comments);
        channels.into_iter().any(|channel| {
            channel.trouble.is_none() && (channel.under_way.is_some() || !channel.queue.is_empty())
        })
    }

    /// Why something is not told.
    pub(crate) fn trouble(&self) -> impl Iterator<Item = Trouble> {
        let channels = self.statuses.iter().chain(&self.comments);
        channels.filter_map(|channel| {
            let why = channel.trouble.as_deref()?;
            Some(Trouble::new(channel.says.reason(), why))
        })
    }

    /// Who opens pull requests, if a token for it is there.
    pub(crate) fn puller(&self) -> Option<Puller> {
        let token = self.forge.config().pulls.clone()?;
        Some(Puller { forge: Arc::clone(&self.forge), token })
    }
}

/// Opens pull requests.
#[derive(Debug, Clone)]
pub(crate) struct Puller {
    forge: Arc<Forge>,
    token: SecretText,
}

impl Puller {
    /// Opens one, or finds the one that is open; its address.
    pub(crate) async fn pull(
        &self,
        branch: &str,
        base: &str,
        words: (&str, &str),
    ) -> Result<String, ForgeError> {
        self.forge.pull(branch, base, words, &self.token).await
    }
}

impl Says {
    fn reason(self) -> Reason {
        match self {
            Self::Statuses => Reason::CommitStatus,
            Self::Comments => Reason::Comment,
        }
    }
}

async fn step(channel: &mut Option<Channel>, forge: &Arc<Forge>) {
    match channel {
        Some(channel) => channel.step(forge).await,
        None => std::future::pending().await,
    }
}

impl Channel {
    async fn step(&mut self, forge: &Arc<Forge>) {
        if let Some((outcome, under_way)) = &mut self.under_way {
            let finished = under_way.await.unwrap_or(Err(SourceError::Interrupted.into()));
            let outcome = outcome.clone();
            self.under_way = None;
            return self.finish(outcome, finished);
        }
        if self.queue.is_empty() {
            return std::future::pending().await;
        }
        sleep_until(self.pace.due(Instant::now())).await;
        self.start(forge);
    }

    fn start(&mut self, forge: &Arc<Forge>) {
        let now = Instant::now();
        if self.under_way.is_some() || self.pace.due(now) > now {
            return;
        }
        let Some(outcome) = self.queue.take() else { return };
        self.pace.begun(now);
        let (forge, token, says, told) = (Arc::clone(forge), self.token.clone(), self.says, outcome.clone());
        let under_way = tokio::spawn(async move {
            match says {
                Says::Statuses => forge.status(&told, &token).await,
                Says::Comments => forge.comment(&told, &token).await,
            }
        });
        self.under_way = Some((outcome, AbortOnDropHandle::new(under_way)));
    }

    fn finish(&mut self, outcome: Outcome, finished: Result<(), ForgeError>) {
        let error = match finished {
            Ok(()) => {
                self.trouble = None;
                return self.pace.sent();
            }
            Err(error) => error,
        };
        let text = error.to_string();
        let now = Instant::now();
        match error {
            // The forge's own pace is no trouble.
            ForgeError::Busy { again, .. } => {
                self.pace.rest(now + again);
                return self.queue.first(outcome);
            }
            // About the token: everything waits for a better one.
            ForgeError::Refused { status: 401..=403, .. } | ForgeError::Token(_) => {
                self.pace.rest(now + REFUSED);
                self.queue.first(outcome);
            }
            // It may be about this commit alone, as when a push took it away: it must not hold up the next one.
            ForgeError::Refused { .. } => {
                self.pace.rest(now + REFUSED);
                if self.queue.is_empty() {
                    self.queue.first(outcome);
                }
            }
            ForgeError::Failed { .. } => {
                self.pace.failed(now);
                self.queue.last(outcome);
            }
        }
        self.trouble = Some(text);
    }
}
