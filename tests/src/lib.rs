//! What the tests of the whole system share: the running local cloud, accounts, and the everyday steps of
//! clients and operators.
//!
//! `cargo xtask test` starts the cloud and names the file that describes it in `LAMBEL_CLOUD`. Every test makes
//! its own accounts and tasks, so that they can run at the same time.

mod terminal;

use std::{env, fs, future::Future, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use aws_config::BehaviorVersion;
use futures::{StreamExt, TryStreamExt, stream};
use lambel_client::{Client, Machine, Session, SignIn, TokenSource, UploadGrant, sign_in};
use lambel_core::{
    ImageId, TaskId,
    api::{
        AnnounceFiles, Claim, ClaimAnswer, CreateTask, FileAnnouncement, FileGrant, ImageState, ImagesQuery, PageQuery,
        PolicyFields, ResultRow, SealTask, SubmitVotes, SubmittedVote, TaskView, VoteOutcome,
    },
};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

pub use terminal::Terminal;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The running local cloud.
#[derive(Clone, Debug, Deserialize)]
pub struct Cloud {
    /// Where programs find the interface.
    pub api_url: String,
    /// Where everything else of the cloud is.
    pub endpoint: String,
    /// The user pool.
    pub user_pool_id: String,
    /// The app client of people.
    pub user_pool_client_id: String,
    /// The machines that the gate knows.
    pub machines: Vec<TestMachine>,
    /// The queue that S3 tells of uploads.
    pub uploads_queue_url: String,
    /// The queue that the opener reads.
    pub new_subtasks_queue_url: String,
    /// The queue that hears of decisions.
    pub task_progress_queue_url: String,
    /// The function that measures operators.
    pub skill_estimator_name: String,
    /// The function that makes versions of data sets.
    pub dataset_committer_name: String,
    /// The topic of the moves of data sets' branches.
    pub dataset_moved_topic_arn: String,
    /// The function that clients' requests go to.
    pub task_api_name: String,
    /// The topic of decisions and refusals.
    pub subtask_completed_topic_arn: String,
    /// The topic of the ends of tasks.
    pub task_completed_topic_arn: String,
    /// The table of tasks.
    pub tasks_table_name: String,
    /// The table of subtasks.
    pub subtasks_table_name: String,
    /// The function that sweeps.
    pub sweeper_name: String,
    /// The process id of the cloud.
    pub pid: u32,
    /// Where uploads end that could not be validated.
    pub uploads_dead_letters_url: String,
    /// The queue that gets the news of tasks.
    pub task_news_queue_url: String,
    /// The bucket of uploads.
    pub uploads_bucket_name: String,
    /// The bucket of data sets and exports.
    pub dataset_bucket_name: String,
}

/// A machine of the local cloud.
#[derive(Clone, Debug, Deserialize)]
pub struct TestMachine {
    /// What it is called.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

/// Waits until something holds, and fails if it does not come to hold.
pub async fn wait_for<T, F: Future<Output = Result<Option<T>>>>(what: &str, mut look: impl FnMut() -> F) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain: {what}", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl Cloud {
    /// The cloud that `cargo xtask test` has started.
    pub fn running() -> Result<Self> {
        let path = env::var("LAMBEL_CLOUD")
            .context("LAMBEL_CLOUD is not set: `cargo xtask test` starts the local cloud that these tests need")?;
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        serde_json::from_str(&text).with_context(|| format!("failed to read {path}"))
    }

    async fn aws() -> aws_config::SdkConfig {
        aws_config::defaults(BehaviorVersion::v2026_01_12()).load().await
    }

    /// Calls a function as its schedule does, with its own rights, and gives its answer.
    pub async fn call(&self, function: &str) -> Result<serde_json::Value> {
        let aws = env::var("LAMBEL_AWS").context("LAMBEL_AWS is not set: `cargo xtask test` sets it")?;
        let answer = env::temp_dir().join(format!("lambel-call-{}.json", uuid::Uuid::now_v7()));
        let mut command = tokio::process::Command::new(aws);
        command.args(["lambda", "invoke", "--function-name", function, "--payload", "{}"]).arg(&answer);
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && !said.contains("FunctionError"), "{said}");
        let given = serde_json::from_slice(&fs::read(&answer)?)?;
        fs::remove_file(&answer)?;
        Ok(given)
    }

    /// The queues, for tests that meddle with them.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&Self::aws().await)
    }

    /// The buckets, for tests that look into them.
    pub async fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&Self::aws().await).force_path_style(true).build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// The topics, for tests that listen.
    pub async fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&Self::aws().await)
    }

    /// What the stack is called.
    pub fn stack(&self) -> Result<&str> {
        self.task_api_name.strip_suffix("-task-api").context("the stack has a name")
    }

    /// The user pool, for tests that meddle with accounts.
    pub async fn pool(&self) -> aws_sdk_cognitoidentityprovider::Client {
        aws_sdk_cognitoidentityprovider::Client::new(&Self::aws().await)
    }

    /// A machine by its name.
    pub fn machine(&self, name: &str) -> Result<&TestMachine> {
        self.machines.iter().find(|machine| machine.name == name).context("no such machine")
    }

    /// A machine, signed in. What clients and operators do, it does as far as it may.
    pub async fn machine_user(&self, name: &str) -> Result<User> {
        let TestMachine { client_id, client_secret, .. } = self.machine(name)?;
        let open = Client::new(&self.api_url, TokenSource::none())?;
        let machine = Machine::new(&open.config().await?, client_id, client_secret)?;
        let session = machine.sign_in().await?;
        Ok(User {
            name: name.to_owned(),
            password: client_secret.clone(),
            subject: session.subject().context("a token without a subject")?.to_string(),
            id_token: session.bearer().to_owned(),
            client: open.signed_in(TokenSource::session(machine, session.clone())),
            session,
        })
    }

    /// A new account in these groups, signed in.
    pub async fn account(&self, groups: &[&str]) -> Result<User> {
        let name = format!("test-{}", uuid::Uuid::now_v7());
        let password = "Test-password-1";
        let pool = self.pool().await;
        let create = pool.admin_create_user().user_pool_id(&self.user_pool_id).username(&name);
        create
            .message_action(aws_sdk_cognitoidentityprovider::types::MessageActionType::Suppress)
            .send()
            .await
            .context("failed to make an account")?;
        let set = pool.admin_set_user_password().user_pool_id(&self.user_pool_id).username(&name);
        set.password(password).permanent(true).send().await.context("failed to set a password")?;
        for group in groups {
            if group.starts_with("team:") {
                // Teams are made when somebody joins them; another test may have made this one.
                let _ = pool.create_group().user_pool_id(&self.user_pool_id).group_name(*group).send().await;
            }
            let add = pool.admin_add_user_to_group().user_pool_id(&self.user_pool_id).username(&name);
            add.group_name(*group).send().await.context("failed to add to a group")?;
        }
        let open = Client::new(&self.api_url, TokenSource::none())?;
        let config = open.config().await?;
        let session = sign_in(&config, &name, password).await?;
        let subject = session.subject().context("a token without a subject")?.to_string();
        let id_token = session.bearer().to_owned();
        let client = open.signed_in(TokenSource::session(SignIn::new(&config)?, session.clone()));
        Ok(User { name, password: password.to_owned(), subject, id_token, session, client })
    }

    /// A new client.
    pub async fn client(&self) -> Result<User> {
        self.account(&["clients"]).await
    }

    /// New operators.
    pub async fn operators(&self, count: usize) -> Result<Vec<User>> {
        let accounts = (0..count).map(|_| self.account(&["operators"]));
        stream::iter(accounts).buffered(4).try_collect().await
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct User {
    /// The name of the account.
    pub name: String,
    /// Its password.
    pub password: String,
    /// The `sub` of the token.
    pub subject: String,
    /// The token itself.
    pub id_token: String,
    /// The sign-in, as it was at first.
    pub session: Session,
    /// The interface, as this account sees it.
    pub client: Client,
}

/// A file to upload: name and bytes.
pub type File = (String, Vec<u8>);

/// Distinct small pictures. Another `seed` makes others.
pub fn pictures(count: u32, seed: u64) -> Vec<File> {
    lambel_samples::numbered(count, seed).collect()
}

/// What is announced of a file.
pub fn announcement(name: &str, bytes: &[u8]) -> FileAnnouncement {
    FileAnnouncement {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        media_type: "image/png".to_owned(),
        sha256: ImageId::of(bytes).to_string(),
    }
}

/// What clients do.
impl User {
    /// A task with the labels `cat` and `dog`.
    pub async fn task(&self, policy: PolicyFields) -> Result<TaskId> {
        let labels = vec!["cat".to_owned(), "dog".to_owned()];
        let request = CreateTask {
            name: "a test".to_owned(),
            labels,
            instructions: None,
            policy: Some(policy),
            audience: None,
            expected_images: Some(1_000),
        };
        Ok(self.client.create_task(&request).await?.task)
    }

    /// Announces files.
    pub async fn announce(&self, task: TaskId, files: &[File]) -> Result<Vec<FileGrant>> {
        let files = files.iter().map(|(name, bytes)| announcement(name, bytes)).collect();
        Ok(self.client.announce(task, &AnnounceFiles { files }).await?.files)
    }

    /// Announces files and uploads those that are wanted. Says how many those were.
    pub async fn upload(&self, task: TaskId, files: &[File]) -> Result<usize> {
        let grants = self.announce(task, files).await?;
        let wanted: Vec<_> = grants
            .into_iter()
            .zip(files)
            .filter_map(|(file, (_, bytes))| Some((UploadGrant::of(file.grant)?, bytes.clone())))
            .collect();
        let count = wanted.len();
        let puts: Vec<_> = wanted
            .into_iter()
            .map(|(grant, bytes)| async move { self.client.put_file(&grant, bytes.into()).await })
            .collect();
        stream::iter(puts).buffer_unordered(8).try_collect::<Vec<_>>().await?;
        Ok(count)
    }

    /// Uploads files and waits until all are validated and those that are good are open. Then seals the task.
    pub async fn fill(&self, task: TaskId, files: &[File]) -> Result<TaskView> {
        self.upload(task, files).await?;
        let mut images: Vec<_> = files.iter().map(|(_, bytes)| ImageId::of(bytes)).collect();
        images.sort_unstable();
        images.dedup();
        let images = images.len() as u64;
        wait_for("every upload is validated", || async move {
            let progress = self.client.task(task).await?.progress.context("a task without progress")?;
            Ok((progress.accepted + progress.rejected == images).then_some(()))
        })
        .await?;
        wait_for("every good picture is open", || async move {
            let query = ImagesQuery { state: Some(ImageState::Preparing), cursor: None, limit: Some(1_000) };
            Ok(self.client.images(task, &query).await?.images.is_empty().then_some(()))
        })
        .await?;
        Ok(self.client.seal_task(task, &SealTask { images }).await?)
    }

    /// Waits until the task is complete.
    pub async fn completed(&self, task: TaskId) -> Result<TaskView> {
        wait_for("the task is complete", || async move {
            let view = self.client.task(task).await?;
            Ok((view.state == lambel_core::TaskState::Complete).then_some(view))
        })
        .await
    }

    /// All results.
    pub async fn results(&self, task: TaskId) -> Result<Vec<ResultRow>> {
        let mut page = PageQuery { cursor: None, limit: Some(7) };
        let mut rows = Vec::new();
        loop {
            let answer = self.client.results(task, &page).await?;
            rows.extend(answer.rows);
            page.cursor = answer.next;
            if page.cursor.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// What operators do.
impl User {
    /// Claims.
    pub async fn claim(&self, task: TaskId, count: u32) -> Result<ClaimAnswer> {
        Ok(self.client.claim(&Claim { task: Some(task), count }).await?)
    }

    /// Claims until something is handed out.
    pub async fn claim_some(&self, task: TaskId, count: u32) -> Result<Vec<ImageId>> {
        wait_for("something is handed out", || async move {
            let images: Vec<_> = self.claim(task, count).await?.subtasks.into_iter().map(|s| s.image).collect();
            Ok((!images.is_empty()).then_some(images))
        })
        .await
    }

    /// Votes for one label on some images.
    pub async fn vote(&self, task: TaskId, images: &[ImageId], label: &str) -> Result<Vec<VoteOutcome>> {
        let vote = |image: &ImageId| SubmittedVote {
            task,
            image: *image,
            label: Some(label.to_owned()),
            abstain: None,
            elapsed_ms: Some(700),
        };
        let answer = self.client.vote(&SubmitVotes { votes: images.iter().map(vote).collect() }).await?;
        Ok(answer.votes.into_iter().map(|receipt| receipt.outcome).collect())
    }

    /// Labels until the task is over, `batch` images at a time, and says which images were handed out, in
    /// order. `label` says what to answer.
    pub async fn work(&self, task: TaskId, batch: u32, label: impl Fn(ImageId) -> String) -> Result<Vec<ImageId>> {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < deadline, "the task does not end");
            let answer = match self.claim(task, batch).await {
                Ok(answer) => answer,
                Err(error) if error.to_string().contains("complete") => return Ok(seen),
                Err(error) => return Err(error),
            };
            if answer.subtasks.is_empty() {
                sleep(Duration::from_millis(300)).await;
                continue;
            }
            let vote = |image: ImageId| SubmittedVote {
                task,
                image,
                label: Some(label(image)),
                abstain: None,
                elapsed_ms: Some(700),
            };
            let images: Vec<_> = answer.subtasks.iter().map(|subtask| subtask.image).collect();
            let votes = images.iter().map(|image| vote(*image)).collect();
            let receipts = self.client.vote(&SubmitVotes { votes }).await?.votes;
            ensure!(receipts.iter().all(|receipt| receipt.outcome == VoteOutcome::Counted), "{receipts:?}");
            seen.extend(images);
        }
    }
}
