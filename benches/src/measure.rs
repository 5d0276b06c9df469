//! Times and page faults.

use std::time::{Duration, Instant};

/// Rounds for each table: enough for a p99.
pub const ROUNDS: usize = 20_000;

/// Times, sorted.
#[derive(Clone, Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Of these.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// Runs `work` [`ROUNDS`] times, after some more that do not count.
    pub fn take(mut work: impl FnMut()) -> Self {
        (0..1000).for_each(|_| work());
        Self::of(
            (0..ROUNDS)
                .map(|_| {
                    let start = Instant::now();
                    work();
                    start.elapsed()
                })
                .collect(),
        )
    }

    /// In microseconds; zero where there is none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        micros(self.0.get(at).copied().unwrap_or_default())
    }

    /// In microseconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.percentile(50)
    }
}

/// Microseconds of `time`.
#[must_use]
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Median, p99 and page faults of `work`; the median, in microseconds.
pub fn distribution(name: &str, work: impl FnMut()) -> f64 {
    let faults = page_faults();
    let times = Times::take(work);
    let faults = page_faults() - faults;
    let (median, p99) = (times.median(), times.percentile(99));
    println!(
        "{name:<24} median {median:>7.2} µs   p99 {p99:>7.2} µs ({:.1} times the median)   {:.4} page faults each",
        p99 / median,
        f64::from(u32::try_from(faults).unwrap_or(u32::MAX)) / ROUNDS as f64,
    );
    median
}

/// Minor page faults of this thread so far.
#[must_use]
pub fn page_faults() -> i64 {
    #[expect(unsafe_code, reason = "the standard library has no getrusage")]
    // SAFETY: `rusage` is plain integers, for which zero is a value, and getrusage writes
    // nothing but the struct that it is given.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.ru_minflt
    }
}
