//! The survey: counts a whole task again, from what lies in the bucket and in the tables, and holds that against
//! what is written. It finds what no single step can see: something lost, something counted twice, something stuck.
//!
//! A survey reads and changes nothing. [`crate::repair`] does what follows from one.

use std::{collections::BTreeMap, time::Duration};

use lambel_core::{
    Counts, CountsChange, ImageId, Subtask, SubtaskState, Tally, Task, TaskId, TaskState, Timestamp,
    consensus::{Confidence, Decision, Dispute, Verdict},
    ring::next_place,
    subtask::DecidedBy,
};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    ports::{FilePlace, Objects, SharedClock, SharedObjects, SharedStore, Store, StoreResult, Upload},
};

/// Rows of one page, of each kind.
const PAGE: u32 = 1_000;
/// How long an upload may lie without a record, and a record may be `preparing`, before something is wrong: every
/// queue on the way has tried several times by then.
pub const SETTLING: Duration = Duration::from_secs(15 * 60);
/// How long an image that its votes have decided may stay open: whoever took the last vote closes it at once.
const CLOSING: Duration = Duration::from_secs(60);
/// Findings that a report names one by one.
pub const FINDINGS_NAMED: usize = 1_000;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// A file lies in the bucket, and there is no record of it.
    NotRecorded {
        /// The image.
        image: ImageId,
        /// When it was uploaded.
        since: Timestamp,
    },
    /// An accepted image that nobody can claim yet.
    NotOpened {
        /// The image.
        image: ImageId,
        /// When its record was made.
        since: Timestamp,
    },
    /// An image that is decided by its votes, and is open.
    NotClosed {
        /// The image.
        image: ImageId,
    },
    /// A decision that does not follow from the votes that were in it.
    DecisionDiffers {
        /// The image.
        image: ImageId,
        /// What is written.
        written: Told,
        /// What follows from the votes; none if they decide nothing.
        follows: Option<Told>,
    },
    /// More votes with a label than the policy allows.
    TooManyVotes {
        /// The image.
        image: ImageId,
        /// How many there are.
        votes: u64,
        /// How many there may be.
        most: u32,
    },
    /// The file of an accepted image is gone.
    FileGone {
        /// The image.
        image: ImageId,
    },
    /// The file is not as long as the record says.
    FileDiffers {
        /// The image.
        image: ImageId,
        /// The length of the file.
        bytes: u64,
        /// The length that the record has.
        recorded: u64,
    },
    /// A record that no name leads to: it will not be in the results.
    NameMissing {
        /// The image.
        image: ImageId,
    },
    /// The counters are not what a recount gives.
    CountersDiffer {
        /// What they say.
        counted: Counts,
        /// What the records say.
        recounted: Counts,
    },
    /// The task is sealed, all has arrived and is decided, and it is not complete.
    NotCompleted,
    /// The task is complete, and fewer images are done than its seal says.
    CompletedTooEarly {
        /// How many fewer.
        undecided: u64,
    },
}

impl Finding {
    /// What can be done about it, in words; none if nobody but a person can judge that.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NotRecorded { .. } => Some("send it to the validator again"),
            Self::NotOpened { .. } => Some("send it to the opener again"),
            Self::NotClosed { .. } => Some("close it with the decision that follows from its votes"),
            Self::CountersDiffer { .. } => Some("add the difference to the counters"),
            Self::NotCompleted => Some("complete the task"),
            Self::DecisionDiffers { .. }
            | Self::TooManyVotes { .. }
            | Self::FileGone { .. }
            | Self::FileDiffers { .. }
            | Self::NameMissing { .. }
            | Self::CompletedTooEarly { .. } => None,
        }
    }
}

/// A decision, as a report has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// The label.
    pub label: Option<String>,
    /// Whether that is an answer, or a dispute.
    pub state: SubtaskState,
    /// How sure.
    pub confidence: Confidence,
    /// Why there was no answer, if there was none.
    pub dispute: Option<Dispute>,
}

