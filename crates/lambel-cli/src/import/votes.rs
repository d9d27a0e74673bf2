//! Who said what of which image.

use std::collections::{BTreeMap, HashMap};

use lambel_core::{ImageId, OperatorId, Timestamp, api::OutsideVote};
use lambel_dataset::{
    import::{PlannedImage, outside},
    row::{RowVote, VoteAnswer},
};

use crate::exit::{Exit, Failure, Outcome};

/// The votes of an import.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// The votes, those of an image together.
    pub(super) votes: Vec<OutsideVote>,
    /// On how many images there are votes.
    pub(super) images: u64,
    /// How many of the votes are those of models.
    pub(super) by_models: u64,
    /// Votes of models that are left out.
    pub(super) predictions_left_out: u64,
    /// Votes that another vote of the same operator on the same bytes takes the place of.
    pub(super) said_twice: u64,
    /// Results that the file has without saying whose they are.
    pub(super) results_without_votes: u64,
    /// Labels that the file calls the truth.
    pub(super) truths: u64,
}

fn is_model(operator: &OperatorId) -> bool {
    operator.as_str().starts_with("model:")
}

impl Votes {
    /// The votes on images of a plan, whose ids are in the same order.
    pub(super) fn of(planned: &[PlannedImage], images: &[ImageId], with_models: bool) -> Outcome<Self> {
        let mut found = Self::default();
        // Two addresses can lead to the same bytes. Then the later vote of an operator counts, as it does where one
        // element has two.
        let mut latest: HashMap<(ImageId, OperatorId), (Option<Timestamp>, OutsideVote)> = HashMap::new();
        for (planned, image) in planned.iter().zip(images) {
            for vote in said_of(planned, &mut found) {
                let operator = outside(&vote.operator).map_err(|reason| Failure::new(Exit::Failed, reason))?;
                if is_model(&operator) && !with_models {
                    found.predictions_left_out += 1;
                    continue;
                }
                let (label, abstain) = match vote.answer {
                    VoteAnswer::Label(label) => (Some(label.as_str().to_owned()), None),
                    VoteAnswer::Abstain(reason) => (None, Some(reason)),
                };
                let (at, elapsed_ms) = (vote.at, vote.elapsed_ms);
                let said = OutsideVote { image: *image, operator: operator.clone(), label, abstain, at, elapsed_ms };
                match latest.get(&(*image, operator.clone())) {
                    Some((known, _)) if *known > vote.at => found.said_twice += 1,
                    known => {
                        found.said_twice += u64::from(known.is_some());
                        latest.insert((*image, operator), (vote.at, said));
                    }
                }
            }
        }
        let mut by_image: BTreeMap<ImageId, Vec<(Option<Timestamp>, OutsideVote)>> = BTreeMap::new();
        for ((image, _), vote) in latest {
            by_image.entry(image).or_default().push(vote);
        }
        found.images = by_image.len() as u64;
        for mut votes in by_image.into_values() {
            // In the order in which they were given: if there are more than are needed, the first decide.
            votes.sort_by(|(a, left), (b, right)| (a, &left.operator).cmp(&(b, &right.operator)));
            found.votes.extend(votes.into_iter().map(|(_, vote)| vote));
        }
        found.by_models = found.votes.iter().filter(|vote| is_model(&vote.operator)).count() as u64;
        Ok(found)
    }
}

