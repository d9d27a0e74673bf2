//! What a client reads: images, and results.
//!
//! Files and subtasks of a shard are sorted alike, so a page is a merge of two short queries, whatever the
//! size of the task. A cursor names the place of the last row; it is a place, not a right: the caller's right
//! to the task is checked for every page.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    AnnouncedFile, FileName, ImageId, OperatorId, Subtask, Task, TaskId, Vote,
    api::{
        Explained, ImagePage, ImageState, ImageStatus, ImageView, ImagesQuery, LabelShare, PageQuery, PolicyFields,
        ResultPage, ResultRow, RuleName, VoteView,
    },
    consensus::{Share, Verdict, Weight},
    limits,
    ring::next_place,
    subtask::{Answer, DecidedBy},
};

use crate::{
    caller::Caller,
    confidence::Reported,
    error::{Error, Result},
    ports::FilePlace,
    quality::calibration_view,
    tasks::Tasks,
};

/// Names of one image that a list shows.
const NAMES: u32 = limits::NAMES_PER_IMAGE as u32;

/// How many rows a page may have, from what the request says.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<u32> {
    let limit = limit.unwrap_or(limits::PAGE_ROWS_DEFAULT);
    if (1..=limits::PAGE_ROWS).contains(&limit) {
        Ok(limit)
    } else {
        Err(Error::invalid("limit", format!("1 to {}", limits::PAGE_ROWS)))
    }
}

/// The cursor of what is behind a row.
pub fn cursor_of(row: &ResultRow) -> String {
    format!("{}/{}", row.image, row.name)
}

fn parse_cursor(cursor: &str) -> Result<FilePlace> {
    let bad = || Error::invalid("cursor", "this is not a cursor");
    let (image, name) = match cursor.split_once('/') {
        Some((image, name)) => (image, Some(FileName::parse(name).map_err(|_| bad())?)),
        None => (cursor, None),
    };
    Ok(FilePlace { image: image.parse().map_err(|_| bad())?, name })
}

impl Tasks {
    /// A page of results: a row for each file name.
    pub async fn results(&self, caller: &Caller, id: TaskId, query: &PageQuery) -> Result<ResultPage> {
        let task = self.owned(caller, id).await?;
        let limit = page_limit(query.limit)?;
        let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
        let files = self.files_after(&task, after.as_ref(), limit).await?;
        let next =
            files.last().filter(|_| files.len() == limit as usize).map(|file| format!("{}/{}", file.image, file.name));
        let mut images: Vec<_> = files.iter().map(|file| file.image).collect();
        images.dedup();
        let subtasks = self.known(&task, &images).await?;
        let reported = self.reported(&task, subtasks.values()).await?;
        let mut rows = Vec::with_capacity(files.len());
        let mut bytes = 0;
        for file in &files {
            let row = ResultRow {
                name: file.name.to_string(),
                image: file.image,
                status: status(&task, subtasks.get(&file.image), file.bytes, &reported),
            };
            bytes += serde_json::to_vec(&row).map_or(0, |json| json.len());
            if bytes > limits::RESPONSE_BYTES
                && let Some(last) = rows.last()
            {
                return Ok(ResultPage { next: Some(cursor_of(last)), rows });
            }
            rows.push(row);
        }
        Ok(ResultPage { rows, next })
    }

    /// A page of images. Pages of a rare state may be short, or empty, before the last.
    pub async fn images(&self, caller: &Caller, id: TaskId, query: &ImagesQuery) -> Result<ImagePage> {
        let task = self.owned(caller, id).await?;
        let limit = page_limit(query.limit)?;
        let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
        if query.state == Some(ImageState::Announced) {
            return self.announced(&task, after.as_ref(), limit).await;
        }
        let from = match after {
            // The list has ended where the ring has.
            Some(FilePlace { image: ImageId::MAX, .. }) => return Ok(ImagePage { images: Vec::new(), next: None }),
            Some(FilePlace { image, .. }) => next_place(&image),
            None => ImageId::MIN,
        };
        let first = task.shards.of(&from);
        let mut subtasks: Vec<Subtask> = Vec::new();
        for shard in first..task.shards.count() {
            let start = if shard == first { from } else { ImageId::MIN };
            let missing = limit - subtasks.len() as u32;
            subtasks.extend(self.store.list(&task, shard, start, missing).await?);
            if subtasks.len() == limit as usize {
                break;
            }
        }
        let next = (subtasks.len() == limit as usize)
            .then(|| subtasks.last().map(|subtask| subtask.image.to_string()))
            .flatten();
        subtasks.retain(|subtask| query.state.is_none_or(|state| ImageState::from(subtask.state) == state));
        let reported = self.reported(&task, &subtasks).await?;
        let views = subtasks.into_iter().map(|subtask| {
            let (task, reported) = (&task, &reported);
            async move {
                let files = self.store.files_of(task, subtask.image, NAMES).await?;
                Ok::<_, Error>(image_view(task, subtask.image, &files, Some(&subtask), reported))
            }
        });
        Ok(fit(stream::iter(views).buffered(16).try_collect().await?, next))
    }

