//! What a client does about gold: say which images it is, see what operators made of it, take it off the list.
//!
//! An image that becomes gold while it is open is decided by that: it closes with its known label, in the transaction
//! in which every image closes. So it is no work any more, and comes back to the client with its label. If the client
//! comes to know better it is decided anew, and so is what somebody has reviewed. What votes have decided stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    Deed, Gold, ImageId, LabelIndex, OperatorId, Subtask, SubtaskState, Task, TaskId,
    api::{AddGold, GoldFields, GoldOutcome, GoldPage, GoldReceipt, GoldReceipts, GoldRemoval, GoldView, PageQuery},
    gold::GoldRecord,
    limits,
};

use crate::{
    caller::Caller,
    error::{Error, Result},
    lines::Refusal,
    ports::{CLOSED_AT_ONCE, Closing, REVISED_AT_ONCE, Revised, Revision, SharedGold, StoreResult},
    results::page_limit,
    tasks::Tasks,
};

/// Requests to the tables that one call has under way at the same time.
const AT_ONCE: usize = 16;
/// How often images are decided anew when something comes in between.
const CLOSE_TRIES: usize = 5;
/// Operators' records of one read.
const RECORDS: u32 = 1_000;

/// What a line of the request means.
type Meant = Result<(ImageId, LabelIndex), Refusal>;

impl Tasks {
    /// Makes images gold. Each is judged alone. The same again changes nothing; another label takes the place of the
    /// one before.
    pub async fn add_gold(&self, caller: &Caller, id: TaskId, request: &AddGold) -> Result<GoldReceipts> {
        let task = self.owned(caller, id).await?;
        if task.state.is_final() {
            return Err(Error::TaskEnded(task.state));
        }
        if !(1..=limits::GOLD_PER_REQUEST).contains(&request.gold.len()) {
            let detail = format!("1 to {} images in one request", limits::GOLD_PER_REQUEST);
            return Err(Error::invalid("gold", detail));
        }
        let mut meant = self.meant(&task, &request.gold).await?;
        let images: Vec<ImageId> = meant.iter().flatten().map(|(image, _)| *image).collect();
        let subtasks = self.store.subtasks(&task, &images, true).await?;
        let mut known: HashMap<ImageId, Subtask> = subtasks.into_iter().map(|s| (s.image, s)).collect();
        for one in &mut meant {
            if let Ok((image, _)) = *one
                && let Some(refusal) = self.unfit(&task, image, known.get(&image)).await?
            {
                *one = Err(refusal);
            }
        }
        let there = list(&self.gold, id).await?;
        let mut room = limits::GOLD_PER_TASK.saturating_sub(there.len());
        let now = self.clock.now();
        // What each image is to become; none where it is that already.
        let mut changes: BTreeMap<ImageId, (Gold, GoldOutcome)> = BTreeMap::new();
        for one in &mut meant {
            let Ok((image, label)) = *one else { continue };
            let outcome = match there.get(&image) {
                Some(gold) if gold.label == label => continue,
                Some(_) => GoldOutcome::Replaced,
                None if changes.contains_key(&image) => continue,
                None if room == 0 => {
                    let detail = format!("a task has {} images of gold at most; remove some", limits::GOLD_PER_TASK);
                    *one = Err(Refusal::new("too-many", detail));
                    continue;
                }
                None => {
                    room -= 1;
                    GoldOutcome::Added
                }
            };
            changes.insert(image, (Gold { image, label, added_at: now }, outcome));
        }
        if !changes.is_empty() {
            self.note(caller, id, Deed::GoldAdded { images: changes.len() as u64 }).await?;
        }
        // First the decision: an image that is gold and open would be work.
        let decided = self.decide(&task, &meant, &mut known).await?;
        let wrong = self.correct(&task, &meant, &mut known).await?;
        let failed = |image: &ImageId| decided.get(image) == Some(&false) || wrong.contains(image);
        let puts: Vec<_> = changes.values().filter(|(gold, _)| !failed(&gold.image)).map(|(gold, _)| *gold).collect();
        let puts: Vec<_> = puts.iter().map(|gold| self.gold.put_gold(id, gold)).collect();
        let put = puts.len();
        stream::iter(puts).buffered(AT_ONCE).try_for_each(async |()| Ok(())).await?;
        tracing::info!(task = %id, images = put, "gold added");

        let receipt = |(fields, one): (&GoldFields, Meant)| {
            let one = one.and_then(|(image, label)| match failed(&image) {
                true => Err(Refusal::new("try-again", "somebody else decides the image just now; send it again")),
                false => Ok((image, label)),
            });
            let name = fields.name.clone();
            match one {
                Ok((image, label)) => {
                    let outcome = changes.get(&image).map_or(GoldOutcome::Unchanged, |(_, outcome)| *outcome);
                    let decision = known.get(&image).and_then(|subtask| subtask.decision?.label);
                    let decided = decision.filter(|decided| *decided != label);
                    let decided = decided.and_then(|label| task.labels.get(label).cloned());
                    GoldReceipt { name, image: Some(image), outcome, decided, code: None, detail: None }
                }
                Err(Refusal { code, detail }) => GoldReceipt {
                    name,
                    image: fields.image,
                    outcome: GoldOutcome::Refused,
                    decided: None,
                    code: Some(code.to_owned()),
                    detail: Some(detail),
                },
            }
        };
        Ok(GoldReceipts { gold: request.gold.iter().zip(meant).map(receipt).collect() })
    }

