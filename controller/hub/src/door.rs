//! Who may come to the door, and how often: connections that are not let in yet, new connections and failed attempts, per
//! address and per identity. What is decided is `hemline_hub_core::throttle`; here it is counted and held.
//!
//! Everything is bounded: addresses are forgotten when they owe nothing, and when there are as many connections as
//! `DoorLimits::half_open`, or as there are places for HTTPS, the oldest makes room for the newest. Whoever means to come in needs a moment, and has it; whoever only
//! stands there loses its place. Refusing the newest instead would let a crowd that says nothing keep everybody out. An address of IPv6 counts by its network of 64 bits, which whoever has one has all of.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hemline_hub_core::throttle::{Throttle, Wait};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::DoorLimits;

/// Where somebody comes from, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin(IpAddr);

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let network = u128::from(address) >> 64 << 64;
                Self(IpAddr::V6(Ipv6Addr::from(network)))
            }
            address => Self(address),
        }
    }
}

/// Whose places a connection takes while it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Places {
    /// Those for MQTT, over WebSockets too.
    Mqtt,
    /// Those for HTTPS, which are few.
    Https,
}

/// The door of one hub, for all its listeners.
#[derive(Debug)]
pub(crate) struct Door {
    limits: DoorLimits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: HashMap<Origin, Waiting>,
    /// Everybody who is not let in yet, in the order in which they came.
    standing: BTreeMap<u64, (Places, CancellationToken)>,
    last: u64,
    arrivals: Throttle<Origin>,
    failures: Throttle<Origin>,
    /// Of one identity at one address: whoever guesses from elsewhere must not keep the right one out.
    failures_of: Throttle<(Origin, String)>,
}

/// Connections of one address that are not let in yet.
#[derive(Debug)]
struct Waiting {
    count: usize,
    shaking: Arc<Semaphore>,
}

/// Why somebody is not let near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnedAway {
    #[error("too many connections that are not let in yet, from this address")]
    CrowdedFromHere,
    #[error("new connections from this address {0}")]
    TooOften(Wait),
}