    /// Images that were announced and of which nothing has been seen.
    async fn announced(&self, task: &Task, after: Option<&FilePlace>, limit: u32) -> Result<ImagePage> {
        let files = self.files_after(task, after, limit).await?;
        // The names of an image that the page has cut off are read with it, below.
        let next = files.last().filter(|_| files.len() == limit as usize).map(|file| file.image.to_string());
        let mut images: Vec<_> = files.iter().map(|file| file.image).collect();
        images.dedup();
        let known = self.known(task, &images).await?;
        let views = images.into_iter().filter(|image| !known.contains_key(image)).map(|image| async move {
            let files = self.store.files_of(task, image, NAMES).await?;
            Ok::<_, Error>(image_view(task, image, &files, None, &Reported::default()))
        });
        let views: Vec<_> = views.collect();
        Ok(fit(stream::iter(views).buffered(16).try_collect().await?, next))
    }

    /// One image with all that is known of it.
    pub async fn image(&self, caller: &Caller, id: TaskId, image: ImageId) -> Result<ImageView> {
        let task = self.owned(caller, id).await?;
        let files = self.store.files_of(&task, image, NAMES).await?;
        let subtask = self.store.subtasks(&task, &[image], true).await?.pop();
        if files.is_empty() && subtask.is_none() {
            return Err(Error::ImageNotFound);
        }
        let reported = self.reported(&task, &subtask).await?;
        let explained = subtask.as_ref().filter(|subtask| are_votes_shown(&task, subtask));
        let explained = explained.and_then(|subtask| explained_of(&task, subtask, &reported));
        Ok(ImageView { explained, ..image_view(&task, image, &files, subtask.as_ref(), &reported) })
    }

    /// How the confidences of these subtasks are reported. Where none is decided there is nothing to read for it.
    async fn reported(&self, task: &Task, subtasks: impl IntoIterator<Item = &Subtask>) -> Result<Reported> {
        if !subtasks.into_iter().any(|subtask| subtask.decision.is_some()) {
            return Ok(Reported::default());
        }
        Ok(Reported::read(self.quality.as_deref(), task).await?)
    }

    /// The files behind a place, over the shards.
    async fn files_after(&self, task: &Task, after: Option<&FilePlace>, limit: u32) -> Result<Vec<AnnouncedFile>> {
        let first = after.map_or(0, |place| task.shards.of(&place.image));
        let mut files = Vec::new();
        for shard in first..task.shards.count() {
            let missing = limit - files.len() as u32;
            files.extend(self.store.files(task, shard, after.filter(|_| shard == first), missing).await?);
            if files.len() == limit as usize {
                break;
            }
        }
        Ok(files)
    }

    async fn known(&self, task: &Task, images: &[ImageId]) -> Result<HashMap<ImageId, Subtask>> {
        let subtasks = self.store.subtasks(task, images, true).await?;
        Ok(subtasks.into_iter().map(|subtask| (subtask.image, subtask)).collect())
    }
}

/// A page cut to what fits into one answer.
fn fit(images: Vec<ImageView>, next: Option<String>) -> ImagePage {
    let mut bytes = 0;
    let mut kept: Vec<ImageView> = Vec::with_capacity(images.len());
    for view in images {
        bytes += serde_json::to_vec(&view).map_or(0, |json| json.len());
        if bytes > limits::RESPONSE_BYTES
            && let Some(last) = kept.last()
        {
            return ImagePage { next: Some(last.image.to_string()), images: kept };
        }
        kept.push(view);
    }
    ImagePage { images: kept, next }
}

