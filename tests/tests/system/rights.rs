//! What each function can do, and what it cannot, tried with the credentials of its role.
//!
//! The tables of `docs/rights.md` say what must work. Whatever else can be tried on the resources of the stack must
//! be refused: a right that is added to the table is tried with everything else. Every attempt would change nothing
//! if it were let through, since it names what is not there, or asks for something impossible.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
};

use anyhow::{Context, Result, bail};
use aws_config::{BehaviorVersion, SdkConfig, sts::AssumeRoleProvider};
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, DeleteRequest, KeysAndAttributes, Put, TransactWriteItem, Update,
    WriteRequest,
};
use aws_sdk_sqs::{
    config::{ProvideCredentials, SharedCredentialsProvider},
    error::{ProvideErrorMetadata, SdkError},
};
use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{ImageId, api::PolicyFields};
use lambel_system_tests::{Cloud, User, pictures};
use serde::Deserialize;
use tokio::{process::Command, sync::OnceCell};

/// Attempts under way at the same time.
const AT_ONCE: usize = 8;
/// What everything is called that an attempt names and that is not there.
const NOWHERE: &str = "rights-test";

const ON_TABLES: [&str; 9] = [
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:BatchWriteItem",
];
const ON_OBJECTS: [&str; 4] = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"];
const ON_BUCKETS: [&str; 2] = ["s3:ListBucket", "s3:ListBucketVersions"];
const ON_QUEUES: [&str; 5] = [
    "sqs:SendMessage",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ChangeMessageVisibility",
];
const ON_TOPICS: [&str; 2] = ["sns:Publish", "sns:Subscribe"];
/// Calls that Lambda makes with a function's rights, and functions never. The emulator makes them without asking
/// anybody, and does not see in a request which stream it is about.
const OF_LAMBDA: [&str; 6] = [
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListStreams",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
];

/// One thing to try.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attempt {
    action: String,
    resource: String,
    /// The partition of the item.
    partition: String,
    /// The attributes that are written, but for the key.
    attributes: Vec<String>,
    /// As a part of a transaction.
    in_transaction: bool,
}

impl Attempt {
    fn new(action: &str, resource: &str) -> Self {
        Self {
            action: action.to_owned(),
            resource: resource.to_owned(),
            partition: NOWHERE.to_owned(),
            attributes: vec![NOWHERE.to_owned()],
            in_transaction: false,
        }
    }

    fn on(mut self, partition: &str, attributes: &[&str]) -> Self {
        self.partition = partition.to_owned();
        self.attributes = attributes.iter().map(|attribute| (*attribute).to_owned()).collect();
        self
    }

    /// This, and where there is such a thing, the same as a part of a transaction.
    fn both_ways(self) -> Vec<Self> {
        let alone = !matches!(self.action.as_str(), "dynamodb:ConditionCheckItem");
        let together = matches!(
            self.action.as_str(),
            "dynamodb:PutItem" | "dynamodb:UpdateItem" | "dynamodb:DeleteItem" | "dynamodb:ConditionCheckItem"
        );
        let ways = [alone.then_some(false), together.then_some(true)].into_iter().flatten();
        ways.map(|in_transaction| Self { in_transaction, ..self.clone() }).collect()
    }
}

// ---- The table ----------------------------------------------------------------------------------

/// What the table says of a right.
#[derive(Clone, Debug, Default)]
struct Condition {
    /// The only partition, or how it begins.
    partition: Option<String>,
    /// The only attributes.
    attributes: Option<Vec<String>>,
}

impl Condition {
    fn read(cell: &str) -> Result<Self> {
        let mut condition = Self::default();
        for test in cell.split(';') {
            match &words(test)[..] {
                [_, "dynamodb:LeadingKeys", partition] => condition.partition = Some((*partition).to_owned()),
                [_, "dynamodb:Attributes", attributes @ ..] => {
                    let written = attributes.iter().filter(|name| !["pk", "sk"].contains(name));
                    condition.attributes = Some(written.map(|name| (*name).to_owned()).collect());
                }
                _ => bail!("no attempt is made for this condition: {test}"),
            }
        }
        Ok(condition)
    }

