//! Faults: the ports as a bad day shows them.
//!
//! [`FaultyStore`], [`FaultyObjects`] and [`FaultyMessages`] stand in front of other ports and do to their calls what
//! a network and a busy table do: fail before anything is done, fail although all is done, do it twice, take long,
//! answer with what was there a moment ago, deliver twice, deliver late. Which call is struck is drawn from one seed
//! ([`Faults`]), so a run that has found something can be played again.
//!
//! A crash is not a fault of a port. It is the caller who drops the future of a use case: since every call here waits
//! at least one turn before it does anything, and sometimes some turns afterwards, a drop comes between any two steps.

mod exports;
mod messages;
mod objects;
mod store;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, Mutex},
};

use lambel_service::ports::StoreError;

pub use exports::{FaultyExportFiles, FaultyExportQueue, FaultyExports};
pub use messages::FaultyMessages;
pub use objects::FaultyObjects;
pub use store::FaultyStore;

use crate::{lock, turn};

/// Numbers by chance that are the same for a seed, everywhere and for ever: splitmix64. Generators of libraries may
/// change with a version; what a seed has found once must stay found.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end` − 1; 0 where `end` is 0. (Its bias is far below anything that matters here.)
    pub fn below(&mut self, end: usize) -> usize {
        (self.draw() % (end as u64).max(1)) as usize
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn happens(&mut self, in_a_thousand: u32) -> bool {
        self.below(1_000) < in_a_thousand as usize
    }

    /// One of these, if there are any.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// What can happen to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing was done; the caller is told to come back.
    BusyBefore,
    /// Nothing was done; the caller is told that it cannot be done.
    FailedBefore,
    /// Nothing was done, several times in a row.
    Throttled,
    /// A transaction was cancelled, since another one was at the same records.
    Cancelled,
    /// All was done; the caller is told to come back.
    BusyAfter,
    /// All was done, but the answer got lost; the request was sent again, and the second answer is what counts.
    SentTwice,
    /// Others went first.
    Delayed,
    /// All was done; others went on before the caller heard of it.
    AnswerDelayed,
    /// An index, or a list, as it was some changes ago.
    StaleIndex,
    /// A record, read without `consistent`, as it was some changes ago.
    StaleRecord,
    /// A message that is there twice.
    Duplicated,
    /// A message that comes behind later ones.
    HeldBack,
    /// Some of a batch of messages went out, and then the call failed.
    PartlySent,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BusyBefore => "busy before",
            Self::FailedBefore => "failed before",
            Self::Throttled => "throttled",
            Self::Cancelled => "transaction cancelled",
            Self::BusyAfter => "busy after having written",
            Self::SentTwice => "sent twice",
            Self::Delayed => "delayed",
            Self::AnswerDelayed => "answer delayed",
            Self::StaleIndex => "stale index",
            Self::StaleRecord => "stale record",
            Self::Duplicated => "message duplicated",
            Self::HeldBack => "message held back",
            Self::PartlySent => "batch partly sent",
        })
    }
}

/// How often each fault happens, in a thousand calls that it can happen to.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    rates: BTreeMap<Fault, u32>,
}

impl Rates {
    /// Every fault.
    pub const ALL: [Fault; 13] = [
        Fault::BusyBefore,
        Fault::FailedBefore,
        Fault::Throttled,
        Fault::Cancelled,
        Fault::BusyAfter,
        Fault::SentTwice,
        Fault::Delayed,
        Fault::AnswerDelayed,
        Fault::StaleIndex,
        Fault::StaleRecord,
        Fault::Duplicated,
        Fault::HeldBack,
        Fault::PartlySent,
    ];

    /// Never any.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same, with one of the rates.
    #[must_use]
    pub fn with(mut self, fault: Fault, in_a_thousand: u32) -> Self {
        self.rates.insert(fault, in_a_thousand);
        self
    }
}

