//! The ports of Lambel on AWS. Only this crate knows the SDK, and what AWS's events look like.

mod datasets;
pub mod dead_letters;
pub mod deadline;
pub mod dynamo;
mod errors;
pub mod events;
mod export_files;
mod export_queue;
pub mod gateway;
pub mod inbox;
mod logging;
mod messages;
mod objects;
mod settings;
mod webhook_queue;

pub use datasets::AwsDatasets;
pub use dynamo::{DynamoStore, DynamoWebhooks, Meter, Usage};
pub use export_files::S3ExportFiles;
pub use export_queue::SqsExportQueue;
pub use logging::start_logging;
pub use messages::{Addresses, AwsMessages};
pub use objects::S3Objects;
pub use settings::{Aws, MissingSetting, setting, target_rules};
pub use webhook_queue::SqsWebhookQueue;