    fn kept(&self, attempt: Attempt) -> Attempt {
        let partition = self.partition.as_ref().map(|pattern| pattern.replace('*', NOWHERE));
        Attempt {
            partition: partition.unwrap_or_else(|| attempt.partition.clone()),
            attributes: self.attributes.clone().unwrap_or_else(|| attempt.attributes.clone()),
            ..attempt
        }
    }

    /// The condition broken in one way, and in the other.
    fn broken(&self, attempt: &Attempt) -> Vec<Attempt> {
        let kept = self.kept(attempt.clone());
        let elsewhere = self.partition.as_ref().map(|_| Attempt { partition: NOWHERE.to_owned(), ..kept.clone() });
        let more = self.attributes.as_ref().map(|attributes| {
            let attributes = attributes.iter().cloned().chain([NOWHERE.to_owned()]).collect();
            Attempt { attributes, ..kept.clone() }
        });
        elsewhere.into_iter().chain(more).collect()
    }
}

/// The rights of one function: action and resource, and on what conditions.
type Rights = BTreeMap<(String, String), Vec<Condition>>;

/// The rights of each function.
fn table() -> Result<BTreeMap<String, Rights>> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rights.md"))?;
    let rows = |heading: &str| -> Vec<Vec<String>> {
        let section = text.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
        rows.map(|row| row.split('|').skip(1).map(|cell| cell.trim().to_owned()).collect()).collect()
    };
    let mut conditions = BTreeMap::new();
    for row in rows("Conditions") {
        conditions.insert(words(&row[0])[0].to_owned(), Condition::read(&row[1])?);
    }
    let mut table: BTreeMap<String, Rights> = BTreeMap::new();
    for row in rows("Functions") {
        let rights = table.entry(words(&row[0])[0].to_owned()).or_default();
        let condition = match words(&row[3])[..] {
            [name] => conditions.get(name).cloned().with_context(|| name.to_owned())?,
            _ => Condition::default(),
        };
        for action in words(&row[2]) {
            let right = (action.to_owned(), words(&row[1])[0].to_owned());
            rights.entry(right).or_default().push(condition.clone());
        }
    }
    Ok(table)
}

/// What stands in backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

// ---- The stack ----------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StackResource {
    logical_resource_id: String,
    physical_resource_id: String,
    resource_type: String,
}

/// The resources of the stack, and one image that is there to be read.
struct Stack {
    /// The type of each resource and what it is really called, by its name in the template.
    resources: BTreeMap<String, (String, String)>,
    pool: String,
    account: String,
    /// The key of an object in every bucket.
    object: String,
}

