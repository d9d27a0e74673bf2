//! The rows of a task's data set, out of the tables, in the order of the ring.
//!
//! The ring is cut into stretches of some hundred images, each within one shard; some are read ahead at the same
//! time. So memory does not grow with the task, and the walk is not slowed down by the time that a page takes.

use std::{collections::BTreeMap, sync::Arc};

use futures::{Stream, StreamExt, TryStreamExt, future::try_join, stream};
use lambel_core::{
    AnnouncedFile, FileName, ImageId, Label, OperatorId, Subtask, SubtaskState, Task, TaskId, Vote,
    consensus::Confidence, ring::next_place, subtask::Answer,
};
use lambel_dataset::{
    Error,
    row::{self, Outcome, Row, RowVote, VoteAnswer},
};

use crate::{
    confidence::Reported,
    ports::{FilePlace, ObjectKey, SharedStore, StoreError, StoreResult},
};

/// Images of a stretch, about.
const STRETCH: u64 = 500;
/// Stretches read at the same time. Each has its rows in memory, one or two megabytes of them.
const AHEAD: usize = 8;
/// The most bits by which the ring is cut: a million stretches.
const BITS: u32 = 20;

/// Where the files of images lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the bucket.
    pub bucket: String,
}

impl Place {
    /// The address of an image.
    fn uri(&self, task: TaskId, image: ImageId) -> String {
        format!("s3://{}/{}", self.bucket, ObjectKey { task, image })
    }
}

/// A stretch of the ring within one shard: from an image up to the last one that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    shard: u16,
    first: ImageId,
    last: ImageId,
}

/// The stretches of a task with about so many images: together the whole ring, in its order.
fn stretches(task: &Task, images: u64) -> impl Iterator<Item = Stretch> + Send + use<> {
    let wanted = images.div_ceil(STRETCH).next_power_of_two().trailing_zeros();
    let bits = wanted.clamp(u32::from(task.shards.count()).trailing_zeros(), BITS);
    let shards = task.shards;
    (0..1_u32 << bits).map(move |n| {
        let place = |n: u32, rest: u8| {
            // The first bits of an id are the number of its stretch.
            let below = (1_u32 << (32 - bits)) - 1;
            let mut digest = [rest; 32];
            let high = (n << (32 - bits)) | if rest == 0 { 0 } else { below };
            digest[..4].copy_from_slice(&high.to_be_bytes());
            ImageId::from_digest(digest)
        };
        let first = place(n, 0);
        Stretch { shard: shards.of(&first), first, last: place(n, 0xff) }
    })
}

/// The rows of all images of a task of which there is a record, sorted by image. What was announced and has not come
/// is left out. `images` says how many there are, about: it decides how much is read at a time, and nothing else.
///
/// While a task goes on a row is what it was when it was read. Votes are in it when nobody can vote any more: no
/// operator shall see what others have said before they say it. Confidences are as they are reported.
pub(super) fn rows(
    store: SharedStore,
    task: Arc<Task>,
    images: u64,
    place: Place,
    reported: Reported,
) -> impl Stream<Item = Result<Row, Error>> + Send + 'static {
    let most = (images >> u32::from(task.shards.count()).trailing_zeros()).clamp(100, STRETCH);
    // A page takes in a stretch that has more than its share, as nearly all do: three deviations.
    let page = (most + 3 * most.isqrt() + 1) as u32;
    let place = Arc::new(place);
    stream::iter(stretches(&task, images))
        .map(move |stretch| {
            let (store, task, place) = (store.clone(), task.clone(), place.clone());
            async move { read(store, task, stretch, page, place, reported).await }
        })
        .buffered(AHEAD)
        .map_ok(|rows| stream::iter(rows.into_iter().map(Ok)))
        .map_err(|error| Error::Store(error.into()))
        .try_flatten()
}