impl Told {
    /// Whether both say the same. Posteriors are sums of exponentials, whose last digit may differ from one machine to
    /// the next.
    fn agrees_with(&self, other: &Self) -> bool {
        let off = self.confidence.get() - other.confidence.get();
        let same = (&self.label, self.state, self.dispute) == (&other.label, other.state, other.dispute);
        same && off.abs() < 1e-9
    }
}

/// What a survey has seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// How many distinct images the client says there are.
    pub images: Option<u64>,
    /// When the survey began.
    pub at: Timestamp,
    /// Whether something was counted while the survey went on. Then the counters can only be held against bounds.
    pub in_motion: bool,
    /// Files in the bucket.
    pub uploads: u64,
    /// Names that were announced and whose file has not come.
    pub awaited: u64,
    /// Files that came too recently for their record to be missed.
    pub settling: u64,
    /// Images that came when the task was over, or about to be: more than its seal says. They are left alone.
    pub left_alone: u64,
    /// Records, by state.
    pub records: BTreeMap<&'static str, u64>,
    /// Votes on all records, abstentions among them; those that came late are not.
    pub votes: u64,
    /// Votes that came after the decision.
    pub late_votes: u64,
    /// What the counters say.
    pub counted: Counts,
    /// What the records say.
    pub recounted: Counts,
    /// What is not as it should be, the first [`FINDINGS_NAMED`] of it.
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub found: u64,
}

impl Report {
    /// The report of a survey that has seen nothing yet.
    pub(crate) fn new(task: &Task, at: Timestamp) -> Self {
        Self {
            task: task.id,
            state: task.state,
            images: task.images,
            at,
            in_motion: false,
            uploads: 0,
            awaited: 0,
            settling: 0,
            left_alone: 0,
            records: BTreeMap::new(),
            votes: 0,
            late_votes: 0,
            counted: Counts::default(),
            recounted: Counts::default(),
            findings: Vec::new(),
            found: 0,
        }
    }

    fn find(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < FINDINGS_NAMED {
            self.findings.push(finding);
        }
    }

    /// What has to be added to the counters. None while somebody counts.
    pub fn correction(&self) -> Option<CountsChange> {
        let change = self.counted.change_to(&self.recounted);
        (!self.in_motion && !change.is_none()).then_some(change)
    }
}

/// Surveys tasks.
#[derive(Clone)]
pub struct Surveyor {
    store: SharedStore,
    objects: SharedObjects,
    clock: SharedClock,
}

impl Surveyor {
    /// Over these ports.
    pub fn new(store: SharedStore, objects: SharedObjects, clock: SharedClock) -> Self {
        Self { store, objects, clock }
    }

    /// Surveys a task. It reads all of it, a page at a time: memory does not grow with the task.
    pub async fn survey(&self, id: TaskId) -> Result<Report> {
        let task = self.store.task(id).await?.ok_or(Error::TaskNotFound)?;
        let now = self.clock.now();
        let before = self.store.tally(&task).await?;
        let mut report = Report::new(&task, now);
        let mut recount = CountsChange::default();
        let mut walk = Walk::new(&*self.store, &*self.objects, &task, None);
        while let Some(places) = walk.next().await? {
            for (image, place) in &places {
                look(&task, *image, place, now, &mut report, &mut recount);
            }
        }
        report.recounted = Counts::default().changed_by(&recount);
        let after = self.store.tally(&task).await?;
        report.counted = after.counts;
        report.in_motion = before.changes != after.changes;
        hold_counters(&task, &before, &after, &mut report);
        // Seal and end may have come meanwhile.
        let task = self.store.task(id).await?.ok_or(Error::TaskNotFound)?;
        (report.state, report.images) = (task.state, task.images);
        if !report.in_motion {
            match task.state {
                TaskState::Complete => {
                    // Whatever was recorded beyond the seal came while the task was ending. It is left alone.
                    let done = task.done(&after.counts);
                    let missing = task.images.unwrap_or(0).saturating_sub(done);
                    if missing > 0 {
                        report.find(Finding::CompletedTooEarly { undecided: missing });
                    } else {
                        report.left_alone += after.counts.checked().saturating_sub(done);
                    }
                }
                TaskState::Sealed if task.clone().complete(&report.recounted, now) => {
                    report.find(Finding::NotCompleted);
                }
                _ => {}
            }
        }
        Ok(report)
    }
}

