//! One run: what it is told, what it counts, and what it says if it has found something.

use std::{collections::BTreeMap, fmt};

use lambel_memory::faults::{Chance, Fault};

use crate::{
    flaws::Flaw,
    model::{Finding, Kind},
    sim::Sim,
};

/// One run. The same options play the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Everything by chance follows from this.
    pub(crate) seed: u64,
    /// Calls of use cases that are begun by chance. Some more bring the tasks to their end.
    pub(crate) ops: u32,
    /// Operators.
    pub(crate) operators: usize,
    /// Clients.
    pub(crate) clients: usize,
    /// Tasks, at most.
    pub(crate) tasks: usize,
    /// Images of one task, at most.
    pub(crate) images: usize,
    /// How bad the day is: 0 (no faults) to 3.
    pub(crate) trouble: u32,
    /// What is wrong with the tables on purpose.
    pub(crate) flaw: Option<Flaw>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, ops: 400, operators: 6, clients: 2, tasks: 3, images: 12, trouble: 2, flaw: None }
    }
}

impl Options {
    /// The world of a seed: small ones, in which everybody meets at a few images, and now and then a large one, in
    /// which somebody comes to the limit of leases.
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x5eed);
        let large = chance.below(20) == 0;
        Self {
            seed,
            ops: 400,
            operators: 2 + chance.below(8),
            clients: 1 + chance.below(3),
            tasks: if large { 1 } else { 1 + chance.below(4) },
            images: if large { 140 } else { 2 + chance.below(16) },
            trouble: chance.below(4) as u32,
            flaw: None,
        }
    }
}

/// What a run has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    /// Calls of use cases, by name.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    pub(crate) faults: BTreeMap<Fault, u64>,
    pub(crate) crashes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) votes_checked: u64,
    pub(crate) recounts: u64,
    pub(crate) quiets: u64,
    pub(crate) decided: u64,
    pub(crate) revised: u64,
    pub(crate) reopened: u64,
    pub(crate) reviewed: u64,
    pub(crate) completed: u64,
    /// Runs that have found something, by what it was.
    pub(crate) findings: BTreeMap<Kind, u64>,
    pub(crate) polls: u64,
    /// A number that two runs share only if they went the same way.
    pub(crate) fingerprint: u64,
}

impl Tally {
    /// Calls of use cases.
    pub(crate) fn operations(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Adds another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        for (name, calls) in &other.calls {
            *self.calls.entry(name).or_default() += calls;
        }
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
        self.votes_checked += other.votes_checked;
        self.recounts += other.recounts;
        for (kind, count) in &other.findings {
            *self.findings.entry(*kind).or_default() += count;
        }
        self.quiets += other.quiets;
        self.decided += other.decided;
        self.revised += other.revised;
        self.reopened += other.reopened;
        self.reviewed += other.reviewed;
        self.completed += other.completed;
        self.polls += other.polls;
        self.fingerprint ^= other.fingerprint;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs, {} operations, {} steps", self.runs, self.operations(), self.polls)?;
        for (name, calls) in &self.calls {
            writeln!(f, "    {name:<24}{calls:>10}")?;
        }
        writeln!(f, "faults: {}, and {} crashes", self.faults.values().sum::<u64>(), self.crashes)?;
        for (fault, count) in &self.faults {
            writeln!(f, "    {:<24}{count:>10}", fault.to_string())?;
        }
        writeln!(f, "votes acknowledged: {}, each looked for again, {} times", self.acknowledged, self.votes_checked)?;
        writeln!(f, "counters compared with the records: {} times", self.recounts)?;
        writeln!(f, "quiet moments: {}", self.quiets)?;
        writeln!(f, "decisions: {} by votes, {} by batches, {} by review", self.decided, self.revised, self.reviewed)?;
        writeln!(f, "opened again: {}, tasks completed: {}", self.reopened, self.completed)?;
        write!(f, "found:")?;
        for kind in Kind::ALL {
            let count = self.findings.get(&kind).copied().unwrap_or_default();
            write!(f, "\n    {:<28}{count:>6}", kind.to_string())?;
        }
        Ok(())
    }
}

/// A run that has found something.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) options: Options,
    /// Calls begun until then.
    pub(crate) ops: u32,
    pub(crate) what: Finding,
    /// What happened last.
    pub(crate) log: Vec<String>,
    /// What the run had counted until then.
    pub(crate) tally: Tally,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what.text)?;
        writeln!(f, "The last steps, of {} calls:", self.ops)?;
        for line in &self.log {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "The same as a test:\n")?;
        let Options { seed, ops, operators, clients, tasks, images, trouble, flaw } = &self.options;
        writeln!(f, "#[test]\nfn seed_{seed}() {{")?;
        write!(f, "    run(Options {{ seed: {seed}, ops: {ops}, operators: {operators}, clients: {clients}, ")?;
        write!(f, "tasks: {tasks}, images: {images}, trouble: {trouble}")?;
        match flaw {
            None => writeln!(f, ", ..Options::default() }});\n}}"),
            Some(flaw) => writeln!(f, ", flaw: Some(Flaw::{flaw:?}) }});\n}}"),
        }
    }
}

/// Plays a run, and panics with what it has found, made as small as a few more runs can make it.
pub(crate) fn run(options: Options) -> Tally {
    match try_run(&options) {
        Ok(tally) => tally,
        Err(failure) => panic!("{}", shrink(failure)),
    }
}

/// Plays a run.
pub(crate) fn try_run(options: &Options) -> Result<Tally, Box<Failure>> {
    let mut sim = Sim::new(options.clone());
    let outcome = sim.play();
    outcome.map_err(|what| {
        let options = options.clone();
        let log = sim.log.iter().cloned().collect();
        let mut tally = sim.tally();
        tally.findings.insert(what.kind, 1);
        Box::new(Failure { options, ops: sim.ops, what, log, tally })
    })?;
    Ok(sim.tally())
}

/// Looks for a smaller run that fails too.
pub(crate) fn shrink(mut failure: Box<Failure>) -> Box<Failure> {
    let mut tries = 60;
    loop {
        let now = failure.options.clone();
        let mut smaller = Vec::new();
        for ops in [now.ops / 4, now.ops / 2, now.ops * 3 / 4, now.ops.saturating_sub(10), now.ops.saturating_sub(1)] {
            smaller.push(Options { ops, ..now.clone() });
        }
        smaller.push(Options { operators: now.operators.saturating_sub(1).max(1), ..now.clone() });
        smaller.push(Options { clients: now.clients.saturating_sub(1).max(1), ..now.clone() });
        smaller.push(Options { tasks: now.tasks.saturating_sub(1).max(1), ..now.clone() });
        smaller.push(Options { images: (now.images / 2).max(1), ..now.clone() });
        smaller.push(Options { trouble: now.trouble.saturating_sub(1), ..now.clone() });
        let found = smaller.into_iter().filter(|options| *options != now).find_map(|options| {
            tries -= 1;
            if tries < 0 { None } else { try_run(&options).err() }
        });
        match found {
            Some(found) => failure = found,
            None => return failure,
        }
    }
}