async fn read(
    store: SharedStore,
    task: Arc<Task>,
    stretch: Stretch,
    page: u32,
    place: Arc<Place>,
    reported: Reported,
) -> StoreResult<Vec<Row>> {
    let (subtasks, files) =
        try_join(read_subtasks(&store, &task, stretch, page), read_files(&store, &task, stretch, page)).await?;
    let mut names: BTreeMap<ImageId, Vec<FileName>> = BTreeMap::new();
    for file in files {
        names.entry(file.image).or_default().push(file.name);
    }
    let row = |subtask: Subtask| {
        let names = names.remove(&subtask.image).unwrap_or_default();
        row_of(&task, subtask, names, &place, &reported)
    };
    subtasks.into_iter().map(row).collect()
}

async fn read_subtasks(store: &SharedStore, task: &Task, stretch: Stretch, page: u32) -> StoreResult<Vec<Subtask>> {
    let mut found = Vec::new();
    let mut from = stretch.first;
    loop {
        let rows = store.list(task, stretch.shard, from, page).await?;
        let last = rows.last().map(|subtask| subtask.image).filter(|_| rows.len() == page as usize);
        found.extend(rows.into_iter().take_while(|subtask| subtask.image <= stretch.last));
        match last {
            Some(last) if last < stretch.last => from = next_place(&last),
            _ => return Ok(found),
        }
    }
}

async fn read_files(store: &SharedStore, task: &Task, stretch: Stretch, page: u32) -> StoreResult<Vec<AnnouncedFile>> {
    let mut found: Vec<AnnouncedFile> = Vec::new();
    // The first stretch of a shard begins where the shard does.
    let is_first = task.shards.first_place(stretch.shard) == stretch.first;
    let mut after = (!is_first).then(|| FilePlace { image: place_before(&stretch.first), name: None });
    loop {
        let rows = store.files(task, stretch.shard, after.as_ref(), page).await?;
        let last = rows.last().filter(|_| rows.len() == page as usize).map(FilePlace::of);
        found.extend(rows.into_iter().take_while(|file| file.image <= stretch.last));
        match last {
            Some(last) if last.image <= stretch.last => after = Some(last),
            _ => return Ok(found),
        }
    }
}

/// The place before a place. Before the first there is none; nobody asks for it.
fn place_before(image: &ImageId) -> ImageId {
    let mut digest = *image.digest();
    for byte in digest.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    ImageId::from_digest(digest)
}

/// The row of a record. A record that contradicts itself fails: it must not become a wrong row.
fn row_of(task: &Task, subtask: Subtask, names: Vec<FileName>, place: &Place, reported: &Reported) -> StoreResult<Row> {
    let mut row = Row::new(subtask.image);
    row.names = names;
    row.uri = Some(place.uri(task.id, subtask.image));
    row.object_version.clone_from(&subtask.object_version);
    row.bytes = Some(subtask.bytes);
    if let Some(picture) = &subtask.picture {
        row.media_type = Some(picture.media_type.clone());
        (row.width, row.height) = (Some(picture.width), Some(picture.height));
    }
    row.outcome = outcome(task, &subtask, reported).ok_or_else(|| {
        let (image, state) = (subtask.image, subtask.state.as_str());
        StoreError::Failed(format!("the record of {image} is {state} and does not say with what"))
    })?;
    row.decided_at = subtask.decided_at.filter(|_| subtask.state.is_final());
    if subtask.state.is_final() || task.state.is_final() {
        let votes = subtask.votes.iter().map(|vote| (vote, false));
        let late = subtask.late.iter().map(|vote| (vote, true));
        let votes = votes.chain(late).map(|((operator, vote), late)| vote_of(task, operator, vote, late));
        row.votes = votes.collect::<StoreResult<_>>()?;
    }
    row.tidy();
    Ok(row)
}

