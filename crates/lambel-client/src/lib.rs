//! A typed client of Lambel's HTTP interface: every route as a method, with the types of
//! [`lambel_core::api`].
//!
//! * [`Client`] knows the routes. What may be repeated is repeated, after a pause, when the service or the way
//!   to it has a hiccup.
//! * [`SignIn`] turns a user name and a password into a [`Session`], [`Machine`] a client id and a secret, and
//!   [`TokenSource`] keeps a session fresh.
//! * [`Client::put_file`] uploads what the service has granted.
//!
//! Tokens and presigned addresses are secrets: no error and no `Debug` output of this crate shows one.

mod client;
mod error;
mod exports;
mod machine;
mod notes;
mod retry;
mod reviews;
mod routes;
mod session;
mod sign_in;
mod upload;
mod versions;
mod webhooks;

pub use client::Client;
pub use error::{ClientError, Result};
pub use exports::{Download, DownloadError};
pub use machine::Machine;
pub use retry::Retries;
pub use session::{Renewal, Session, TokenSource};
pub use sign_in::{Asked, Question, SignIn, SignInError, SignInStep, sign_in};
pub use upload::{PutError, UploadGrant};
