//! The ids: who and what a record speaks of. Each can only hold a good value.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

/// A text that is not an id of the kind that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// Not a task id.
    #[error("a task id is a UUID in lower case with hyphens")]
    Task,
    /// Not an image id.
    #[error("an image id is the SHA-256 of the file, 64 lower-case hexadecimal digits")]
    Image,
    /// Not the id of a person or a model.
    #[error("a client or operator id has 1 to 128 characters out of A-Z a-z 0-9 . _ : @ -")]
    Party,
}

/// A task: a UUIDv7, so that ids sort by the time of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    example = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11")]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new id, made of the clock and of chance.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl FromStr for TaskId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::try_parse(text).map_err(|_| ParseIdError::Task)?;
        // One way to write an id: it is part of keys and paths.
        if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) != text {
            return Err(ParseIdError::Task);
        }
        Ok(Self(uuid))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// An image: the SHA-256 of its bytes. Being a uniform hash, it is also the image's place on the ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$",
    example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
pub struct ImageId([u8; 32]);

impl ImageId {
    /// The first place on the ring.
    pub const MIN: Self = Self([0; 32]);
    /// The last place on the ring.
    pub const MAX: Self = Self([0xff; 32]);

    /// The id of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From a SHA-256 that was computed elsewhere.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for ImageId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ParseIdError::Image);
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| ParseIdError::Image)?;
        Ok(Self(digest))
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

fn parse_party(text: &str) -> Result<String, ParseIdError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._:@-".contains(&b);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(good) {
        return Err(ParseIdError::Party);
    }
    Ok(text.to_owned())
}

macro_rules! party {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
        #[schema(value_type = String, pattern = "^[A-Za-z0-9._:@-]{1,128}$",
            example = "b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b4c5d")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_party(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

party! {
    /// A client: the `sub` of the token.
    ClientId
}
party! {
    /// An operator: the `sub` of a person's token, or `model:name@version`.
    OperatorId
}

/// `Debug`, `Serialize` and `Deserialize` of what is written as its text, and read by [`FromStr`].
macro_rules! text_serde {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub(crate) use text_serde;

text_serde!(TaskId, ImageId, ClientId, OperatorId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let task = TaskId::random();
        assert_eq!(task.to_string().parse::<TaskId>().unwrap(), task);
        assert!(task.to_string().to_uppercase().parse::<TaskId>().is_err());
        assert!(task.to_string().replace('-', "").parse::<TaskId>().is_err());

        let image = ImageId::of(b"");
        assert_eq!(image.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(image.to_string().parse::<ImageId>().unwrap(), image);
        assert!(image.to_string().to_uppercase().parse::<ImageId>().is_err());
        assert!("e3".parse::<ImageId>().is_err());
    }

    #[test]
    fn parties_are_harmless_text() {
        assert!("model:tiny@1.2".parse::<OperatorId>().is_ok());
        for bad in ["", "a b", "a/b", "a#b", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<OperatorId>().is_err(), "{bad}");
        }
    }
}