/// The votes on one image; where the file has a result and says whose it is, that.
fn said_of(planned: &PlannedImage, found: &mut Votes) -> Vec<RowVote> {
    let Some(label) = &planned.label else { return planned.votes.clone() };
    found.truths += u64::from(label.truth);
    match &label.by {
        _ if !planned.votes.is_empty() => planned.votes.clone(),
        Some(by) => {
            let answer = VoteAnswer::Label(label.label.clone());
            let (operator, at) = (by.clone(), label.decided_at);
            vec![RowVote { operator, answer, at, elapsed_ms: None, weight: None, late: false }]
        }
        None => {
            found.results_without_votes += 1;
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use lambel_dataset::import::{GroundTruth, LabelStudio};

    use super::*;

    fn studio(tasks: &str) -> Vec<PlannedImage> {
        LabelStudio::default().read(tasks.as_bytes()).unwrap().accept().unwrap()
    }

    fn said(votes: &Votes) -> Vec<(&str, Option<&str>)> {
        votes.votes.iter().map(|vote| (vote.operator.as_str(), vote.label.as_deref())).collect()
    }

    const CAT: &str = r#"[{"type":"choices","value":{"choices":["cat"]}}]"#;
    const DOG: &str = r#"[{"type":"choices","value":{"choices":["dog"]}}]"#;

    #[test]
    fn people_and_models_vote_in_the_order_of_time() {
        let tasks = format!(
            r#"[{{"data":{{"image":"a.png"}},"annotations":[
              {{"completed_by":2,"result":{CAT},"created_at":"2021-03-02T00:00:00Z"}},
              {{"completed_by":1,"result":{CAT},"created_at":"2021-03-01T00:00:00Z","ground_truth":true}},
              {{"completed_by":3,"result":[],"was_cancelled":true,"created_at":"2021-03-03T00:00:00Z"}}],
              "predictions":[{{"model_version":"m1","result":{DOG},"created_at":"2021-02-01T00:00:00Z"}},
                             {{"model_version":"lambel-consensus:majority","result":{CAT}}}]}}]"#
        );
        let images = [ImageId::MIN];
        let votes = Votes::of(&studio(&tasks), &images, true).unwrap();
        let people = [("import:label-studio:1", Some("cat")), ("import:label-studio:2", Some("cat"))];
        let all =
            [[("model:m1@unknown", Some("dog"))].as_slice(), &people, &[("import:label-studio:3", None)]].concat();
        assert_eq!(said(&votes), all);
        assert_eq!((votes.images, votes.by_models, votes.truths), (1, 1, 1));
        let votes = Votes::of(&studio(&tasks), &images, false).unwrap();
        assert_eq!((votes.votes.len(), votes.predictions_left_out), (3, 1));
    }

    #[test]
    fn of_the_same_bytes_under_two_addresses_the_later_vote_counts() {
        let tasks = format!(
            r#"[{{"data":{{"image":"a.png"}},"annotations":[
              {{"completed_by":1,"result":{CAT},"created_at":"2021-03-02T00:00:00Z"}}]}},
             {{"data":{{"image":"b.png"}},"annotations":[
              {{"completed_by":1,"result":{DOG},"created_at":"2021-03-01T00:00:00Z"}},
              {{"completed_by":2,"result":{DOG}}}]}}]"#
        );
        let votes = Votes::of(&studio(&tasks), &[ImageId::MIN; 2], true).unwrap();
        assert_eq!(said(&votes), [("import:label-studio:2", Some("dog")), ("import:label-studio:1", Some("cat"))]);
        assert_eq!((votes.images, votes.said_twice), (1, 1));
    }

    #[test]
    fn what_a_job_has_found_is_its_vote() {
        let line = |n: u32, human: &str| {
            format!(
                r#"{{"source-ref":"s3://b/{n}.png","a":0,"a-metadata":{{"class-name":"cat","type":"groundtruth/image-classification","job-name":"labeling-job/j","human-annotated":"{human}","creation-date":"2018-10-18T22:18:13.527256"}}}}"#
            )
        };
        let input = format!("{}\n{}\n{{\"source-ref\":\"s3://b/3.png\"}}\n", line(1, "yes"), line(2, "no"));
        let planned = GroundTruth::default().read(input.as_bytes()).unwrap().accept().unwrap();
        let images = [1_u8, 2, 3].map(|n| ImageId::of(&[n]));
        let votes = Votes::of(&planned, &images, true).unwrap();
        let mut found = said(&votes);
        found.sort_unstable();
        assert_eq!(found, [("import:ground-truth:j", Some("cat")), ("model:ground-truth@j", Some("cat"))]);
        assert!(votes.votes[0].at.unwrap().to_string().starts_with("2018-10-18"));
        assert_eq!(Votes::of(&planned, &images, false).unwrap().votes.len(), 1);
    }

    #[test]
    fn a_result_of_nobody_is_no_vote() {
        let tasks = format!(
            r#"[{{"data":{{"image":"a.png"}},
                 "predictions":[{{"model_version":"lambel-consensus:lead","result":{CAT}}}]}}]"#
        );
        let votes = Votes::of(&studio(&tasks), &[ImageId::MIN], true).unwrap();
        assert_eq!((votes.votes.len(), votes.results_without_votes), (0, 1));
    }
}
