//! Bugs to be seeded: each takes one safeguard of the protocol away. A checker that finds none of them proves
//! nothing.

/// A safeguard that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// A lease is written without a condition on `rev`.
    LeaseUnconditional,
    /// A claim leases what the index names, without reading the record.
    IndexTrusted,
    /// A claim does not look whether the operator has voted.
    VotedHandedOut,
    /// A claim does not count the leases of others when it looks for a free slot.
    LeasesNotCounted,
    /// A vote is written without the condition that the operator has not voted: a write that is sent again counts
    /// again.
    VoteCountedAgain,
    /// A decision is written without a condition on `rev`.
    CloseUnconditional,
    /// The transaction that closes, sent again after its answer was lost, counts again.
    RetryCountedAgain,
    /// The counter is changed after the transaction that closes, not in it.
    CountedApart,
    /// Each delivery of an upload is counted.
    CountedOnDelivery,
    /// A record is put whether or not there is one.
    PutAlways,
    /// The opener opens whatever it finds.
    OpenUnconditional,
    /// The validator names only new images in its message.
    NewOnesNamedOnly,
    /// Messages are deleted when they are received.
    DeletedOnReceipt,
    /// The event is published, then the decision is written.
    PublishedFirst,
    /// The decision is written, then the event is published, without a stream.
    PublishedAfter,
    /// The task is completed without a condition on `rev`.
    CompleteUnconditional,
    /// The task is completed when everything that has arrived is decided, whatever the seal says.
    CompleteTooEarly,
    /// The counters are read as they were before their last change.
    CountsReadLate,
    /// Sealing does not look whether everything is decided.
    SealDoesNotLook,
    /// There is no sweep.
    NoSweep,
    /// A claim takes a lease for live whatever the clock says.
    LeaseForEver,
    /// The operator's record is stored without a condition on `rev`.
    DeskUnconditional,
    /// A claim does not look at the standing again.
    StandingReadOnce,
    /// A pause takes leases back first and writes the standing then.
    PauseFromBehind,
    /// A claim takes a lease that it reads on a record for its own, without a write that proves it: the service did
    /// so until this model was made.
    LeftoverTrusted,
    /// A pause that reads the operator's record again does not give back again what it has given back: the service
    /// did so until this model was made.
    GivenBackOnce,
    /// What is given back is taken off the operator's record even if another claim of theirs has leased it again
    /// and put it there since: the service did so until this model was made.
    TakenOffUnseen,
}

/// All of them.
pub const ALL: &[Bug] = &[
    Bug::LeaseUnconditional,
    Bug::IndexTrusted,
    Bug::VotedHandedOut,
    Bug::LeasesNotCounted,
    Bug::VoteCountedAgain,
    Bug::CloseUnconditional,
    Bug::RetryCountedAgain,
    Bug::CountedApart,
    Bug::CountedOnDelivery,
    Bug::PutAlways,
    Bug::OpenUnconditional,
    Bug::NewOnesNamedOnly,
    Bug::DeletedOnReceipt,
    Bug::PublishedFirst,
    Bug::PublishedAfter,
    Bug::CompleteUnconditional,
    Bug::CompleteTooEarly,
    Bug::CountsReadLate,
    Bug::SealDoesNotLook,
    Bug::NoSweep,
    Bug::LeaseForEver,
    Bug::DeskUnconditional,
    Bug::StandingReadOnce,
    Bug::PauseFromBehind,
    Bug::LeftoverTrusted,
    Bug::GivenBackOnce,
    Bug::TakenOffUnseen,
];
