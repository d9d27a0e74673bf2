//! Tests of both models on crowds that are made up here, and on those that are hardly crowds at all.

use proptest::prelude::*;

use super::*;
use crate::consensus::{DawidSkene, Plurality};

/// Numbers that look drawn, the same each time: a linear congruential generator (Knuth's MMIX).
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Images with true labels in turn; operator *w* is right in `accuracies[w]` of a hundred and says any label else.
fn crowd(labels: u16, images: u32, accuracies: &[u64]) -> Vec<(u32, Ballot)> {
    let mut drawn = Drawn(7);
    let mut votes = Vec::new();
    for image in 0..images {
        for (operator, accuracy) in (0..).zip(accuracies) {
            let truth = (image % u32::from(labels)) as u16;
            let any = drawn.below(u64::from(labels)) as u16;
            let label = LabelIndex(if drawn.below(100) < *accuracy { truth } else { any });
            votes.push((image, Ballot { operator, label }));
        }
    }
    votes
}

fn none(_: usize) -> Option<LabelIndex> {
    None
}

fn right(labels: u16, estimates: &[Option<Estimate>]) -> usize {
    let truths = (0..labels).cycle().map(LabelIndex);
    estimates.iter().zip(truths).filter(|(estimate, truth)| estimate.map(|e| e.label) == Some(*truth)).count()
}

#[test]
fn one_good_operator_outweighs_a_majority_of_clickers() {
    // Two who know, six who click at random.
    for labels in [2, 4, 16, 17, 200] {
        let votes = crowd(labels, 600, &[97, 93, 0, 0, 0, 0, 0, 0]);
        let table = VoteTable::new(labels.into(), 600, &votes).unwrap();
        let majority: Vec<_> = table
            .iter()
            .map(|votes| {
                let plurality = Plurality::count(votes.iter().map(|vote| vote.label));
                Some(Estimate { label: plurality.leader?, confidence: plurality.share() })
            })
            .collect();
        let model = MapEm::fit(&table, none, ITERATIONS_FINAL);
        let (by_model, by_majority) = (right(labels, &model.estimates(&table)), right(labels, &majority));
        assert!(by_model >= 560 && by_model >= by_majority, "{labels} labels: {by_model}, majority {by_majority}");
        let accuracy = |operator: usize| model.skills()[operator].accuracy(model.mean_accuracy());
        let chance = 1.0 / f64::from(labels);
        assert!(accuracy(0) > 0.9 && accuracy(5) < chance + 0.15, "{labels}: {} {}", accuracy(0), accuracy(5));
    }
}

#[test]
fn the_reference_finds_the_same() {
    for labels in [2, 10, 40] {
        let votes = crowd(labels, 800, &[90, 85, 80, 70, 60, 0]);
        let table = VoteTable::new(labels.into(), 800, &votes).unwrap();
        let reference = right(labels, &DawidSkene::fit(&table, 20).estimates(&table));
        let model = right(labels, &MapEm::fit(&table, none, 20).estimates(&table));
        assert!(reference >= 740 && model + 12 >= reference, "{labels} labels: {model}, reference {reference}");
    }
}

/// The first M-step, by hand: two labels, two operators, image 0 with two votes for 0, image 1 with one each.
#[test]
fn the_formulas_are_those_that_are_written_down() {
    let vote = |image, operator, label| (image, Ballot { operator, label: LabelIndex(label) });
    let votes = [vote(0, 0, 0), vote(0, 1, 0), vote(1, 0, 0), vote(1, 1, 1)];
    let table = VoteTable::new(2, 2, &votes).unwrap();
    let model = MapEm::fit(&table, none, 1);
    // Shares: image 0 is (1, 0), image 1 is (½, ½). Each operator has 2 answers, 1.5 of them right.
    assert_eq!(model.skills(), [Skill { answers: 2.0, right: 1.5 }; 2]);
    let mean = (3.0 + 16.0) / (4.0 + 20.0);
    assert!((model.mean_accuracy() - mean).abs() < 1e-12);
    let accuracy = (1.5 + 4.0 * mean) / (2.0 + 4.0);
    // With two labels all errors on one are for the other: e = 1. Operator 0 said 0 in 1.5 images of label 0.
    let pi = |operator, truth, said| model.confusion(operator, LabelIndex(truth), LabelIndex(said)).unwrap();
    assert!((pi(0, 0, 0) - (1.5 + 6.0 * accuracy) / 7.5).abs() < 1e-6);
    assert!((pi(0, 1, 0) - (0.5 + 6.0 * (1.0 - accuracy)) / 6.5).abs() < 1e-6);
    assert!((pi(1, 0, 1) - (0.5 + 6.0 * (1.0 - accuracy)) / 7.5).abs() < 1e-6);
    // N = (1.5, 0.5), κ = (5 + 0.2) / 2.
    let prior = |images: f64| (images + 2.6) / (2.0 + 5.2);
    let mut scores = Scores::default();
    model.score(table.image(1), &mut scores);
    let odds = prior(1.5) * pi(0, 0, 0) * pi(1, 0, 1) / (prior(0.5) * pi(0, 1, 0) * pi(1, 1, 1));
    assert!((scores.posterior(LabelIndex(0), 1.0) - odds / (1.0 + odds)).abs() < 1e-6);
}

