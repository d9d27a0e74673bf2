//! Votes on their way: some requests at the same time, and again for images that are not open yet.

use futures::{StreamExt, TryStreamExt, stream};
use lambel_client::Client;
use lambel_core::{
    ImportName, TaskId,
    api::{BringVotes, OutsideReceipt, OutsideVote, VoteOutcome},
    limits,
};
use serde::Serialize;

use super::{LOOK_EVERY, PATIENCE};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::Progress,
};

/// Requests under way at the same time.
const AT_ONCE: usize = 4;

/// What became of votes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Brought {
    pub(super) counted: u64,
    pub(super) replaced: u64,
    /// They were there before.
    pub(super) unchanged: u64,
    /// The image was decided before them.
    pub(super) late: u64,
    /// Their files were refused.
    pub(super) of_refused_images: u64,
    /// Operators look at the image now.
    pub(super) no_slot: u64,
    /// Refused for another reason, which is said for the first.
    pub(super) refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_refusal: Option<String>,
}

impl Brought {
    /// Votes that are not in the task.
    pub(super) fn left_out(&self) -> u64 {
        self.of_refused_images + self.no_slot + self.refused
    }

    fn all(&self) -> u64 {
        self.counted + self.replaced + self.unchanged + self.late + self.left_out()
    }

    /// Notes what became of a vote. False if it has to be brought in again.
    fn note(&mut self, receipt: &OutsideReceipt) -> bool {
        let count = match (receipt.outcome, receipt.code.as_deref()) {
            (VoteOutcome::Counted, _) => &mut self.counted,
            (VoteOutcome::Replaced, _) => &mut self.replaced,
            (VoteOutcome::Unchanged, _) => &mut self.unchanged,
            (VoteOutcome::Late, _) => &mut self.late,
            // Uploads take a moment until they are in the pool.
            (VoteOutcome::Refused, Some("not-open" | "image-not-found" | "try-again")) => return false,
            (VoteOutcome::Refused, Some("image-refused")) => &mut self.of_refused_images,
            (VoteOutcome::Refused, Some("no-slot")) => &mut self.no_slot,
            (VoteOutcome::Refused, _) => {
                let reason = || format!("{}: {}", receipt.image, receipt.detail.as_deref().unwrap_or("refused"));
                self.first_refusal.get_or_insert_with(reason);
                &mut self.refused
            }
        };
        *count += 1;
        true
    }
}

/// Brings votes in until each has its fate.
pub(super) async fn bring(
    context: &Context,
    client: &Client,
    task: TaskId,
    import: &ImportName,
    mut votes: Vec<OutsideVote>,
) -> Outcome<Brought> {
    let progress = Progress::new(context.out, votes.len() as u64);
    let mut brought = Brought::default();
    let mut moved = tokio::time::Instant::now();
    while !votes.is_empty() {
        let before = brought.all();
        let requests: Vec<_> = votes
            .chunks(limits::VOTES_BROUGHT_IN_PER_REQUEST)
            .map(|chunk| BringVotes { import: import.clone(), votes: chunk.to_vec() })
            .collect();
        let mut answers = stream::iter(requests)
            .map(|request| async move {
                let answer = client.bring_votes(task, &request).await.map_err(Failure::from)?;
                Ok::<_, Failure>((request.votes, answer.votes))
            })
            .buffered(AT_ONCE);
        let mut left = Vec::new();
        while let Some((said, receipts)) = answers.try_next().await? {
            left.extend(
                said.into_iter().zip(&receipts).filter(|(_, receipt)| !brought.note(receipt)).map(|(vote, _)| vote),
            );
            progress.set(brought.all(), || "votes".to_owned());
        }
        drop(answers);
        votes = left;
        if brought.all() > before {
            moved = tokio::time::Instant::now();
        }
        if votes.is_empty() {
            break;
        }
        if moved.elapsed() > PATIENCE {
            let message = format!(
                "{} votes wait for images that are not open, and nothing has moved for {} s; run the same command \
                 again later",
                votes.len(),
                PATIENCE.as_secs()
            );
            return Err(Failure::new(Exit::TryAgain, message));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(brought)
}

#[cfg(test)]
mod tests {
    use lambel_core::ImageId;

    use super::*;

    #[test]
    fn votes_are_counted_by_their_fate() {
        let receipt = |outcome, code: Option<&str>| OutsideReceipt {
            image: ImageId::MIN,
            operator: "import:x:1".parse().unwrap(),
            outcome,
            code: code.map(str::to_owned),
            detail: code.map(str::to_owned),
        };
        let mut brought = Brought::default();
        for outcome in [VoteOutcome::Counted, VoteOutcome::Replaced, VoteOutcome::Unchanged, VoteOutcome::Late] {
            assert!(brought.note(&receipt(outcome, None)));
        }
        for (code, settled) in [
            ("not-open", false),
            ("image-not-found", false),
            ("try-again", false),
            ("image-refused", true),
            ("no-slot", true),
            ("too-many-late", true),
        ] {
            assert_eq!(brought.note(&receipt(VoteOutcome::Refused, Some(code))), settled, "{code}");
        }
        assert_eq!((brought.left_out(), brought.all()), (3, 7));
        assert!(brought.first_refusal.unwrap().ends_with("too-many-late"));
    }
}
