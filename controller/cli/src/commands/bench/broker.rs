//! `hem bench broker`: the loads that any MQTT broker can bear, so that it can be compared with a hub.

use std::sync::Arc;

use super::{Common, bounded};
use crate::{
    args::{Args, BenchBroker, LoadKind},
    error::CommandError,
    load::{self, Actor, Report, Security, Target},
};

/// Loads the broker.
pub(super) async fn run(args: &Args, typed: &BenchBroker) -> Result<Report, CommandError> {
    let BenchBroker { host, port, tls, user, password, load } = typed;
    let security = match (tls, &args.ca) {
        (false, _) => Security::Plain,
        (true, Some(path)) => {
            let pem = std::fs::read_to_string(path).map_err(|source| CommandError::File {
                action: "read",
                path: path.clone(),
                source,
            })?;
            Security::tls(&pem, host)?
        }
        (true, None) => {
            return Err(CommandError::Usage("--tls needs the authority of the broker: --ca FILE".to_owned()));
        }
    };
    let target = Target::find(host, *port, security, load.allow_remote).await?;
    let mut common = Common::new(load, target, load.server_pid)?;
    let login = user.as_ref().map(|user| (user.clone(), password.clone().unwrap_or_default()));
    let cast = Cast { run: std::process::id(), login };
    bounded(load, loads(&mut common, &cast)).await?;
    Ok(common.report)
}

/// Whom the clients play.
struct Cast {
    run: u32,
    login: Option<(String, String)>,
}

impl Cast {
    fn actor(&self, name: &str) -> Actor {
        Actor::of_broker(format!("hem-load-{:x}-{name}", self.run), self.login.clone())
    }
}

async fn loads(common: &mut Common<'_>, cast: &Cast) -> Result<(), CommandError> {
    let idle = |n: u32| {
        let actor = cast.actor(&n.to_string());
        let filters = load::broker_filters(&actor.client);
        actor.listening_to(filters)
    };
    let actors: Arc<[Actor]> = (0..common.load.sessions).map(idle).collect();
    if common.load.wants(LoadKind::Idle) {
        let sessions = common.idle(&actors).await?;
        common.close(sessions).await;
    }
    if common.load.wants(LoadKind::Connects) {
        common.connects(&actors).await?;
    }
    if common.load.wants(LoadKind::Telemetry) {
        let topic = format!("load/{:x}/messages", cast.run);
        let senders = (0..common.load.senders)
            .map(|n| (cast.actor(&format!("sender-{n}")), format!("{topic}/{n}")))
            .collect();
        let receiver = cast.actor("sink").listening_to([format!("{topic}/#")]);
        common.telemetry(senders, &receiver, "a subscriber").await?;
    }
    Ok(())
}
