//! The ids of what is stored: SHA-256 over canonical bytes, before compression.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a commit, a tree or a chunk has 64 lower-case hexadecimal digits")]
pub struct NotAnId;

macro_rules! content_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id of these bytes.
            pub fn of(bytes: &[u8]) -> Self {
                Self(Sha256::digest(bytes).into())
            }

            /// The digest.
            pub fn digest(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if text.len() != 64 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(NotAnId);
                }
                let mut digest = [0; 32];
                hex::decode_to_slice(text, &mut digest).map_err(|_| NotAnId)?;
                Ok(Self(digest))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

content_id! {
    /// Any stored object: the SHA-256 of its canonical bytes.
    ContentId
}
content_id! {
    /// A tree: all rows of one version.
    TreeId
}
content_id! {
    /// A commit: a tree, and how it came to be.
    CommitId
}

impl From<TreeId> for ContentId {
    fn from(id: TreeId) -> Self {
        Self(id.0)
    }
}

impl From<CommitId> for ContentId {
    fn from(id: CommitId) -> Self {
        Self(id.0)
    }
}

impl From<ContentId> for TreeId {
    fn from(id: ContentId) -> Self {
        Self(id.0)
    }
}

impl From<ContentId> for CommitId {
    fn from(id: ContentId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = CommitId::of(b"");
        assert_eq!(id.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<CommitId>(), Err(NotAnId));
        assert_eq!("e3b0".parse::<TreeId>(), Err(NotAnId));
    }
}