impl Stack {
    /// The stack that the tests run on.
    async fn running() -> Result<&'static Self> {
        static STACK: OnceCell<Stack> = OnceCell::const_new();
        STACK.get_or_try_init(Self::look).await
    }

    async fn look() -> Result<Self> {
        let cloud = Cloud::running()?;
        let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(env::var("LAMBEL_CLOUD")?)?)?;
        let name = file["task_api_name"].as_str().and_then(|name| name.strip_suffix("-task-api"));
        let mut command = command_line()?;
        command.args(["cloudformation", "describe-stack-resources", "--query", "StackResources", "--stack-name"]);
        let output = command.arg(name.context("the stack has a name")?).output().await?;
        let list: Vec<StackResource> = serde_json::from_slice(&output.stdout).context("the stack's resources")?;
        let resources: BTreeMap<_, _> = list
            .into_iter()
            .map(|one| (one.logical_resource_id, (one.resource_type, one.physical_resource_id)))
            .collect();
        let real = |name: &str| resources.get(name).map(|(_, id)| id.clone()).with_context(|| name.to_owned());
        let account = real("SubtaskCompletedTopic")?.split(':').nth(4).unwrap_or_default().to_owned();
        let aws = config().await;
        let object = one_image(&cloud.client().await?).await?;
        for bucket in ["PreviewsBucket", "DatasetBucket"] {
            let put = buckets(&aws).put_object().bucket(real(bucket)?).key(&object);
            put.send().await.with_context(|| format!("failed to put an object into {bucket}"))?;
        }
        Ok(Self { pool: cloud.user_pool_id, resources, account, object })
    }

    fn real(&self, name: &str) -> Result<&str> {
        let name = name.split('/').next().unwrap_or(name);
        self.resources.get(name).map(|(_, id)| id.as_str()).with_context(|| format!("the stack has no {name}"))
    }

    fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.resources.iter().filter(move |(_, (its, _))| its == kind).map(|(name, _)| name.as_str())
    }

    /// All that can be tried as a function.
    fn universe(&self, function: &str) -> BTreeSet<(String, String)> {
        let pairs = |actions: &[&str], resource: &str| -> Vec<(String, String)> {
            actions.iter().map(|action| ((*action).to_owned(), resource.to_owned())).collect()
        };
        let mut universe = BTreeSet::new();
        for table in self.all("AWS::DynamoDB::Table") {
            universe.extend(pairs(&ON_TABLES, table));
        }
        universe.extend(pairs(&["dynamodb:Query", "dynamodb:Scan"], "SubtasksTable/index/open"));
        for bucket in self.all("AWS::S3::Bucket") {
            universe.extend(pairs(&ON_OBJECTS, &format!("{bucket}/*")));
            universe.extend(pairs(&ON_BUCKETS, bucket));
        }
        for queue in self.all("AWS::SQS::Queue") {
            universe.extend(pairs(&ON_QUEUES, queue));
        }
        for topic in self.all("AWS::SNS::Topic") {
            universe.extend(pairs(&ON_TOPICS, topic));
        }
        universe.extend(pairs(&["cognito-idp:AdminCreateUser"], "UserPool"));
        universe.extend(pairs(&["lambda:InvokeFunction"], "SkillEstimator"));
        universe.extend(pairs(&["lambda:InvokeFunction"], "Sweeper"));
        // Who makes versions may write to the whole bucket, these parts of it among them.
        if function != "DatasetCommitter" {
            universe.extend(pairs(&["s3:PutObject"], "DatasetBucket/*/commits/*"));
            universe.extend(pairs(&["s3:PutObject"], "DatasetBucket/exports/*"));
        }
        universe.extend(pairs(&["iam:PutRolePolicy"], &format!("{function}Role")));
        universe
    }
}

/// An image that was uploaded, by the key of its object.
async fn one_image(client: &User) -> Result<String> {
    let task = client.task(PolicyFields::default()).await?;
    let files = pictures(1, 31);
    client.upload(task, &files).await?;
    Ok(format!("{task}/{}", ImageId::of(&files[0].1)))
}

async fn config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12()).load().await
}

fn buckets(config: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(config)
}

fn command_line() -> Result<Command> {
    let program = env::var("LAMBEL_AWS").context("LAMBEL_AWS is not set: `cargo xtask test` sets it")?;
    Ok(Command::new(program))
}

// ---- Attempts -----------------------------------------------------------------------------------

/// A function's role, and clients that have its credentials.
struct Role {
    stack: &'static Stack,
    name: String,
    config: SdkConfig,
}

impl Role {
    /// On AWS nobody but Lambda can assume such a role. On the local cloud its root can, who may do anything.
    async fn of(stack: &'static Stack, function: &str) -> Result<Self> {
        let name = stack.real(&format!("{function}Role"))?.to_owned();
        let root = config().await;
        let arn = format!("arn:aws:iam::{}:role/{name}", stack.account);
        let provider = AssumeRoleProvider::builder(arn).session_name(function).configure(&root).build().await;
        // Once, and not for every client anew.
        let credentials =
            provider.provide_credentials().await.with_context(|| format!("{function}: no credentials"))?;
        let config = root.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        Ok(Self { stack, name, config })
    }

    /// Whether the attempt is let through, whatever comes of it then.
    async fn may(&self, attempt: &Attempt) -> Result<bool> {
        let (service, _) = attempt.action.split_once(':').context("an action has a service")?;
        let outcome = match service {
            "dynamodb" if attempt.in_transaction => self.in_transaction(attempt).await,
            "dynamodb" => self.on_table(attempt).await,
            "s3" => self.on_bucket(attempt).await,
            "sqs" => self.on_queue(attempt).await,
            "sns" => self.on_topic(attempt).await,
            "cognito-idp" => self.on_accounts().await,
            "iam" | "lambda" => self.by_command_line(attempt).await,
            _ => bail!("nobody has written how to try it"),
        };
        outcome.with_context(|| format!("{}: {attempt:?}", self.name))
    }

