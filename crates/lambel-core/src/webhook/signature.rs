//! Secrets and signatures, as Standard Webhooks 1.0 says: HMAC-SHA256 over `id.timestamp.body`, in base64.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How a secret begins.
const PREFIX: &str = "whsec_";
/// How long a key is, in bytes, by the standard.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key that sender and receiver share. It shows itself only when it is asked to.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A text that is no secret. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `whsec_` and 24 to 64 bytes in base64")]
pub struct NoSecret;

impl Secret {
    /// The secret with this key, which has to come from a good source of chance.
    pub fn of(key: [u8; 32]) -> Self {
        Self(key.to_vec())
    }

    /// The secret as the receiver needs it: `whsec_` and the key in base64.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// The signature of a body: `v1,` and the code in base64. `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        // A key of any length is one; the type cannot say so.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl FromStr for Secret {
    type Err = NoSecret;

    fn from_str(text: &str) -> Result<Self, NoSecret> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX).ok_or(NoSecret)?).map_err(|_| NoSecret)?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self(key)) } else { Err(NoSecret) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of Standard Webhooks are tested with.
    #[test]
    fn the_published_example_comes_out() {
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn whatever_is_changed_the_signature_changes() {
        let secret = Secret::of([7; 32]);
        let signed = secret.sign("a", 1, "{}");
        for other in [
            secret.sign("b", 1, "{}"),
            secret.sign("a", 2, "{}"),
            secret.sign("a", 1, "{ }"),
            Secret::of([8; 32]).sign("a", 1, "{}"),
        ] {
            assert_ne!(other, signed);
        }
    }

    #[test]
    fn a_secret_is_read_back_and_never_printed() {
        let secret = Secret::of([7; 32]);
        let text = secret.reveal();
        assert_eq!(text.parse(), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        for bad in ["", "whsec_", "whsec_AAAA", "whsec_%", text.trim_start_matches("whsec_")] {
            assert_eq!(bad.parse::<Secret>(), Err(NoSecret));
        }
        assert!(!NoSecret.to_string().contains("AAAA"));
    }
}
