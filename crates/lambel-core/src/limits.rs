//! Every limit of the service, in one place. The HTTP interface names them in its refusals and the
//! documentation lists them.

/// The name of a task, in characters.
pub const TASK_NAME_CHARS: usize = 200;
/// The instructions for operators, in characters.
pub const INSTRUCTIONS_CHARS: usize = 20_000;
/// The name of an account in an audience, in characters.
pub const ACCOUNT_NAME_CHARS: usize = 128;
/// The name of a team, in characters.
pub const TEAM_NAME_CHARS: usize = 40;
/// Operators that a task can be kept for by name. They live in the task's item.
pub const AUDIENCE_OPERATORS: usize = 200;
/// Teams that a task can be kept for.
pub const AUDIENCE_TEAMS: usize = 50;
/// Tasks of one client that are open or sealed at the same time.
pub const ACTIVE_TASKS_PER_CLIENT: u32 = 100;
/// Why an operator is paused, in characters.
pub const PAUSE_REASON_CHARS: usize = 500;
/// How long a request may take, in seconds: below the 29 of the functions that answer them. What was not done by
/// then is given up, and the caller is told to ask again.
pub const ANSWER_SECONDS: u64 = 25;
/// Requests of one caller within [`REQUEST_WINDOW_SECONDS`].
pub const REQUESTS_PER_WINDOW: u32 = 300;
/// How long requests are counted together, in seconds.
pub const REQUEST_WINDOW_SECONDS: u32 = 10;
/// Requests of one caller that each running copy of a function lets through uncounted within a window, so that
/// people at work cost no write for being counted.
pub const REQUESTS_UNCOUNTED: u32 = 30;
/// Labels of one task.
pub const LABELS_PER_TASK: usize = 1_000;
/// One label, in characters.
pub const LABEL_CHARS: usize = 256;
/// All labels of one task together, in bytes of UTF-8: they live in one DynamoDB item of 400 KB at most.
pub const LABEL_SET_BYTES: usize = 200_000;
/// The name of a file, in bytes of UTF-8. It is part of a DynamoDB sort key (1,024 bytes), after the image id.
pub const FILE_NAME_BYTES: usize = 900;
/// Files announced in one request.
pub const FILES_PER_REQUEST: usize = 1_000;
/// One image, in bytes.
pub const IMAGE_BYTES: u64 = 40_000_000;
/// Images that a task can be sealed with, or be expected to have.
pub const IMAGES_PER_TASK: u64 = 100_000_000;
/// Subtasks asked for in one claim.
pub const CLAIM_COUNT: u32 = 100;
/// Live leases that one operator holds in one task.
pub const LIVE_LEASES: usize = 100;
/// Votes in one request.
pub const VOTES_PER_REQUEST: usize = 100;
/// Votes from outside in one request.
pub const VOTES_BROUGHT_IN_PER_REQUEST: usize = 100;
/// Late votes on an image from which on no more are brought in from outside: those of a task's own operators are few,
/// those of a file may be many, and the item has 400 KB at most.
pub const LATE_VOTES_BROUGHT_IN: usize = 100;
/// Votes that an import is said to have.
pub const VOTES_PER_IMPORT: u64 = 1_000_000_000;
/// Imports that a task is told of. They live in the task's item.
pub const IMPORTS_PER_TASK: usize = 100;
/// The id of an import, or the name of what it comes from, in characters.
pub const IMPORT_NAME_CHARS: usize = 64;
/// Leases given back in one request.
pub const RETURNS_PER_REQUEST: usize = 100;
/// Votes with a label that a subtask can be asked to take. With leases and late votes the item stays far below
/// the 400 KB of DynamoDB.
pub const MAX_LABELS: u32 = 100;
/// Posteriors that `adaptive` can be asked to reach. Half is a guess between two; beyond the end no operator could
/// be sure enough, since nobody is taken to be always right.
pub const CONFIDENCES: std::ops::RangeInclusive<f64> = 0.5..=0.999;
/// Abstentions that a subtask can be asked to take.
pub const MAX_ABSTENTIONS: u32 = 100;
/// The shortest lease, in seconds.
pub const LEASE_SECONDS_MIN: u32 = 1;
/// The longest lease, in seconds: half a day.
pub const LEASE_SECONDS_MAX: u32 = 43_200;
/// Decisions after which a data set can be asked to get a version.
pub const COMMIT_EVERY_DECISIONS: u32 = 100_000_000;
/// The shortest time after which a data set can be asked to get a version, in minutes: it is looked at no more often.
pub const COMMIT_EVERY_MINUTES_MIN: u32 = 5;
/// The longest time after which a data set can be asked to get a version, in minutes: a month.
pub const COMMIT_EVERY_MINUTES_MAX: u32 = 44_640;
/// What is said about a version, in characters.
pub const COMMIT_MESSAGE_CHARS: usize = 1_000;
/// Versions on one page of a log, and differences on one page of a diff.
pub const VERSIONS_PER_PAGE: u32 = 100;
/// Moves of the branches of one data set among which a version is looked for.
pub const VERSIONS_KNOWN: usize = 20_000;
/// Notes of one version of a data set. All of them fit into one answer.
pub const NOTES_PER_VERSION: usize = 50;
/// A note of a version, in bytes of JSON.
pub const NOTE_BYTES: usize = 32_000;
/// The key of a note, in characters.
pub const NOTE_KEY_CHARS: usize = 64;
/// Images of a version that can be exported in the cloud. The last step reads a file as a whole to compute its SHA-256,
/// which takes minutes for so many.
pub const IMAGES_PER_EXPORT: u64 = 10_000_000;
/// Bytes of an exported file that is joined of pieces, for the same reason. Parquet is not joined.
pub const BYTES_PER_EXPORT: u64 = 20_000_000_000;
/// Exports of one task that are on their way at the same time.
pub const EXPORTS_AT_ONCE: usize = 10;
/// Exports of one task in all: of different versions, formats and options.
pub const EXPORTS_PER_TASK: u32 = 1_000;
/// Exports in a list: the latest.
pub const EXPORTS_LISTED: usize = 100;
/// The life of the address of an exported file, in seconds.
pub const EXPORT_URL_SECONDS: u32 = 900;
/// What comes before names to make addresses of them, in characters.
pub const ADDRESS_PREFIX_CHARS: usize = 1_000;
/// The life of a presigned upload, in seconds.
pub const UPLOAD_URL_SECONDS: u32 = 900;
/// The life of a presigned image address, beyond the end of the lease it belongs to, in seconds.
pub const IMAGE_URL_GRACE_SECONDS: u32 = 60;
/// Names of one image in a list of images. Results have a row for each name.
pub const NAMES_PER_IMAGE: usize = 100;
/// How often a batch opens a decided image again.
pub const REOPENINGS: u32 = 3;
/// Disputed images reviewed by one request.
pub const REVIEWS_PER_REQUEST: usize = 100;
/// Rows on one page of a list.
pub const PAGE_ROWS: u32 = 1_000;
/// A page of a list whose size is not said.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
/// A request body, in bytes.
pub const BODY_BYTES: usize = 1_000_000;
/// A page of rows, in bytes: where it would be longer it ends, and names the next page. A function can answer with
/// 6 MB at most; as JSON in JSON, or as base64, the same rows need a third more.
pub const RESPONSE_BYTES: usize = 4_000_000;
/// Webhooks of one client for all their tasks, and of one task.
pub const WEBHOOKS_PER_SCOPE: u32 = 10;
/// The URL of a webhook, in characters.
pub const WEBHOOK_URL_CHARS: usize = 2_048;
/// How long the secret before signs too when another was made, in seconds: a day.
pub const PREVIOUS_SECRET_SECONDS: u64 = 86_400;
/// How long a target has for its answer, in seconds.
pub const WEBHOOK_ANSWER_SECONDS: u64 = 10;
/// How much of a target's answer is read, in bytes.
pub const WEBHOOK_ANSWER_BYTES: usize = 1_024;
/// How much of it is kept in the log, in characters.
pub const WEBHOOK_ANSWER_CHARS: usize = 200;
/// How long an entry of a webhook's log is kept, in seconds: 30 days.
pub const WEBHOOK_LOG_SECONDS: u64 = 30 * 86_400;
/// Deliveries that one request sends again.
pub const REDELIVERIES_PER_REQUEST: usize = 100;
/// Shares of gold that a task can ask for among the images that are handed out. At a half, measuring takes as much work
/// as labelling.
pub const GOLD_RATES: std::ops::RangeInclusive<f64> = 0.0..=0.5;
/// Images of gold that an operator gets before any other, as far as there are so many.
pub const GOLD_FIRST: usize = 5;
/// Images of gold of one task. An operator's answers on all of them live in one DynamoDB item of 400 KB at most.
pub const GOLD_PER_TASK: usize = 1_000;
/// Images made gold by one request.
pub const GOLD_PER_REQUEST: usize = 100;