fn outcome(task: &Task, subtask: &Subtask, reported: &Reported) -> Option<Outcome> {
    let label = |subtask: &Subtask| -> Option<Label> { task.labels.get(subtask.decision?.label?).cloned() };
    let confidence = |subtask: &Subtask| -> Option<Confidence> { reported.of(task, subtask) };
    Some(match subtask.state {
        SubtaskState::Preparing | SubtaskState::Open => Outcome::Unlabelled,
        SubtaskState::Complete => Outcome::Complete {
            label: label(subtask)?,
            confidence: confidence(subtask)?,
            reason: subtask.decision?.dispute,
        },
        SubtaskState::Disputed => Outcome::Disputed {
            label: label(subtask),
            confidence: confidence(subtask)?,
            reason: subtask.decision?.dispute?,
        },
        SubtaskState::Rejected => Outcome::Rejected { refusal: subtask.refusal.clone()? },
    })
}

fn vote_of(task: &Task, operator: &OperatorId, vote: &Vote, late: bool) -> StoreResult<RowVote> {
    let answer = match vote.answer {
        Answer::Label(place) => {
            let label = task.labels.get(place).cloned();
            let missing = || StoreError::Failed(format!("a vote of {operator} has a label that the task has not"));
            VoteAnswer::Label(label.ok_or_else(missing)?)
        }
        Answer::Abstain(reason) => VoteAnswer::Abstain(reason),
    };
    let weight = task.policy.rule.weight(task.labels.len(), vote);
    Ok(RowVote {
        operator: operator.clone(),
        answer,
        at: Some(vote.at),
        elapsed_ms: vote.elapsed_ms,
        weight: weight.and_then(|weight| row::Weight::new(weight.nats())),
        late,
    })
}

#[cfg(test)]
mod tests {
    use lambel_core::{Audience, LabelSet, Policy, Shards, TaskState, Timestamp};

    use super::*;

    fn task(images: u64) -> Task {
        Task {
            id: "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse().unwrap(),
            owner: "client".parse().unwrap(),
            name: "made".to_owned(),
            labels: LabelSet::parse(&["cat", "dog"]).unwrap(),
            instructions: String::new(),
            policy: Policy::default(),
            audience: Audience::Everyone,
            shards: Shards::for_images(Some(images)),
            state: TaskState::Open,
            images: None,
            created_at: Timestamp::from_millis(1),
            sealed_at: None,
            ended_at: None,
            imports: Default::default(),
            rev: 0,
        }
    }

    #[test]
    fn stretches_are_the_whole_ring_and_lie_within_shards() {
        for images in [0, 1, 500, 501, 10_000, 1_000_000, 100_000_000] {
            let task = task(images);
            let all: Vec<_> = stretches(&task, images).collect();
            assert_eq!(all.first().unwrap().first, ImageId::MIN);
            assert_eq!(all.last().unwrap().last, ImageId::MAX);
            assert!(all.windows(2).all(|pair| next_place(&pair[0].last) == pair[1].first));
            for Stretch { shard, first, last } in all {
                assert_eq!((task.shards.of(&first), task.shards.of(&last)), (shard, shard));
                assert!(first == ImageId::MIN || next_place(&place_before(&first)) == first);
            }
        }
    }

    #[test]
    fn a_record_that_contradicts_itself_is_no_row() {
        let task = task(1);
        let picture = lambel_core::subtask::Picture { media_type: "image/png".into(), width: 1, height: 1 };
        let preview = lambel_core::subtask::Preview::NotNeeded;
        let mut subtask = Subtask::preparing(task.id, ImageId::MIN, 1, picture, preview, Timestamp::from_millis(1));
        let place = Place { bucket: "uploads".to_owned() };
        let row = row_of(&task, subtask.clone(), Vec::new(), &place, &Reported::default()).unwrap();
        assert_eq!(row.uri.unwrap(), format!("s3://uploads/{}/{}", task.id, ImageId::MIN));
        subtask.state = SubtaskState::Complete;
        assert!(row_of(&task, subtask, Vec::new(), &place, &Reported::default()).is_err());
    }
}
