//! What a process takes of the machine: time of processors, resident memory, open files. Linux tells in `/proc`.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};

use super::{error::LoadError, verdict::Shares};

/// Unit of the times in `/proc/PID/stat`: the kernel's USER_HZ, which is 100 on every architecture that this runs on.
const TICK: Duration = Duration::from_millis(10);
/// Files that are open beside connections: the log, HTTPS connections, the runtime.
const SPARE_FILES: u64 = 128;
/// Memory that has not changed for so long has settled: allocators give back what they freed with a delay.
const QUIET: Duration = Duration::from_millis(1_500);
/// It is waited for no longer than that.
const SETTLE: Duration = Duration::from_secs(10);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Less than one part in so many is no change.
const STILL: u64 = 1_000;

/// Measures the shares of processors from its start on.
#[derive(Debug)]
pub(crate) struct Meter {
    since: Instant,
    own: Duration,
    waited: Duration,
    server: Option<(u32, Duration)>,
}

impl Meter {
    /// Begins to measure this process, and that one.
    pub(crate) fn start(server: Option<u32>) -> Self {
        let server = server.and_then(|pid| Some((pid, processor_time(pid)?)));
        Self { since: Instant::now(), own: own_processor_time(), waited: own_waiting(), server }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Cores that were busy since the start.
    pub(crate) fn shares(&self) -> Shares {
        let elapsed = self.since.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let share = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / elapsed;
        let server = self.server.and_then(|(pid, then)| Some(share(processor_time(pid)?, then)));
        let waited = share(own_waiting(), self.waited);
        Shares { own: share(own_processor_time(), self.own), waited, server }
    }
}

fn own_processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// How long the first thread, which does all the work, was ready to run and had no core. Kernels that do not count it say 0.
fn own_waiting() -> Duration {
    fs::read_to_string("/proc/self/schedstat").ok().and_then(|text| waiting(&text)).unwrap_or_default()
}

/// Second of the three numbers of `schedstat`, in nanoseconds.
fn waiting(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

fn processor_time(pid: u32) -> Option<Duration> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|ticks| TICK * ticks)
}

/// User and system time of a line of `/proc/PID/stat`: fields 14 and 15, counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u32> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u32>().ok();
    field()?.checked_add(field()?)
}

/// Resident bytes of a process once they have settled; `None` when it is gone.
pub(crate) async fn settled_memory(pid: u32) -> Option<u64> {
    let begun = Instant::now();
    let mut last = (resident(pid)?, begun);
    // Nothing tells of a change, so it is looked for.
    while begun.elapsed() < SETTLE && last.1.elapsed() < QUIET {
        tokio::time::sleep(LOOK).await;
        let now = resident(pid)?;
        if now.abs_diff(last.0) > last.0 / STILL {
            last = (now, Instant::now());
        }
    }
    resident(pid)
}

fn resident(pid: u32) -> Option<u64> {
    resident_bytes(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Lets this process open so many connections, as far as it may.
pub(crate) fn files_for(connections: usize) -> Result<(), LoadError> {
    let wanted = connections as u64 + SPARE_FILES;
    let now = getrlimit(Resource::Nofile);
    // None is without limit.
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    raised.map_err(|_| LoadError::Files { wanted, allowed: now.maximum.unwrap_or(u64::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 900 0 3 0 700 55 0 0 20 0 4 0 1234 99 88 18446744073709551615";
        assert_eq!(ticks(stat), Some(755));
        assert_eq!(ticks("42 (x) S 1"), None);
        assert_eq!(
            resident_bytes("Name:\thub\nVmHWM:\t   99 kB\nVmRSS:\t    12 kB\nThreads:\t4\n"),
            Some(12_288)
        );
        assert_eq!(resident_bytes("Name:\tzombie\n"), None);
        assert_eq!(waiting("16387 61088 1\n"), Some(Duration::from_nanos(61_088)));
        assert_eq!(waiting(""), None);
    }

    #[test]
    fn this_process_is_there() {
        let meter = Meter::start(Some(std::process::id()));
        assert!(resident(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        let shares = meter.shares();
        assert!(shares.own >= 0.0 && shares.server.is_some(), "{shares:?}");
        assert_eq!(Meter::start(None).shares().server, None);
    }
}
