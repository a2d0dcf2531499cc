//! Whose limit was it? A figure speaks of the server only when this program had time to spare. Pure.

use serde::Serialize;

/// From this share of a core on somebody has no time to spare. This program has one thread, so it has no more than one core.
const BUSY: f64 = 0.9;

/// Cores that were busy on average: 1.0 is one of them all the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shares {
    /// Of this program.
    pub(crate) own: f64,
    /// What this program would have used beside that, had a core been free.
    pub(crate) waited: f64,
    /// Of the server; nobody knows it of a process that was not named.
    pub(crate) server: Option<f64>,
}

/// From this share on a figure is worth little: others had the processors, the server among them or not.
const STARVED: f64 = 0.25;

/// What held it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Limit {
    /// This program: the server could do more.
    Generator,
    /// The server.
    Server,
    /// Both had no time to spare.
    Machine,
    /// Neither: they waited for each other, or for a disk.
    Waiting,
    /// This program had no time to spare, and of the server nothing is known.
    PerhapsGenerator,
    /// This program had time to spare, and of the server nothing is known.
    NotGenerator,
}

impl Shares {
    /// Who had no time to spare?
    pub(crate) fn limit(self) -> Limit {
        // Whoever waits for a core has something to do: it counts as busy.
        match (self.own + self.waited >= BUSY, self.server.map(|server| server >= BUSY)) {
            (true, Some(false)) => Limit::Generator,
            (true, Some(true)) => Limit::Machine,
            (false, Some(true)) => Limit::Server,
            (false, Some(false)) => Limit::Waiting,
            (true, None) => Limit::PerhapsGenerator,
            (false, None) => Limit::NotGenerator,
        }
    }

    /// A sentence for people.
    pub(crate) fn words(self) -> String {
        let mut words = self.whose();
        if self.waited >= STARVED {
            words.push_str(&format!(
                "; for {:.0} % of the time this program waited for a processor, so on a machine with less to do the figure is another",
                self.waited * 100.0
            ));
        }
        words
    }

    fn whose(self) -> String {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let own = percent(self.own);
        let server = self.server.map(percent).unwrap_or_default();
        match self.limit() {
            Limit::Generator => format!(
                "this program was the limit ({own} of a core, the server {server}): the server can do more than this"
            ),
            Limit::Machine => {
                format!(
                    "both had no time to spare ({own} of a core here, {server} there): the machine was the limit"
                )
            }
            Limit::Server => format!("the server was the limit ({server} of a core; {own} here)"),
            Limit::Waiting => format!(
                "neither was busy ({own} of a core here, {server} there): the time went into waiting, for each other or a disk"
            ),
            Limit::PerhapsGenerator => format!(
                "this program may have been the limit ({own} of a core); --server-pid tells how busy the server was"
            ),
            Limit::NotGenerator => format!("this program was not the limit ({own} of a core)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_limit_it_was() {
        for (own, server, limit, words) in [
            (
                0.95,
                Some(0.4),
                Limit::Generator,
                "this program was the limit (95 % of a core, the server 40 %)",
            ),
            (0.9, Some(0.9), Limit::Machine, "both had no time to spare (90 % of a core here, 90 % there)"),
            (0.5, Some(1.4), Limit::Server, "the server was the limit (140 % of a core; 50 % here)"),
            (0.2, Some(0.3), Limit::Waiting, "neither was busy (20 % of a core here, 30 % there)"),
            (0.97, None, Limit::PerhapsGenerator, "this program may have been the limit (97 % of a core)"),
            (0.84, None, Limit::NotGenerator, "this program was not the limit (84 % of a core)"),
        ] {
            let shares = Shares { own, waited: 0.05, server };
            assert_eq!(shares.limit(), limit, "{shares:?}");
            assert!(shares.words().starts_with(words), "{}", shares.words());
            assert!(!shares.words().contains("waited for a processor"), "{}", shares.words());
        }
        let starved = Shares { own: 0.4, waited: 0.5, server: Some(0.5) };
        assert_eq!(starved.limit(), Limit::Generator, "it had something to do all the time");
        assert!(starved.words().contains("for 50 % of the time this program waited for a processor"));
    }
}