    async fn on_table(&self, attempt: &Attempt) -> Result<bool> {
        let tables = aws_sdk_dynamodb::Client::new(&self.config);
        let table = self.stack.real(&attempt.resource)?;
        let index = attempt.resource.split_once("/index/").map(|(_, index)| index.to_owned());
        let key = item(attempt, false);
        let never = "attribute_exists(pk)";
        match attempt.action.as_str() {
            "dynamodb:GetItem" => outcome(tables.get_item().table_name(table).set_key(Some(key)).send().await),
            "dynamodb:BatchGetItem" => {
                let keys = KeysAndAttributes::builder().keys(key).build()?;
                outcome(tables.batch_get_item().request_items(table, keys).send().await)
            }
            "dynamodb:Query" => {
                let partition = if index.is_some() { "open_shard" } else { "pk" };
                let query = tables.query().table_name(table).set_index_name(index);
                let query = query.key_condition_expression(format!("{partition} = :pk"));
                let query = query.expression_attribute_values(":pk", AttributeValue::S(attempt.partition.clone()));
                outcome(query.send().await)
            }
            "dynamodb:Scan" => outcome(tables.scan().table_name(table).set_index_name(index).limit(1).send().await),
            "dynamodb:PutItem" => {
                let put = tables.put_item().table_name(table).set_item(Some(item(attempt, true)));
                outcome(put.condition_expression(never).send().await)
            }
            "dynamodb:UpdateItem" => {
                let (expression, names) = setting(attempt);
                let update = tables.update_item().table_name(table).set_key(Some(key)).condition_expression(never);
                let update = update.update_expression(expression).set_expression_attribute_names(Some(names));
                let update = update.expression_attribute_values(":x", AttributeValue::N("1".to_owned()));
                outcome(update.send().await)
            }
            "dynamodb:DeleteItem" => {
                let delete = tables.delete_item().table_name(table).set_key(Some(key));
                outcome(delete.condition_expression(never).send().await)
            }
            "dynamodb:BatchWriteItem" => {
                let delete = DeleteRequest::builder().set_key(Some(key)).build()?;
                let write = WriteRequest::builder().delete_request(delete).build();
                outcome(tables.batch_write_item().request_items(table, vec![write]).send().await)
            }
            _ => bail!("nobody has written how to try it"),
        }
    }

    async fn in_transaction(&self, attempt: &Attempt) -> Result<bool> {
        let table = self.stack.real(&attempt.resource)?;
        let key = Some(item(attempt, false));
        let never = "attribute_exists(pk)";
        let part = TransactWriteItem::builder();
        let part = match attempt.action.as_str() {
            "dynamodb:PutItem" => {
                let put = Put::builder().table_name(table).set_item(Some(item(attempt, true)));
                part.put(put.condition_expression(never).build()?)
            }
            "dynamodb:UpdateItem" => {
                let (expression, names) = setting(attempt);
                let update = Update::builder().table_name(table).set_key(key).condition_expression(never);
                let update = update.update_expression(expression).set_expression_attribute_names(Some(names));
                let update = update.expression_attribute_values(":x", AttributeValue::N("1".to_owned()));
                part.update(update.build()?)
            }
            "dynamodb:DeleteItem" => {
                let delete = Delete::builder().table_name(table).set_key(key).condition_expression(never);
                part.delete(delete.build()?)
            }
            _ => {
                let check = ConditionCheck::builder().table_name(table).set_key(key).condition_expression(never);
                part.condition_check(check.build()?)
            }
        };
        let tables = aws_sdk_dynamodb::Client::new(&self.config);
        outcome(tables.transact_write_items().transact_items(part.build()).send().await)
    }

    async fn on_bucket(&self, attempt: &Attempt) -> Result<bool> {
        let s3 = buckets(&self.config);
        let bucket = self.stack.real(&attempt.resource)?;
        let nowhere = attempt.resource.split_once('/').map_or(NOWHERE.to_owned(), |(_, key)| key.replace('*', NOWHERE));
        match attempt.action.as_str() {
            // Where there is nothing S3 says "access denied" too, to those who may not list the bucket.
            "s3:GetObject" => outcome(s3.get_object().bucket(bucket).key(&self.stack.object).send().await),
            "s3:PutObject" => outcome(s3.put_object().bucket(bucket).key(nowhere).if_match("\"0\"").send().await),
            "s3:DeleteObject" => outcome(s3.delete_object().bucket(bucket).key(NOWHERE).send().await),
            "s3:DeleteObjectVersion" => {
                outcome(s3.delete_object().bucket(bucket).key(NOWHERE).version_id(NOWHERE).send().await)
            }
            "s3:ListBucket" => outcome(s3.list_objects_v2().bucket(bucket).max_keys(1).send().await),
            "s3:ListBucketVersions" => outcome(s3.list_object_versions().bucket(bucket).max_keys(1).send().await),
            _ => bail!("nobody has written how to try it"),
        }
    }