/// The plan by which faults happen: one for all ports of a world.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Plan>,
}

#[derive(Debug)]
struct Plan {
    chance: Chance,
    rates: Rates,
    on: bool,
    /// How many of the next calls are refused.
    throttled: u32,
    tally: BTreeMap<Fault, u64>,
}

/// Calls refused in a row, at most, when a table is throttled.
const BURST: usize = 8;
/// Turns that a call waits, at most, when it is delayed.
const DELAY: usize = 12;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Read,
    Write,
    Transaction,
}

impl Faults {
    /// A plan.
    pub fn new(seed: u64, rates: Rates) -> Arc<Self> {
        let plan = Plan { chance: Chance::new(seed), rates, on: true, throttled: 0, tally: BTreeMap::new() };
        Arc::new(Self { plan: Mutex::new(plan) })
    }

    /// Whether faults happen at all, from now on.
    pub fn set(&self, on: bool) {
        let mut plan = lock(&self.plan);
        plan.on = on;
        plan.throttled = 0;
    }

    /// How many faults there were of each kind.
    pub fn tally(&self) -> BTreeMap<Fault, u64> {
        lock(&self.plan).tally.clone()
    }

    /// Whether a fault happens now. If it does, it is counted.
    fn strikes(&self, fault: Fault) -> bool {
        let mut plan = lock(&self.plan);
        let rate = plan.rates.rates.get(&fault).copied().unwrap_or_default();
        let strikes = plan.on && rate > 0 && plan.chance.happens(rate);
        if strikes {
            *plan.tally.entry(fault).or_default() += 1;
        }
        strikes
    }

    fn below(&self, end: usize) -> usize {
        lock(&self.plan).chance.below(end)
    }

    async fn delay(&self, fault: Fault) {
        if self.strikes(fault) {
            for _ in 0..=self.below(DELAY) {
                turn().await;
            }
        }
    }

    fn before(&self, deed: Deed) -> Option<StoreError> {
        let throttled = {
            let mut plan = lock(&self.plan);
            let throttled = plan.throttled > 0;
            plan.throttled = plan.throttled.saturating_sub(1);
            if throttled {
                *plan.tally.entry(Fault::Throttled).or_default() += 1;
            }
            throttled
        };
        let busy = |why: &str| Some(StoreError::Busy(why.to_owned()));
        if throttled {
            return busy("throttled, as the plan of faults says");
        }
        if self.strikes(Fault::Throttled) {
            let more = self.below(BURST) as u32;
            lock(&self.plan).throttled = more;
            return busy("throttled, as the plan of faults says");
        }
        if self.strikes(Fault::BusyBefore) {
            return busy("busy, as the plan of faults says");
        }
        if deed == Deed::Transaction && self.strikes(Fault::Cancelled) {
            return busy("transaction cancelled, as the plan of faults says");
        }
        self.strikes(Fault::FailedBefore).then(|| StoreError::Failed("as the plan of faults says".to_owned()))
    }

    /// A call of a port, with what happens to it.
    async fn call<T, E, F>(&self, deed: Deed, ask: impl Fn() -> F + Send + Sync) -> Result<T, E>
    where
        T: Send,
        E: From<StoreError> + Send,
        F: Future<Output = Result<T, E>> + Send,
    {
        turn().await;
        self.delay(Fault::Delayed).await;
        if let Some(error) = self.before(deed) {
            return Err(error.into());
        }
        let mut answer = ask().await;
        let wrote = deed != Deed::Read && answer.is_ok();
        if wrote && self.strikes(Fault::SentTwice) {
            for _ in 0..self.below(DELAY) {
                turn().await;
            }
            answer = ask().await;
        }
        self.delay(Fault::AnswerDelayed).await;
        if wrote && self.strikes(Fault::BusyAfter) {
            return Err(StoreError::Busy("done, but the plan of faults hides it".to_owned()).into());
        }
        answer
    }
}