/// Image 0 of the same, by what both operators have said on image 1.
#[test]
fn while_operators_are_unknown_an_image_is_judged_by_what_they_said_of_others() {
    let vote = |image, operator, label| (image, Ballot { operator, label: LabelIndex(label) });
    let votes = [vote(0, 0, 0), vote(0, 1, 0), vote(1, 0, 0), vote(1, 1, 1)];
    let table = VoteTable::new(2, 2, &votes).unwrap();
    let model = MapEm::fit(&table, none, 1);
    let mut scores = Scores::default();
    let by_all = model.evidence_in(Phase::Warm, table.image(0), &mut scores);
    assert_eq!(by_all, model.evidence(table.image(0), &mut scores));
    let by_others = model.evidence_in(Phase::Cold, table.image(0), &mut scores);
    // Image 0 is taken to be (p, q). Without it each operator has one answer, 1.5 − p of it right.
    let (p, q) = (by_all.confidence.get(), 1.0 - by_all.confidence.get());
    let accuracy = (1.5 - p + 4.0 * model.mean_accuracy()) / 5.0;
    let (right, wrong) = (6.0 * accuracy, 6.0 * (1.0 - accuracy));
    // Operator 0 said 0 in 1.5 images of label 0 and half an image of label 1, operator 1 in one of label 0.
    let odds = (4.1 / 3.1) * ((1.5 - p + right) * (1.0 - p + right)) / (7.5 - p).powi(2);
    let odds = odds / (((0.5 - q + wrong) * wrong) / (6.5 - q).powi(2));
    assert!((by_others.confidence.get() - odds / (1.0 + odds)).abs() < 1e-6, "{by_all:?} {by_others:?}");
    assert_eq!((by_others.leader, by_others.cast), (by_all.leader, 2));
}

#[test]
fn votes_of_strangers_do_not_vouch_for_themselves() {
    // Six answers of each operator; two in seven of them click at random. Two or three answers an image.
    for labels in [10_u16, 40] {
        let mut drawn = Drawn(11);
        let mut votes = Vec::new();
        for place in 0..12_000_u64 {
            let (image, operator) = ((place % 4_800) as u32, (place / 6) as u32);
            let truth = (image % u32::from(labels)) as u16;
            let is_right = operator % 7 > 1 && drawn.below(100) < 90;
            let any = drawn.below(u64::from(labels)) as u16;
            votes.push((image, Ballot { operator, label: LabelIndex(if is_right { truth } else { any }) }));
        }
        let table = VoteTable::new(labels.into(), 4_800, &votes).unwrap();
        let model = MapEm::fit(&table, none, ITERATIONS_FINAL);
        // How much surer than right it is, in the mean.
        let too_sure = |phase: Phase| -> f64 {
            let mut scores = Scores::default();
            let excess = table.iter().enumerate().map(|(image, votes)| {
                let evidence = model.evidence_in(phase, votes, &mut scores);
                let truth = LabelIndex((image % usize::from(labels)) as u16);
                evidence.confidence.get() - f64::from(u8::from(evidence.leader == Some(truth)))
            });
            excess.sum::<f64>() / 4_800.0
        };
        let (by_all, by_others) = (too_sure(Phase::Warm), too_sure(Phase::Cold));
        assert!(by_others < by_all && by_others.abs() < by_all.abs(), "{labels} labels: {by_all} {by_others}");
    }
}

#[test]
fn gold_measures_operators_whatever_the_others_say() {
    // All agree on the wrong label but operator 3, who is right. On half of the images the truth is known.
    let votes: Vec<_> = (0..60)
        .flat_map(|image| {
            (0..4).map(move |operator| {
                let truth = (image % 3) as u16;
                let label = LabelIndex(if operator == 3 { truth } else { (truth + 1) % 3 });
                (image, Ballot { operator, label })
            })
        })
        .collect();
    let table = VoteTable::new(3, 60, &votes).unwrap();
    let gold = |image: usize| (image < 30).then_some(LabelIndex((image % 3) as u16));
    let with_gold = MapEm::fit(&table, gold, ITERATIONS_FINAL).estimates(&table);
    assert_eq!(right(3, &with_gold), 60);
    assert_eq!(right(3, &MapEm::fit(&table, none, ITERATIONS_FINAL).estimates(&table)), 0);
}

