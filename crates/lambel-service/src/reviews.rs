//! Reviews: a client, or an admin, decides images whose votes have found no answer.
//!
//! A request says first on the task's trail what it is about to do, once. Then its images are decided: each on the
//! record that was seen, many in one transaction with the counters. So nobody decides anything without an entry; one that
//! was stopped in between says more than was done, and what was done says by whom. Whether the task is complete by that
//! is looked at afterwards, and again by whoever hears of the decisions.

use std::collections::{BTreeMap, HashMap};

use lambel_core::{
    ClientId, Deed, ImageId, LabelIndex, Subtask, SubtaskState, Task, TaskId,
    api::{ReviewFields, ReviewImages, ReviewOutcome, ReviewReceipt, ReviewReceipts},
    limits,
    subtask::DecidedBy,
};

use crate::{
    caller::Caller,
    error::{Error, Result},
    lines::Refusal,
    ports::{REVISED_AT_ONCE, Revised, Revision},
    tasks::Tasks,
};

/// How often images are read again because they have changed in between.
const TRIES: usize = 5;

/// What a line of a request says of its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It has this label.
    Label(LabelIndex),
    /// The label that it has is its answer.
    Keep,
}

/// What became of an image.
type Fate = Result<(ReviewOutcome, LabelIndex), Refusal>;

/// What is to become of an image as it is now.
enum Verdict {
    /// It is decided for this label.
    Decide(LabelIndex),
    /// Nothing: so much is known already.
    Over(Fate),
}

impl Tasks {
    /// Decides disputed images. Each is judged alone. The same again changes nothing.
    pub async fn review(&self, caller: &Caller, id: TaskId, request: &ReviewImages) -> Result<ReviewReceipts> {
        let task = self.owned(caller, id).await?;
        let reviewer = caller.client()?;
        if !(1..=limits::REVIEWS_PER_REQUEST).contains(&request.reviews.len()) {
            let detail = format!("1 to {} images in one request", limits::REVIEWS_PER_REQUEST);
            return Err(Error::invalid("reviews", detail));
        }
        if task.state.is_final() {
            return Err(Error::TaskEnded(task.state));
        }
        let meant = self.meant_reviews(&task, &request.reviews).await?;
        let wanted: BTreeMap<ImageId, Said> = meant.iter().flatten().copied().collect();
        let fates = self.decide_reviewed(caller, &reviewer, &task, wanted).await?;
        let count = |wanted| fates.values().flatten().filter(|(outcome, _)| *outcome == wanted).count();
        let reviewed = count(ReviewOutcome::Reviewed);
        // What was reviewed before too: perhaps that was cut off before it was looked at.
        if reviewed + count(ReviewOutcome::Unchanged) > 0 {
            self.advance(id).await?;
        }
        tracing::info!(task = %id, images = reviewed, "disputed images reviewed");

        let receipt = |(fields, one): (&ReviewFields, Result<(ImageId, Said), Refusal>)| {
            let image = one.as_ref().map_or(fields.image, |(image, _)| Some(*image));
            let try_again = || Refusal::new("try-again", "the image keeps changing; send it again");
            let fate = one.and_then(|(image, _)| fates.get(&image).cloned().unwrap_or_else(|| Err(try_again())));
            let name = fields.name.clone();
            match fate {
                Ok((outcome, label)) => {
                    let label = task.labels.get(label).cloned();
                    ReviewReceipt { image, name, outcome, label, code: None, detail: None }
                }
                Err(Refusal { code, detail }) => ReviewReceipt {
                    image,
                    name,
                    outcome: ReviewOutcome::Refused,
                    label: None,
                    code: Some(code.to_owned()),
                    detail: Some(detail),
                },
            }
        };
        Ok(ReviewReceipts { reviews: request.reviews.iter().zip(meant).map(receipt).collect() })
    }

