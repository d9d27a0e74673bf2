//! What can go wrong.

use crate::{CommitId, StoreError, export::ExportError, store::ObjectKey};

/// Why a data set could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object that another names is not there.
    #[error("{0} is missing")]
    Missing(ObjectKey),
    /// An object is not what it should be.
    #[error("{key} is damaged: {problem}")]
    Damaged {
        /// The object.
        key: ObjectKey,
        /// What is wrong with it.
        problem: String,
    },
    /// An object of a version that this program does not know.
    #[error("{key} has the version {version}, which this program cannot read")]
    Newer {
        /// The object.
        key: ObjectKey,
        /// Its version.
        version: u32,
    },
    /// Rows must come in the order of their images, each image once.
    #[error("the row of {image} comes after that of {after}")]
    OutOfOrder {
        /// The image of the row.
        image: lambel_core::ImageId,
        /// The image of the row before it.
        after: lambel_core::ImageId,
    },
    /// A change that does not fit what is there.
    #[error("the image {image} cannot be {what}")]
    Unfit {
        /// The image.
        image: lambel_core::ImageId,
        /// What the change wanted to do.
        what: &'static str,
    },
    /// There is no such branch.
    #[error("there is no branch {0}")]
    NoBranch(crate::RefName),
    /// Somebody else has moved the branch.
    #[error("the branch {branch} has moved meanwhile")]
    Moved {
        /// The branch.
        branch: crate::RefName,
        /// Where it stands now.
        stands: Option<CommitId>,
    },
    /// A commit of another task.
    #[error("the commit {0} belongs to another task")]
    OtherTask(CommitId),
    /// The image is not in the commit.
    #[error("the image is not in this version of the data set")]
    NoImage,
    /// An export could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A value has no canonical form.
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The result of asking a data set.
pub type Result<T, E = Error> = std::result::Result<T, E>;