/// Holds the counters against the recount: exactly where nothing was counted meanwhile; where something was, each
/// number of the recount has to lie between what the counters said before and after. Disputes go up and down, since they
/// may be reviewed, so what is bounded is everything that is decided. Where a batch may open decided images again all
/// numbers go up and down, and there is no such bound.
fn hold_counters(task: &Task, before: &Tally, after: &Tally, report: &mut Report) {
    let fits = match report.in_motion {
        false => after.counts == report.recounted,
        true if task.policy.rule.weighs() => true,
        true => {
            let numbers = |c: &Counts| [c.accepted, c.rejected, c.complete, c.complete + c.disputed, c.votes];
            let bounds = numbers(&before.counts).into_iter().zip(numbers(&after.counts));
            bounds.zip(numbers(&report.recounted)).all(|((a, b), n)| (a.min(b)..=a.max(b)).contains(&n))
        }
    };
    if !fits {
        report.find(Finding::CountersDiffer { counted: after.counts, recounted: report.recounted });
    }
}

/// Looks at one image: what there is of it goes into the report, and what it counts into the recount.
pub(crate) fn look(
    task: &Task,
    image: ImageId,
    place: &Place,
    now: Timestamp,
    report: &mut Report,
    recount: &mut CountsChange,
) {
    report.uploads += u64::from(place.upload.is_some());
    let Some(record) = &place.record else {
        match place.upload {
            None => report.awaited += 1,
            Some(_) if task.state.is_final() => report.left_alone += 1,
            Some(upload) if now < upload.at.plus(SETTLING) => report.settling += 1,
            Some(upload) => report.find(Finding::NotRecorded { image, since: upload.at }),
        }
        return;
    };
    *report.records.entry(record.state.as_str()).or_default() += 1;
    report.votes += record.votes.len() as u64;
    report.late_votes += record.late.len() as u64;
    recount.record(record.state);
    if !place.named {
        report.find(Finding::NameMissing { image });
    }
    match place.upload {
        // Of a refused image nobody needs the file any more.
        None if record.state != SubtaskState::Rejected => report.find(Finding::FileGone { image }),
        Some(upload) if upload.bytes != record.bytes => {
            report.find(Finding::FileDiffers { image, bytes: upload.bytes, recorded: record.bytes });
        }
        _ => {}
    }
    let most = task.policy.rule.max_labels();
    let votes = record.votes.values().filter(|vote| vote.answer.label().is_some()).count() as u64;
    if votes > u64::from(most) {
        report.find(Finding::TooManyVotes { image, votes, most });
    }
    match record.state {
        SubtaskState::Preparing if !task.state.is_final() && now >= record.created_at.plus(SETTLING) => {
            report.find(Finding::NotOpened { image, since: record.created_at });
        }
        SubtaskState::Open if !task.state.is_final() && is_overdue(task, record, now) => {
            report.find(Finding::NotClosed { image });
        }
        SubtaskState::Complete | SubtaskState::Disputed => {
            recount.close(record);
            // What the client knows follows from no votes.
            if record.decided_by != DecidedBy::Gold {
                check_decision(task, record, report);
            }
        }
        _ => {}
    }
}

/// Whether the votes have decided it for a while.
fn is_overdue(task: &Task, record: &Subtask, now: Timestamp) -> bool {
    let last = record.votes.values().map(|vote| vote.at).max();
    let decided = matches!(record.judge(&task.policy, task.labels.len()), Verdict::Decided(_));
    decided && last.is_some_and(|last| now >= last.plus(CLOSING))
}