    /// Reads the lines of a request.
    async fn meant_reviews(
        &self,
        task: &Task,
        reviews: &[ReviewFields],
    ) -> Result<Vec<Result<(ImageId, Said), Refusal>>> {
        let lines: Vec<_> = reviews.iter().map(|fields| (fields.name.as_deref(), fields.image)).collect();
        let images = self.images_meant(task, &lines).await?;
        let mut seen: HashMap<ImageId, Said> = HashMap::new();
        let read = |(fields, image): (&ReviewFields, Result<ImageId, Refusal>)| {
            let image = image?;
            let said = match (&fields.label, fields.keep) {
                (Some(label), false) => {
                    let place = task.labels.index_of(label);
                    let unknown = || Refusal::new("unknown-label", "the label is not one of the task's labels");
                    Said::Label(place.ok_or_else(unknown)?)
                }
                (None, true) => Said::Keep,
                _ => return Err(Refusal::new("no-label", "say either a label, or that the best one is kept")),
            };
            if *seen.entry(image).or_insert(said) != said {
                return Err(Refusal::new("duplicate", "the request says something else of the same image"));
            }
            Ok((image, said))
        };
        Ok(reviews.iter().zip(images).map(read).collect())
    }

    /// Decides images, and says of each what became of it. What has no fate in the end has changed each time.
    async fn decide_reviewed(
        &self,
        caller: &Caller,
        reviewer: &ClientId,
        task: &Task,
        mut left: BTreeMap<ImageId, Said>,
    ) -> Result<BTreeMap<ImageId, Fate>> {
        let mut fates: BTreeMap<ImageId, Fate> = BTreeMap::new();
        let mut is_on_trail = false;
        for _ in 0..TRIES {
            if left.is_empty() {
                break;
            }
            let images: Vec<ImageId> = left.keys().copied().collect();
            let known = self.store.subtasks(task, &images, true).await?;
            let mut known: HashMap<ImageId, Subtask> = known.into_iter().map(|seen| (seen.image, seen)).collect();
            let now = self.clock.now();
            let mut revisions = Vec::new();
            for (image, said) in &left {
                let seen = known.remove(image);
                match verdict(seen.as_ref(), *said) {
                    Verdict::Over(fate) => drop(fates.insert(*image, fate)),
                    Verdict::Decide(label) => revisions.extend(seen.and_then(|seen| {
                        let mut after = seen.clone();
                        after.review(label, reviewer, now).then_some(Revision { seen, after })
                    })),
                }
            }
            if !is_on_trail && !revisions.is_empty() {
                self.note(caller, task.id, Deed::DisputesReviewed { images: revisions.len() as u64 }).await?;
                is_on_trail = true;
            }
            left.retain(|image, _| !fates.contains_key(image));
            for chunk in revisions.chunks(REVISED_AT_ONCE) {
                match self.store.revise(task, chunk, None).await? {
                    Revised::Done(done) => {
                        for (Revision { after, .. }, _) in chunk.iter().zip(done).filter(|(_, done)| *done) {
                            let label = after.decision.and_then(|decision| decision.label);
                            left.remove(&after.image);
                            fates.extend(label.map(|label| (after.image, Ok((ReviewOutcome::Reviewed, label)))));
                        }
                    }
                    Revised::Stopped => {
                        let over = || Refusal::new("task-ended", "the task has ended meanwhile");
                        fates.extend(left.keys().map(|image| (*image, Err(over()))));
                        return Ok(fates);
                    }
                }
            }
        }
        Ok(fates)
    }
}

/// What is to become of an image, as it is now.
fn verdict(seen: Option<&Subtask>, said: Said) -> Verdict {
    let refused = |code, detail: &str| Verdict::Over(Err(Refusal::new(code, detail)));
    let Some(seen) = seen else { return refused("image-not-found", "there is no such image in the task") };
    let has = seen.decision.and_then(|decision| decision.label);
    match (seen.state, said, has) {
        (SubtaskState::Disputed, Said::Label(label), _) | (SubtaskState::Disputed, Said::Keep, Some(label)) => {
            Verdict::Decide(label)
        }
        (SubtaskState::Disputed, Said::Keep, None) => {
            refused("no-best-label", "nobody gave the image a label that it could keep; say one")
        }
        (_, _, Some(has)) if seen.decided_by == DecidedBy::Review => match said {
            Said::Label(label) if label != has => {
                refused("reviewed-otherwise", "the image was reviewed, and decided for another label")
            }
            _ => Verdict::Over(Ok((ReviewOutcome::Unchanged, has))),
        },
        _ => refused("not-disputed", "the image is not disputed"),
    }
}