    async fn on_queue(&self, attempt: &Attempt) -> Result<bool> {
        let sqs = aws_sdk_sqs::Client::new(&self.config);
        let queue = self.stack.real(&attempt.resource)?;
        match attempt.action.as_str() {
            // A message without content is none, and nobody can take eleven.
            "sqs:SendMessage" => outcome(sqs.send_message().queue_url(queue).message_body("").send().await),
            "sqs:ReceiveMessage" => {
                let receive = sqs.receive_message().queue_url(queue).max_number_of_messages(11);
                outcome(receive.visibility_timeout(0).send().await)
            }
            "sqs:DeleteMessage" => outcome(sqs.delete_message().queue_url(queue).receipt_handle(NOWHERE).send().await),
            "sqs:GetQueueAttributes" => outcome(sqs.get_queue_attributes().queue_url(queue).send().await),
            "sqs:ChangeMessageVisibility" => {
                let change = sqs.change_message_visibility().queue_url(queue).receipt_handle(NOWHERE);
                outcome(change.visibility_timeout(0).send().await)
            }
            _ => bail!("nobody has written how to try it"),
        }
    }

    async fn on_topic(&self, attempt: &Attempt) -> Result<bool> {
        let sns = aws_sdk_sns::Client::new(&self.config);
        let topic = self.stack.real(&attempt.resource)?;
        match attempt.action.as_str() {
            "sns:Publish" => outcome(sns.publish().topic_arn(topic).message("").send().await),
            "sns:Subscribe" => outcome(sns.subscribe().topic_arn(topic).protocol(NOWHERE).send().await),
            _ => bail!("nobody has written how to try it"),
        }
    }

    async fn on_accounts(&self) -> Result<bool> {
        let pool = aws_sdk_cognitoidentityprovider::Client::new(&self.config);
        outcome(pool.admin_create_user().user_pool_id(&self.stack.pool).username(NOWHERE).send().await)
    }

    /// Takes half a second: these tests are built without the clients of services that functions have no use for.
    async fn by_command_line(&self, attempt: &Attempt) -> Result<bool> {
        let words: Vec<&str> = match attempt.action.as_str() {
            "iam:PutRolePolicy" => {
                let policy = ["--policy-name", NOWHERE, "--policy-document", "{}"];
                [&["iam", "put-role-policy", "--role-name", &self.name], &policy[..]].concat()
            }
            "lambda:InvokeFunction" => {
                let function = self.stack.real(&attempt.resource)?;
                vec!["lambda", "invoke", "--invocation-type", "DryRun", "--function-name", function, "/dev/null"]
            }
            _ => bail!("nobody has written how to try it"),
        };
        let provider = self.config.credentials_provider().context("a role has credentials")?;
        let credentials = provider.provide_credentials().await?;
        let mut command = command_line()?;
        command
            .env("AWS_ACCESS_KEY_ID", credentials.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key())
            .env("AWS_SESSION_TOKEN", credentials.session_token().unwrap_or_default());
        let output = command.args(words).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.success() || said.contains("An error occurred (") {
            true => Ok(!said.contains("(AccessDenied")),
            false => bail!("the command line failed: {said}"),
        }
    }
}

/// The item that an attempt names: its key, or all of it.
fn item(attempt: &Attempt, whole: bool) -> HashMap<String, AttributeValue> {
    let key = [("pk", attempt.partition.as_str()), ("sk", NOWHERE)];
    let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
    let rest = attempt.attributes.iter().filter(|_| whole);
    key.into_iter().chain(rest.map(|name| (name.clone(), AttributeValue::N("1".to_owned())))).collect()
}