#[test]
fn crowds_that_are_hardly_any_have_answers_too() {
    let vote = |image, operator, label| (image, Ballot { operator, label: LabelIndex(label) });
    for labels in [1, 2, 16, 17, 1_000] {
        let nobody = VoteTable::new(labels, 3, &[]).unwrap();
        assert_eq!(MapEm::fit(&nobody, none, 8).estimates(&nobody), [None; 3]);
        assert_eq!(DawidSkene::fit(&nobody, 8).estimates(&nobody), [None; 3]);
        let one = VoteTable::new(labels, 2, &[vote(1, 4, 0)]).unwrap();
        for estimates in [MapEm::fit(&one, none, 8).estimates(&one), DawidSkene::fit(&one, 8).estimates(&one)] {
            assert_eq!((estimates[0], estimates[1].unwrap().label), (None, LabelIndex(0)));
        }
    }
    let agree: Vec<_> = (0..40).flat_map(|image| (0..5).map(move |w| vote(image, w, (image % 2) as u16))).collect();
    let table = VoteTable::new(2, 40, &agree).unwrap();
    let estimates = MapEm::fit(&table, none, ITERATIONS_FINAL).estimates(&table);
    assert_eq!(right(2, &estimates), 40);
    assert!(estimates.iter().flatten().all(|estimate| estimate.confidence.get() > 0.999));
    // An operator whom the model has never seen adds nothing.
    let model = MapEm::fit(&table, none, 8);
    let (mut with, mut without) = (Scores::default(), Scores::default());
    model.score(&[vote(0, 0, 0).1, vote(0, 999, 1).1], &mut with);
    model.score(&[vote(0, 0, 0).1], &mut without);
    assert_eq!(with.best(), without.best());
}

fn any_votes(labels: u16) -> impl Strategy<Value = Vec<(u32, Ballot)>> {
    let keyed = prop::collection::btree_map((0_u32..12, 0_u32..9), 0..labels, 0..80);
    keyed.prop_map(|votes| {
        let vote = |((image, operator), label)| (image, Ballot { operator, label: LabelIndex(label) });
        votes.into_iter().map(vote).collect()
    })
}

proptest! {
    #[test]
    fn any_votes_have_finite_answers_in_any_order(
        (labels, votes) in prop_oneof![Just(2_u16), Just(5), Just(16), Just(17), Just(300)]
            .prop_flat_map(|labels| (Just(labels), any_votes(labels))),
        turn in 0_usize..80,
    ) {
        let table = VoteTable::new(labels.into(), 12, &votes).unwrap();
        let model = MapEm::fit(&table, none, 8);
        let reference = DawidSkene::fit(&table, 8);
        for (estimates, name) in [(model.estimates(&table), "MAP-EM"), (reference.estimates(&table), "Dawid–Skene")] {
            for (estimate, votes) in estimates.iter().zip(table.iter()) {
                prop_assert_eq!(estimate.is_some(), !votes.is_empty(), "{}", name);
                if let Some(Estimate { label, confidence }) = estimate {
                    prop_assert!(label.0 < labels && confidence.get() > 0.0, "{} {:?}", name, estimate);
                }
            }
        }
        prop_assert!(model.skills().iter().all(|skill| skill.accuracy(model.mean_accuracy()).is_finite()));
        let (mut scores, mut room) = (Scores::default(), Scores::default());
        let mut by_others = |model: &MapEm, votes: &[Ballot]| {
            let evidence = model.evidence_in(Phase::Cold, votes, &mut scores);
            (evidence.leader, evidence.confidence.get())
        };
        for votes in table.iter() {
            let (leader, confidence) = by_others(&model, votes);
            prop_assert_eq!(leader, model.evidence(votes, &mut room).leader);
            prop_assert!((0.0..=1.0).contains(&confidence) && (confidence > 0.0) == leader.is_some(), "{}", confidence);
        }
        // The same votes in another order give the same bits.
        let mut turned = votes;
        turned.reverse();
        let middle = turn.min(turned.len());
        turned.rotate_left(middle);
        let turned = VoteTable::new(labels.into(), 12, &turned).unwrap();
        let model_of_turned = MapEm::fit(&turned, none, 8);
        prop_assert_eq!(model_of_turned.estimates(&turned), model.estimates(&table));
        for (votes, turned) in table.iter().zip(turned.iter()) {
            prop_assert_eq!(by_others(&model_of_turned, turned), by_others(&model, votes));
        }
        prop_assert_eq!(DawidSkene::fit(&turned, 8).estimates(&turned), reference.estimates(&table));
    }
}