    /// Reads the lines of a request.
    async fn meant(&self, task: &Task, gold: &[GoldFields]) -> Result<Vec<Meant>> {
        let lines: Vec<_> = gold.iter().map(|fields| (fields.name.as_deref(), fields.image)).collect();
        let images = self.images_meant(task, &lines).await?;
        let mut seen: HashMap<ImageId, LabelIndex> = HashMap::new();
        let read = |(fields, image): (&GoldFields, Result<ImageId, Refusal>)| {
            let image = image?;
            let label = task.labels.index_of(&fields.label);
            let label =
                label.ok_or_else(|| Refusal::new("unknown-label", "the label is not one of the task's labels"))?;
            if *seen.entry(image).or_insert(label) != label {
                return Err(Refusal::new("duplicate", "the request has another label for the same image"));
            }
            Ok((image, label))
        };
        Ok(gold.iter().zip(images).map(read).collect())
    }

    /// Why an image cannot be gold now, if it cannot.
    async fn unfit(&self, task: &Task, image: ImageId, subtask: Option<&Subtask>) -> Result<Option<Refusal>> {
        Ok(match subtask.map(|subtask| subtask.state) {
            Some(SubtaskState::Open | SubtaskState::Complete | SubtaskState::Disputed) => None,
            Some(SubtaskState::Preparing) => {
                Some(Refusal::new("not-ready", "the image is not in the pool yet; try again in a moment"))
            }
            Some(SubtaskState::Rejected) => {
                Some(Refusal::new("rejected", "the file is no picture that can be labelled"))
            }
            None if self.store.files_of(task, image, 1).await?.is_empty() => {
                Some(Refusal::new("image-not-found", "the task has no such image"))
            }
            None => {
                let detail = "the file was announced and has not arrived; try again when it is uploaded and validated";
                Some(Refusal::new("not-arrived", detail))
            }
        })
    }

    /// Closes those of the images that are open with their true label. Says of each that was whether it is decided now.
    /// `known` gets what was found of an image that somebody else has changed meanwhile.
    async fn decide(
        &self,
        task: &Task,
        meant: &[Meant],
        known: &mut HashMap<ImageId, Subtask>,
    ) -> Result<HashMap<ImageId, bool>> {
        let labels: HashMap<ImageId, LabelIndex> = meant.iter().flatten().copied().collect();
        let closing = |seen: &Subtask| Closing::by_gold(seen.clone(), *labels.get(&seen.image)?);
        let mut open: Vec<Closing> = labels.keys().filter_map(|image| closing(known.get(image)?)).collect();
        let mut decided: HashMap<ImageId, bool> = open.iter().map(|closing| (closing.seen.image, false)).collect();
        for _ in 0..CLOSE_TRIES {
            if open.is_empty() {
                break;
            }
            let mut lost = Vec::new();
            for chunk in open.chunks(CLOSED_AT_ONCE) {
                let closed = self.store.close(task, chunk, self.clock.now()).await?;
                for (closing, closed) in chunk.iter().zip(closed) {
                    match closed {
                        true => drop(decided.insert(closing.seen.image, true)),
                        false => lost.push(closing.seen.image),
                    }
                }
            }
            open.clear();
            if !lost.is_empty() {
                for subtask in self.store.subtasks(task, &lost, true).await? {
                    match closing(&subtask) {
                        Some(closing) => open.push(closing),
                        None => drop(decided.insert(subtask.image, true)),
                    }
                    known.insert(subtask.image, subtask);
                }
            }
        }
        Ok(decided)
    }