/// The expression that sets an attempt's attributes, and what their placeholders stand for.
fn setting(attempt: &Attempt) -> (String, HashMap<String, String>) {
    let places = attempt.attributes.iter().enumerate();
    let names: Vec<_> = places.map(|(place, name)| (format!("#n{place}"), name.clone())).collect();
    let terms: Vec<_> = names.iter().map(|(place, _)| format!("{place} = :x")).collect();
    (format!("SET {}", terms.join(", ")), names.into_iter().collect())
}

/// Whether a call was let through: it worked, or it failed for another reason than that it may not be made.
fn outcome<T, E>(result: Result<T, SdkError<E>>) -> Result<bool>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let error = match result {
        Ok(_) => return Ok(true),
        Err(error) => error,
    };
    match error.as_service_error() {
        Some(service) => {
            let refusals = ["AccessDenied", "AccessDeniedException", "AuthorizationError"];
            Ok(!service.code().is_some_and(|code| refusals.contains(&code)))
        }
        None => Err(error.into()),
    }
}

// ---- Tests --------------------------------------------------------------------------------------

/// Tries all of these and says which were not let through, or were though they should not be.
async fn wrong(role: &Role, attempts: Vec<(Attempt, bool)>) -> Result<Vec<String>> {
    let tried = attempts.into_iter().map(|(attempt, wanted)| async move {
        let may = role.may(&attempt).await?;
        let what = if may { "is let through" } else { "is refused" };
        Ok::<_, anyhow::Error>((may != wanted).then(|| format!("{}: {attempt:?} {what}", role.name)))
    });
    let wrong: Vec<_> = stream::iter(tried).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(wrong.into_iter().flatten().collect())
}

/// All attempts for a function, each with whether it must be let through.
fn attempts(stack: &Stack, function: &str, rights: &Rights) -> Vec<(Attempt, bool)> {
    let mut universe = stack.universe(function);
    let by_function = |(action, _): &&(String, String)| !OF_LAMBDA.contains(&action.as_str());
    universe.extend(rights.keys().filter(by_function).cloned());
    let mut attempts = Vec::new();
    for (action, resource) in universe {
        let plain = Attempt::new(&action, &resource);
        let Some(conditions) = rights.get(&(action, resource)) else {
            attempts.extend(plain.both_ways().into_iter().map(|attempt| (attempt, false)));
            continue;
        };
        for condition in conditions {
            let kept = condition.kept(plain.clone());
            attempts.extend(kept.both_ways().into_iter().map(|attempt| (attempt, true)));
            let broken = condition.broken(&plain).into_iter().flat_map(Attempt::both_ways);
            attempts.extend(broken.map(|attempt| (attempt, false)));
        }
    }
    attempts
}

#[tokio::test]
async fn every_function_can_do_what_the_table_says_and_nothing_else() -> Result<()> {
    let stack = Stack::running().await?;
    let table = table()?;
    let functions: Vec<&str> = stack.all("AWS::Lambda::Function").collect();
    assert_eq!(table.keys().collect::<Vec<_>>(), functions);
    let mut all = Vec::new();
    let mut tried = 0;
    for (function, rights) in &table {
        let attempts = attempts(stack, function, rights);
        tried += attempts.len();
        all.extend(wrong(&Role::of(stack, function).await?, attempts).await?);
    }
    assert!(all.is_empty(), "{} of {tried} attempts: {all:#?}", all.len());
    Ok(())
}