/// What a batch has decided follows from all votes of the task as they were then, which nobody can compute from the
/// record, and what a person has decided follows from nothing. That it decides at all, and how the task takes that, is
/// what can be said of these.
fn check_decision(task: &Task, record: &Subtask, report: &mut Report) {
    let on_dispute = task.policy.disputed;
    let is_sound = record.decision.is_some_and(|decision| match record.decided_by {
        _ if record.state != on_dispute.state_of(&decision) => false,
        DecidedBy::Batch => task.policy.rule.weighs(),
        DecidedBy::Review => {
            let label = decision.label.and_then(|label| task.labels.get(label));
            label.is_some() && decision.dispute.is_none() && record.reviewed_by.is_some()
        }
        DecidedBy::Votes | DecidedBy::Gold => false,
    });
    if is_sound {
        return;
    }
    let told = |decision: &Decision, state| Told {
        label: decision.label.and_then(|label| Some(task.labels.get(label)?.to_string())),
        state,
        confidence: decision.confidence,
        dispute: decision.dispute,
    };
    let follows = match record.judge(&task.policy, task.labels.len()) {
        Verdict::Decided(decision) => Some(told(&decision, on_dispute.state_of(&decision))),
        Verdict::Undecided { .. } => None,
    };
    let written = record.decision.as_ref().map(|decision| told(decision, record.state));
    let agrees = match (&written, &follows) {
        (Some(written), Some(follows)) => written.agrees_with(follows),
        _ => false,
    };
    if !agrees {
        let nothing = Told { label: None, state: record.state, confidence: Confidence::default(), dispute: None };
        let written = written.unwrap_or(nothing);
        report.find(Finding::DecisionDiffers { image: record.image, written, follows });
    }
}

/// What there is of one image.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The file.
    pub(crate) upload: Option<Upload>,
    /// The record.
    pub(crate) record: Option<Subtask>,
    /// Whether a name was announced for it.
    pub(crate) named: bool,
}

/// A walk through all images of a task, in order: the files of the bucket, the names and the records side by side.
pub(crate) struct Walk<'a> {
    store: &'a dyn Store,
    objects: &'a dyn Objects,
    task: &'a Task,
    /// The last image that was dealt with.
    after: Option<ImageId>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(store: &'a dyn Store, objects: &'a dyn Objects, task: &'a Task, after: Option<ImageId>) -> Self {
        Self { store, objects, task, after }
    }

    /// How far it has come.
    pub(crate) fn after(&self) -> Option<ImageId> {
        self.after
    }

    /// The next images. None at the end.
    pub(crate) async fn next(&mut self) -> StoreResult<Option<BTreeMap<ImageId, Place>>> {
        if self.after == Some(ImageId::MAX) {
            return Ok(None);
        }
        let (task, after) = (self.task, self.after);
        let from = after.as_ref().map_or(ImageId::MIN, next_place);
        let shard = task.shards.of(&from);
        let behind = after.map(|image| FilePlace { image, name: None });
        let (records, files, mut uploads) = futures::try_join!(
            self.store.list(task, shard, from, PAGE),
            self.store.files(task, shard, behind.as_ref(), PAGE),
            self.objects.uploads(task.id, after, PAGE),
        )?;
        // As far as all three pages reach.
        let page = PAGE as usize;
        let full = |len: usize, last: Option<ImageId>| last.filter(|_| len >= page);
        let mut end = task.shards.last_place(shard);
        let reached = [
            full(records.len(), records.last().map(|record| record.image)),
            full(files.len(), files.last().map(|file| file.image)),
            full(uploads.len(), uploads.last().map(|upload| upload.image)),
        ];
        end = reached.into_iter().flatten().fold(end, ImageId::min);
        uploads.retain(|upload| upload.image <= end);
        let mut places: BTreeMap<ImageId, Place> = BTreeMap::new();
        for record in records.into_iter().filter(|record| record.image <= end) {
            let image = record.image;
            places.entry(image).or_default().record = Some(record);
        }
        for file in files.into_iter().filter(|file| file.image <= end) {
            places.entry(file.image).or_default().named = true;
        }
        for upload in uploads {
            places.entry(upload.image).or_default().upload = Some(upload);
        }
        self.after = Some(end);
        Ok(Some(places))
    }
}
