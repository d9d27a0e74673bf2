//! All votes of a task, side by side.

use crate::LabelIndex;

/// One vote of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    /// The operator's place: any dense numbering.
    pub operator: u32,
    /// What they said.
    pub label: LabelIndex,
}

/// All votes of a task with a label, by image: eight bytes a vote and four an image.
///
/// Within an image they are sorted by operator, so what is computed of a table does not depend on the order in
/// which its votes came, down to the last bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteTable {
    labels: usize,
    operators: usize,
    starts: Vec<u32>,
    ballots: Vec<Ballot>,
}

/// What cannot be a table of votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A label that the task does not have.
    #[error("label {label} on image {image} is beyond the {labels} labels of the task")]
    Label {
        /// The image's place.
        image: u32,
        /// The label's place.
        label: u16,
        /// How many labels there are.
        labels: usize,
    },
    /// An image beyond the number that was given.
    #[error("image {0} is beyond the number of images")]
    Image(u32),
    /// Two different votes of one operator on one image.
    #[error("operator {operator} has two votes on image {image}")]
    Twice {
        /// The image's place.
        image: u32,
        /// The operator's place.
        operator: u32,
    },
    /// More votes than a table can number.
    #[error("a table has 4,294,967,295 votes at most")]
    TooMany,
}