/// A place among the connections that are not let in yet; given back when it goes.
#[derive(Debug)]
pub(crate) struct Pass {
    door: Arc<Door>,
    origin: Origin,
    number: u64,
    /// Cancelled when somebody else has the place.
    pub(crate) taken: CancellationToken,
    /// Turns at shaking hands of this address.
    pub(crate) shaking: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(limits: DoorLimits) -> Arc<Self> {
        let state = State {
            waiting: HashMap::new(),
            standing: BTreeMap::new(),
            last: 0,
            arrivals: Throttle::new(limits.connections, limits.remembered),
            failures: Throttle::new(limits.failures, limits.remembered),
            failures_of: Throttle::new(limits.failures_of_identity, limits.remembered),
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// A new connection. Nothing was read from it yet, so being turned away costs next to nothing.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        places: Places,
        now: Timestamp,
    ) -> Result<Pass, TurnedAway> {
        let origin = Origin::of(address);
        if !self.is_spared(origin) {
            self.state().arrivals.take(origin, now).map_err(TurnedAway::TooOften)?;
        }
        self.hold(origin, places)
    }

    /// A place without counting an arrival: for a connection that has come a step further.
    pub(crate) fn hold(self: &Arc<Self>, origin: Origin, places: Places) -> Result<Pass, TurnedAway> {
        let mut state = self.state();
        let waiting = state.waiting.entry(origin).or_insert_with(|| Waiting {
            count: 0,
            shaking: Arc::new(Semaphore::new(self.limits.handshakes_per_address)),
        });
        // An entry that was just made has room, so no empty one stays behind.
        if waiting.count >= self.limits.half_open_per_address.max(1) && !self.is_spared(origin) {
            return Err(TurnedAway::CrowdedFromHere);
        }
        waiting.count += 1;
        let shaking = Arc::clone(&waiting.shaking);
        while state.standing.len() >= self.limits.half_open.max(1)
            && let Some((_, (_, oldest))) = state.standing.pop_first()
        {
            oldest.cancel();
        }
        state.last += 1;
        let (number, taken) = (state.last, CancellationToken::new());
        state.standing.insert(number, (places, taken.clone()));
        drop(state);
        Ok(Pass { door: Arc::clone(self), origin, number, taken, shaking })
    }

    /// All places of a kind are taken: whoever has proved nothing and stands there longest goes, if it came before this one.
    pub(crate) fn make_room(&self, places: Places, newcomer: &Pass) {
        let mut state = self.state();
        let mut before = state.standing.range(..newcomer.number);
        let oldest = before.find(|(_, (taken, _))| *taken == places).map(|(number, _)| *number);
        if let Some((_, oldest)) = oldest.and_then(|number| state.standing.remove(&number)) {
            oldest.cancel();
        }
    }

    /// May somebody from there try to prove who it is?
    pub(crate) fn may_try(&self, origin: Origin, identity: Option<&str>, now: Timestamp) -> Result<(), Wait> {
        let state = self.state();
        state.failures.check(&origin, now)?;
        match identity {
            Some(identity) => state.failures_of.check(&(origin, identity.to_owned()), now),
            None => Ok(()),
        }
    }

    /// Somebody from there was not who it said.
    pub(crate) fn failed(&self, origin: Origin, identity: Option<&str>, now: Timestamp) {
        let mut state = self.state();
        state.failures.charge(origin, now);
        if let Some(identity) = identity {
            state.failures_of.charge((origin, identity.to_owned()), now);
        }
    }

    /// Whoever is on this machine can do worse than connect, and all clients of a proxy in front come from there.
    fn is_spared(&self, origin: Origin) -> bool {
        origin.0.is_loopback() && self.limits.spares_loopback
    }

    fn leave(&self, origin: Origin, number: u64) {
        let mut state = self.state();
        state.standing.remove(&number);
        if let Some(waiting) = state.waiting.get_mut(&origin) {
            waiting.count -= 1;
            if waiting.count == 0 {
                state.waiting.remove(&origin);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// It takes a place of another kind from now on.
    pub(crate) fn goes_on_to(&self, places: Places) {
        if let Some((taken, _)) = self.door.state().standing.get_mut(&self.number) {
            *taken = places;
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.door.leave(self.origin, self.number);
    }
}

#[cfg(test)]
mod tests {
    use hemline_hub_core::throttle::Rate;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn door(adjust: impl FnOnce(&mut DoorLimits)) -> Arc<Door> {
        let mut limits = DoorLimits { half_open: 4, half_open_per_address: 2, ..DoorLimits::default() };
        adjust(&mut limits);
        Door::new(limits)
    }

    #[test]
    fn origins() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::7", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::1", "::2", false),
        ] {
            assert_eq!(Origin::of(address(one)) == Origin::of(address(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn places_are_few_per_address_and_few_in_all_and_given_back() {
        let (door, now) = (door(|_| {}), Timestamp::UNIX_EPOCH);
        let enter = |from: &str| door.enter(address(from), Places::Mqtt, now);
        let (a, b) = (enter("10.0.0.1").unwrap(), enter("10.0.0.1").unwrap());
        assert_eq!(enter("10.0.0.1").unwrap_err(), TurnedAway::CrowdedFromHere);
        let (c, d) = (enter("10.0.0.2").unwrap(), enter("10.0.0.3").unwrap());
        let taken =
            |passes: &[&Pass]| passes.iter().map(|pass| pass.taken.is_cancelled()).collect::<Vec<_>>();
        assert_eq!(taken(&[&a, &b, &c, &d]), [false; 4]);
        let e = enter("10.0.0.4").unwrap();
        assert_eq!(taken(&[&a, &b, &c, &d, &e]), [true, false, false, false, false], "the oldest makes room");
        drop((a, b));
        let f = enter("10.0.0.4").unwrap();
        assert_eq!(taken(&[&c, &d, &e, &f]), [false; 4], "there was room");
        drop((c, d, e, f));
        assert!(door.state().waiting.is_empty(), "nothing is kept of who is gone");
        assert!(door.state().standing.is_empty());
    }

    #[test]
    fn who_takes_a_place_of_that_kind_and_came_before_makes_room() {
        let (door, now) = (door(|limits| limits.half_open = 100), Timestamp::UNIX_EPOCH);
        let enter = |from: &str, places| door.enter(address(from), places, now).unwrap();
        let passes = [
            enter("10.0.0.1", Places::Mqtt),
            enter("10.0.0.2", Places::Https),
            enter("10.0.0.3", Places::Https),
            enter("10.0.0.4", Places::Https),
        ];
        let taken = || passes.each_ref().map(|pass| pass.taken.is_cancelled());
        // A WebSocket has left its place behind.
        passes[1].goes_on_to(Places::Mqtt);
        door.make_room(Places::Https, &passes[3]);
        assert_eq!(taken(), [false, false, true, false]);
        door.make_room(Places::Https, &passes[3]);
        assert_eq!(taken(), [false, false, true, false], "nobody goes for one that came before");
        door.make_room(Places::Mqtt, &passes[3]);
        assert_eq!(taken(), [true, false, true, false]);
    }

    #[test]
    fn arrivals_and_failures() {
        let door = door(|limits| {
            limits.half_open = 1_000;
            limits.connections = Rate { burst: 3, period_ms: 1_000 };
            limits.failures = Rate { burst: 3, period_ms: 1_000 };
            limits.failures_of_identity = Rate { burst: 2, period_ms: 5_000 };
        });
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let entered = |from: &str, ms| {
            (0..10).filter(|_| door.enter(address(from), Places::Mqtt, at(ms)).is_ok()).count()
        };
        assert_eq!(entered("10.0.0.1", 0), 3);
        assert_eq!(entered("10.0.0.1", 2_000), 2);
        assert_eq!(entered("10.0.0.2", 0), 3, "another address is another matter");
        assert_eq!(entered("127.0.0.1", 0), 10);

        let (here, there) = (Origin::of(address("10.0.0.1")), Origin::of(address("10.0.0.2")));
        door.failed(here, Some("d"), at(0));
        assert_eq!(door.may_try(here, Some("d"), at(0)), Ok(()));
        door.failed(here, Some("d"), at(0));
        assert_eq!(door.may_try(here, Some("d"), at(0)), Err(Wait(5_000)));
        assert_eq!(door.may_try(there, Some("d"), at(0)), Ok(()), "the right one may be elsewhere");
        assert_eq!(door.may_try(here, Some("e"), at(0)), Ok(()), "neighbours are let be");
        door.failed(here, Some("e"), at(0));
        assert_eq!(door.may_try(here, Some("f"), at(0)), Err(Wait(1_000)), "three from one address");
        assert_eq!(door.may_try(here, None, at(1_000)), Ok(()));
    }
}