fn image_view(
    task: &Task,
    image: ImageId,
    files: &[AnnouncedFile],
    subtask: Option<&Subtask>,
    reported: &Reported,
) -> ImageView {
    ImageView {
        image,
        names: files.iter().map(|file| file.name.to_string()).collect(),
        status: status(task, subtask, files.first().map_or(0, |file| file.bytes), reported),
        created_at: subtask.map(|subtask| subtask.created_at),
        explained: None,
    }
}

/// Why an image was decided as it was; none where nobody has voted on it.
fn explained_of(task: &Task, subtask: &Subtask, reported: &Reported) -> Option<Explained> {
    if subtask.votes.is_empty() {
        return None;
    }
    let rule = &task.policy.rule;
    let seen = rule.explain(task.labels.len(), &subtask.votes);
    let fields = PolicyFields::from(&task.policy);
    let again = match subtask.judge(&task.policy, task.labels.len()) {
        Verdict::Decided(decision) => Some(decision),
        Verdict::Undecided { .. } => None,
    };
    let share = |share: &Share| {
        let label = task.labels.get(share.label)?.clone();
        Some(LabelShare { label, votes: share.votes, score: share.score, confidence: share.confidence })
    };
    let posterior = subtask.posterior(rule, task.labels.len());
    Some(Explained {
        rule: fields.rule.unwrap_or(RuleName::Majority),
        confidence_wanted: fields.confidence,
        phase: seen.phase,
        labels: seen.labels.iter().filter_map(share).collect(),
        others: rule.weighs().then_some(seen.others),
        posterior,
        calibration: posterior.and(reported.found()).map(calibration_view),
        agrees: subtask
            .decision
            .filter(|_| subtask.decided_by == DecidedBy::Votes)
            .map(|decision| again == Some(decision)),
    })
}

/// Votes are shown when nobody can vote any more: the client of a task may be one of its operators, or tell one,
/// and no operator shall see what others have said before they say it.
fn are_votes_shown(task: &Task, subtask: &Subtask) -> bool {
    subtask.state.is_final() || task.state.is_final()
}

/// What is known of an image. `announced_bytes` serves while there is no record.
fn status(task: &Task, subtask: Option<&Subtask>, announced_bytes: u64, reported: &Reported) -> ImageStatus {
    let labels = &task.labels;
    let picture = subtask.and_then(|subtask| subtask.picture.as_ref());
    let decision = subtask.and_then(|subtask| subtask.decision);
    let mut votes: Vec<VoteView> = Vec::new();
    if let Some(subtask) = subtask.filter(|subtask| are_votes_shown(task, subtask)) {
        votes.extend(subtask.votes.iter().map(|(operator, vote)| vote_view(task, operator, vote, false)));
        votes.extend(subtask.late.iter().map(|(operator, vote)| vote_view(task, operator, vote, true)));
        votes.sort_by(|a, b| (a.at, a.late, &a.operator).cmp(&(b.at, b.late, &b.operator)));
    }
    ImageStatus {
        state: subtask.map_or(ImageState::Announced, |subtask| subtask.state.into()),
        bytes: subtask.map_or(announced_bytes, |subtask| subtask.bytes),
        media_type: picture.map(|picture| picture.media_type.clone()),
        width: picture.map(|picture| picture.width),
        height: picture.map(|picture| picture.height),
        label: decision.and_then(|decision| labels.get(decision.label?).cloned()),
        confidence: subtask.and_then(|subtask| reported.of(task, subtask)),
        dispute: decision.and_then(|decision| decision.dispute),
        decided_by: subtask.filter(|subtask| subtask.decision.is_some()).map(|subtask| subtask.decided_by),
        reviewed_by: subtask.and_then(|subtask| subtask.reviewed_by.clone()),
        refusal: subtask.and_then(|subtask| subtask.refusal.clone()),
        votes,
        decided_at: subtask.and_then(|subtask| subtask.decided_at),
    }
}

fn vote_view(task: &Task, operator: &OperatorId, vote: &Vote, late: bool) -> VoteView {
    let (label, abstain) = match vote.answer {
        Answer::Label(label) => (task.labels.get(label).cloned(), None),
        Answer::Abstain(reason) => (None, Some(reason)),
    };
    let weight = task.policy.rule.weight(task.labels.len(), vote);
    VoteView {
        operator: operator.clone(),
        label,
        abstain,
        at: vote.at,
        elapsed_ms: vote.elapsed_ms,
        weight: weight.map(Weight::nats),
        phase: weight.and(vote.earned).map(|earned| earned.phase),
        late,
    }
}