/// What must never be, whatever the table says.
#[tokio::test]
async fn what_we_promise_holds() -> Result<()> {
    let stack = Stack::running().await?;
    let on_task = |action: &str, attributes: &[&str]| Attempt::new(action, "TasksTable").on("TASK#1", attributes);
    let to_subtask = |action: &str, attributes: &[&str]| Attempt::new(action, "SubtasksTable").on("1#0", attributes);
    let of = |function: &'static str, attempts: Vec<Attempt>| (function, attempts);
    let mut never = vec![
        // Operators' requests cannot change a task.
        of(
            "OperatorApi",
            vec![
                on_task("dynamodb:PutItem", &["state", "rev"]),
                on_task("dynamodb:UpdateItem", &["state", "rev"]),
                on_task("dynamodb:UpdateItem", &["labels"]),
                on_task("dynamodb:DeleteItem", &[]),
                Attempt::new("dynamodb:UpdateItem", "TasksTable").on("ACTIVE", &["votes"]),
                to_subtask("dynamodb:PutItem", &["votes"]),
            ],
        ),
        // The validator reads uploads and neither results nor what others make of them.
        of(
            "ImageValidator",
            vec![
                to_subtask("dynamodb:GetItem", &[]),
                to_subtask("dynamodb:Query", &[]),
                to_subtask("dynamodb:BatchGetItem", &[]),
                to_subtask("dynamodb:UpdateItem", &["votes"]),
                on_task("dynamodb:UpdateItem", &["complete"]),
                Attempt::new("s3:GetObject", "PreviewsBucket/*"),
                Attempt::new("s3:PutObject", "UploadsBucket/*"),
            ],
        ),
        // The opener opens, and sends nothing on.
        of(
            "SubtaskOpener",
            vec![
                Attempt::new("sqs:SendMessage", "NewSubtasksQueue"),
                Attempt::new("sqs:SendMessage", "TaskProgressQueue"),
                Attempt::new("sqs:SendMessage", "UploadsQueue"),
                to_subtask("dynamodb:UpdateItem", &["votes"]),
                to_subtask("dynamodb:UpdateItem", &["state", "label"]),
                Attempt::new("s3:PutObject", "UploadsBucket/*"),
            ],
        ),
        // The publisher writes to no table.
        of(
            "EventPublisher",
            vec![
                on_task("dynamodb:PutItem", &[]),
                on_task("dynamodb:UpdateItem", &["votes"]),
                to_subtask("dynamodb:PutItem", &[]),
                to_subtask("dynamodb:UpdateItem", &["votes"]),
            ],
        ),
        // The sweep closes, and cannot make up votes.
        of(
            "Sweeper",
            vec![
                to_subtask("dynamodb:UpdateItem", &["state", "votes"]),
                to_subtask("dynamodb:PutItem", &["votes"]),
                Attempt::new("dynamodb:PutItem", "TasksTable").on("FILE#1#0", &[]),
                Attempt::new("s3:GetObject", "UploadsBucket/*"),
                Attempt::new("sqs:SendMessage", "TaskProgressQueue"),
            ],
        ),
        // Who looks at all votes together cannot make up images, nor change who is an operator.
        of(
            "SkillEstimator",
            vec![
                to_subtask("dynamodb:UpdateItem", &["measured"]),
                to_subtask("dynamodb:UpdateItem", &["state", "bytes"]),
                to_subtask("dynamodb:PutItem", &["votes"]),
                Attempt::new("dynamodb:UpdateItem", "SubtasksTable").on("1#operators", &["measured", "leases"]),
                Attempt::new("dynamodb:UpdateItem", "SubtasksTable").on("OPERATOR#1", &["paused"]),
                Attempt::new("dynamodb:UpdateItem", "TasksTable").on("SWEEP#1", &["rev"]),
                Attempt::new("dynamodb:UpdateItem", "TasksTable").on("COUNT#1", &["accepted"]),
                on_task("dynamodb:UpdateItem", &["state", "rev"]),
                Attempt::new("dynamodb:PutItem", "TasksTable").on("FILE#1#0", &[]),
                Attempt::new("sqs:SendMessage", "EstimatesQueue"),
            ],
        ),
        // Who completes tasks has nothing to do with votes at all.
        of(
            "TaskProgress",
            vec![
                to_subtask("dynamodb:UpdateItem", &["state"]),
                to_subtask("dynamodb:Query", &[]),
                Attempt::new("dynamodb:UpdateItem", "TasksTable").on("COUNT#1", &["votes"]),
            ],
        ),
        // Who calls targets can change neither webhooks nor anything else, and reads no tasks.
        of(
            "WebhookSender",
            vec![
                Attempt::new("dynamodb:UpdateItem", "WebhooksTable").on("SCOPE#TASK#1", &["url"]),
                Attempt::new("dynamodb:UpdateItem", "WebhooksTable").on("SCOPE#TASK#1", &["rev", "secret"]),
                Attempt::new("dynamodb:PutItem", "WebhooksTable").on("SCOPE#TASK#1", &["url"]),
                Attempt::new("dynamodb:DeleteItem", "WebhooksTable").on("SCOPE#TASK#1", &[]),
                Attempt::new("dynamodb:Query", "WebhooksTable").on("LOG#1", &[]),
                on_task("dynamodb:GetItem", &[]),
                to_subtask("dynamodb:GetItem", &[]),
                Attempt::new("sqs:SendMessage", "WebhooksQueue"),
            ],
        ),
        // Who makes versions can change nothing of what they are made of, and delete none.
        of(
            "DatasetCommitter",
            vec![
                to_subtask("dynamodb:UpdateItem", &["votes"]),
                to_subtask("dynamodb:PutItem", &["votes"]),
                on_task("dynamodb:PutItem", &["state"]),
                on_task("dynamodb:UpdateItem", &["to"]),
                Attempt::new("s3:GetObject", "UploadsBucket/*"),
                Attempt::new("s3:ListBucket", "DatasetBucket"),
            ],
        ),
        // Who makes exports can change no version, and knows neither tasks nor votes nor pictures.
        of(
            "DatasetExporter",
            vec![
                on_task("dynamodb:GetItem", &[]),
                on_task("dynamodb:UpdateItem", &["state"]),
                on_task("dynamodb:PutItem", &["state"]),
                Attempt::new("dynamodb:UpdateItem", "TasksTable").on("REFS#1", &["to"]),
                to_subtask("dynamodb:Query", &[]),
                to_subtask("dynamodb:UpdateItem", &["votes"]),
                Attempt::new("s3:GetObject", "UploadsBucket/*"),
                Attempt::new("s3:PutObject", "DatasetBucket/*"),
                Attempt::new("s3:PutObject", "DatasetBucket/*/commits/*"),
                Attempt::new("sqs:SendMessage", "CommitsQueue"),
            ],
        ),
        // Clients' requests cannot vote, nor see the pictures of others.
        of(
            "TaskApi",
            vec![
                to_subtask("dynamodb:UpdateItem", &["votes"]),
                to_subtask("dynamodb:PutItem", &["votes"]),
                to_subtask("dynamodb:UpdateItem", &["label", "leases"]),
                on_task("dynamodb:DeleteItem", &[]),
                Attempt::new("dynamodb:DeleteItem", "TasksTable").on("COUNT#1", &[]),
                Attempt::new("s3:GetObject", "UploadsBucket/*"),
                Attempt::new("s3:GetObject", "PreviewsBucket/*"),
                Attempt::new("s3:PutObject", "DatasetBucket/*"),
                Attempt::new("s3:ListBucket", "DatasetBucket"),
            ],
        ),
    ];
    let sources = [
        ("ImageValidator", "UploadsQueue"),
        ("SubtaskOpener", "NewSubtasksQueue"),
        ("TaskProgress", "TaskProgressQueue"),
        ("WebhookSender", "WebhooksQueue"),
        ("WebhookSender", "WebhookDeliveriesQueue"),
        ("DatasetCommitter", "CommitsQueue"),
        ("SkillEstimator", "EstimatesQueue"),
        ("DatasetExporter", "ExportsQueue"),
    ];
    for (function, attempts) in &mut never {
        // Secrets of webhooks are read where they are made and where they sign.
        if !["TaskApi", "WebhookSender"].contains(function) {
            attempts.extend(ON_TABLES.map(|action| Attempt::new(action, "WebhooksTable").on("SCOPE#TASK#1", &[])));
        }
        // Nobody deletes votes or files, changes rights, or reads what another is to read.
        attempts.push(to_subtask("dynamodb:DeleteItem", &[]));
        attempts.push(to_subtask("dynamodb:BatchWriteItem", &[]));
        for bucket in ["UploadsBucket/*", "PreviewsBucket/*", "DatasetBucket/*"] {
            attempts.push(Attempt::new("s3:DeleteObject", bucket));
            attempts.push(Attempt::new("s3:DeleteObjectVersion", bucket));
        }
        attempts.push(Attempt::new("iam:PutRolePolicy", &format!("{function}Role")));
        let of_others = stack.all("AWS::SQS::Queue").filter(|queue| !sources.contains(&(function, queue)));
        attempts.extend(of_others.map(|queue| Attempt::new("sqs:ReceiveMessage", queue)));
    }
    for (function, attempts) in never {
        let attempts = attempts.into_iter().flat_map(Attempt::both_ways).map(|attempt| (attempt, false)).collect();
        assert_eq!(wrong(&Role::of(stack, function).await?, attempts).await?, [""; 0]);
    }
    Ok(())
}