impl VoteTable {
    /// Sorts votes, each with its image's place below `images`, into a table. The same vote again is one vote.
    /// `labels` is the number of labels of the task, *K*.
    pub fn new(labels: usize, images: usize, votes: &[(u32, Ballot)]) -> Result<Self, TableError> {
        if u32::try_from(votes.len()).is_err() {
            return Err(TableError::TooMany);
        }
        let mut starts = vec![0_u32; images + 1];
        let mut operators = 0;
        for (image, ballot) in votes {
            if usize::from(ballot.label.0) >= labels {
                return Err(TableError::Label { image: *image, label: ballot.label.0, labels });
            }
            // One place on, so that the ends of the images become the starts of the next.
            let count = starts.get_mut(*image as usize + 1).ok_or(TableError::Image(*image))?;
            *count += 1;
            operators = operators.max(ballot.operator as usize + 1);
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut ballots = vec![Ballot { operator: 0, label: LabelIndex(0) }; votes.len()];
        for (image, ballot) in votes {
            let place = &mut next[*image as usize];
            ballots[*place as usize] = *ballot;
            *place += 1;
        }
        let mut table = Self { labels: labels.max(1), operators, starts, ballots };
        table.sort()?;
        Ok(table)
    }

    /// Adds an image behind the others, with its votes.
    pub fn push(&mut self, mut votes: Vec<Ballot>) -> Result<(), TableError> {
        let image = u32::try_from(self.images()).map_err(|_| TableError::TooMany)?;
        votes.sort_unstable();
        votes.dedup();
        if let Some(twice) = votes.windows(2).find(|pair| pair[0].operator == pair[1].operator) {
            return Err(TableError::Twice { image, operator: twice[0].operator });
        }
        if let Some(vote) = votes.iter().find(|vote| usize::from(vote.label.0) >= self.labels) {
            return Err(TableError::Label { image, label: vote.label.0, labels: self.labels });
        }
        let end = u32::try_from(self.ballots.len() + votes.len()).map_err(|_| TableError::TooMany)?;
        let operators = votes.last().map_or(0, |vote| vote.operator as usize + 1);
        self.operators = self.operators.max(operators);
        self.ballots.extend(votes);
        self.starts.push(end);
        Ok(())
    }

    /// Sorts each image's votes by operator and drops repeated ones.
    fn sort(&mut self) -> Result<(), TableError> {
        let mut kept = 0;
        let mut start = 0;
        for image in 0..self.images() {
            let end = self.starts[image + 1] as usize;
            self.ballots[start..end].sort_unstable();
            let first = kept;
            for place in start..end {
                let ballot = self.ballots[place];
                if kept > first && self.ballots[kept - 1].operator == ballot.operator {
                    if self.ballots[kept - 1].label == ballot.label {
                        continue;
                    }
                    return Err(TableError::Twice { image: image as u32, operator: ballot.operator });
                }
                self.ballots[kept] = ballot;
                kept += 1;
            }
            start = end;
            self.starts[image + 1] = kept as u32;
        }
        self.ballots.truncate(kept);
        Ok(())
    }

    /// The number of labels, *K*: at least 1.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// The number of images, with those without votes.
    pub fn images(&self) -> usize {
        self.starts.len() - 1
    }

    /// One more than the highest place of an operator.
    pub fn operators(&self) -> usize {
        self.operators
    }

    /// The number of votes.
    pub fn votes(&self) -> usize {
        self.ballots.len()
    }

    /// The votes of one image, by operator; none for an image that is not there.
    pub fn image(&self, image: usize) -> &[Ballot] {
        match (self.starts.get(image), self.starts.get(image + 1)) {
            (Some(start), Some(end)) => &self.ballots[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// The votes, image after image.
    pub fn iter(&self) -> impl Iterator<Item = &[Ballot]> {
        self.starts.windows(2).map(|ends| &self.ballots[ends[0] as usize..ends[1] as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(image: u32, operator: u32, label: u16) -> (u32, Ballot) {
        (image, Ballot { operator, label: LabelIndex(label) })
    }

    #[test]
    fn votes_are_sorted_by_image_and_operator() {
        let votes = [vote(2, 1, 1), vote(0, 3, 0), vote(2, 0, 1), vote(0, 3, 0), vote(0, 1, 1)];
        let table = VoteTable::new(2, 4, &votes).unwrap();
        assert_eq!((table.images(), table.operators(), table.votes(), table.labels()), (4, 4, 4, 2));
        assert_eq!(table.image(0), [vote(0, 1, 1).1, vote(0, 3, 0).1]);
        assert_eq!((table.image(1), table.image(4)), (&[][..], &[][..]));
        assert_eq!(table.image(2), [vote(2, 0, 1).1, vote(2, 1, 1).1]);
        assert_eq!(table.iter().map(<[_]>::len).collect::<Vec<_>>(), [2, 0, 2, 0]);
    }

    #[test]
    fn an_image_that_is_pushed_is_like_the_others() {
        let votes = [vote(0, 3, 0), vote(1, 1, 1)];
        let more = [vote(2, 5, 1), vote(2, 0, 0), vote(2, 5, 1)];
        let mut table = VoteTable::new(2, 2, &votes).unwrap();
        table.push(more.map(|(_, ballot)| ballot).to_vec()).unwrap();
        assert_eq!(table, VoteTable::new(2, 3, &[&votes[..], &more].concat()).unwrap());
        let before = table.clone();
        let twice = table.push(vec![vote(3, 1, 0).1, vote(3, 1, 1).1]);
        assert_eq!(twice, Err(TableError::Twice { image: 3, operator: 1 }));
        assert_eq!(table.push(vec![vote(3, 1, 2).1]), Err(TableError::Label { image: 3, label: 2, labels: 2 }));
        assert_eq!(table, before);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert_eq!(VoteTable::new(2, 1, &[vote(1, 0, 0)]), Err(TableError::Image(1)));
        let label = TableError::Label { image: 0, label: 2, labels: 2 };
        assert_eq!(VoteTable::new(2, 1, &[vote(0, 0, 2)]), Err(label));
        let twice = TableError::Twice { image: 1, operator: 7 };
        assert_eq!(VoteTable::new(2, 2, &[vote(1, 7, 1), vote(0, 7, 1), vote(1, 7, 0)]), Err(twice));
        assert_eq!(VoteTable::new(2, 0, &[]).unwrap().images(), 0);
    }
}