    /// Decides those of the images anew that a person has decided for another label than is known now. Says which of
    /// them are as they were, because they keep changing or their task has ended. `known` gets what became of them.
    async fn correct(
        &self,
        task: &Task,
        meant: &[Meant],
        known: &mut HashMap<ImageId, Subtask>,
    ) -> Result<BTreeSet<ImageId>> {
        let labels: BTreeMap<ImageId, LabelIndex> = meant.iter().flatten().copied().collect();
        let now = self.clock.now();
        let correction = |seen: &Subtask, label: LabelIndex| {
            let mut after = seen.clone();
            after.correct(label, now).then(|| Revision { seen: seen.clone(), after })
        };
        let mut wrong = BTreeSet::new();
        for _ in 0..CLOSE_TRIES {
            let corrections = labels.iter().filter_map(|(image, label)| correction(known.get(image)?, *label));
            let corrections: Vec<Revision> = corrections.collect();
            wrong = corrections.iter().map(|revision| revision.after.image).collect();
            for chunk in corrections.chunks(REVISED_AT_ONCE) {
                let Revised::Done(done) = self.store.revise(task, chunk, None).await? else { return Ok(wrong) };
                for (Revision { after, .. }, _) in chunk.iter().zip(done).filter(|(_, done)| *done) {
                    wrong.remove(&after.image);
                    known.insert(after.image, after.clone());
                }
            }
            if wrong.is_empty() {
                break;
            }
            let lost: Vec<ImageId> = wrong.iter().copied().collect();
            let read = self.store.subtasks(task, &lost, true).await?;
            known.extend(read.into_iter().map(|subtask| (subtask.image, subtask)));
        }
        Ok(wrong)
    }

    /// A page of a task's gold, with what operators said of it.
    pub async fn gold(&self, caller: &Caller, id: TaskId, query: &PageQuery) -> Result<GoldPage> {
        let task = self.owned(caller, id).await?;
        let limit = page_limit(query.limit)?;
        let after = match &query.cursor {
            Some(text) => Some(text.parse().map_err(|_| Error::invalid("cursor", "this is not a cursor"))?),
            None => None,
        };
        let page = self.gold.gold(id, after, limit).await?;
        let next = page.last().filter(|_| page.len() == limit as usize).map(|gold| gold.image.to_string());
        let records = if page.is_empty() { HashMap::new() } else { self.answers(id, &page).await? };
        let views = page.iter().map(|gold| {
            let (task, record) = (&task, records.get(&gold.image).copied().unwrap_or_default());
            async move {
                let name = self.store.files_of(task, gold.image, 1).await?.pop().map(|file| file.name.to_string());
                // A label that the set does not have was never taken.
                let label = task.labels.get(gold.label).cloned();
                let GoldRecord { answered, right, abstained } = record;
                let (answered, right, abstained) = (answered.into(), right.into(), abstained.into());
                let (image, added_at) = (gold.image, gold.added_at);
                Ok::<_, Error>(label.map(|label| GoldView { image, name, label, added_at, answered, right, abstained }))
            }
        });
        let views: Vec<_> = views.collect();
        let views: Vec<Option<GoldView>> = stream::iter(views).buffered(AT_ONCE).try_collect().await?;
        Ok(GoldPage { gold: views.into_iter().flatten().collect(), next })
    }

    /// What operators said of these images of gold, which are sorted.
    async fn answers(&self, task: TaskId, gold: &[Gold]) -> Result<HashMap<ImageId, GoldRecord>> {
        let mut records: HashMap<ImageId, GoldRecord> = HashMap::new();
        let mut after: Option<OperatorId> = None;
        loop {
            let desks = self.gold.gold_records(task, after.as_ref(), RECORDS).await?;
            for (image, given, truth) in desks.iter().flat_map(|desk| desk.judged(gold)) {
                records.entry(image).or_default().feed(given.answer, truth);
            }
            match desks.last().filter(|_| desks.len() == RECORDS as usize) {
                Some(last) => after = Some(last.operator.clone()),
                None => return Ok(records),
            }
        }
    }

    /// Takes an image off the list of gold. What it was decided for stays; what operators said of it counts no more.
    pub async fn remove_gold(&self, caller: &Caller, id: TaskId, image: ImageId) -> Result<GoldRemoval> {
        let task = self.owned(caller, id).await?;
        // What is removed afterwards changes nothing any more, and a trail ends with its task.
        if !task.state.is_final() && list(&self.gold, id).await?.contains_key(&image) {
            self.note(caller, id, Deed::GoldRemoved { images: 1 }).await?;
        }
        let removed = self.gold.remove_gold(id, image).await?;
        if removed {
            tracing::info!(task = %id, image = %image, "gold removed");
        }
        Ok(GoldRemoval { removed })
    }
}

/// All gold of a task. There may be some images more than the limit where two requests have added at the same time.
async fn list(gold: &SharedGold, task: TaskId) -> StoreResult<HashMap<ImageId, Gold>> {
    let all = gold.gold(task, None, 2 * limits::GOLD_PER_TASK as u32).await?;
    Ok(all.into_iter().map(|gold| (gold.image, gold)).collect())
}
