//! `lambel task`: make, list, show, seal and cancel tasks.

use std::{fs, path::PathBuf, time::Duration};

use lambel_client::Client;
use lambel_core::{
    Audience, LabelSet, OnDispute, Policy, TaskId, TaskState,
    api::{AudienceFields, CreateTask, PageQuery, PolicyFields, ReleaseWhen, RuleName, SealTask, TaskView},
    limits,
};

use crate::{
    audit,
    context::Context,
    exit::{self, Exit, Failure, Outcome},
    gold::{self, GoldCommand},
    image, import,
    output::{columns, printable},
    progress::Progress,
    review,
};

/// How often a task is looked at while it is watched.
const WATCH_EVERY: Duration = Duration::from_secs(2);

#[derive(clap::Subcommand)]
pub(crate) enum TaskCommand {
    /// Make a task
    Create(Box<CreateArgs>),
    /// Move in: make a task of what Label Studio or Ground Truth has, with its pictures, labels and votes
    Import(Box<import::Args>),
    /// List your tasks, the newest first
    List,
    /// Show a task with its progress
    Show {
        /// The id of the task
        task: TaskId,
        /// Wait until the task is over; exit code 6 if it is cancelled
        #[arg(long)]
        watch: bool,
    },
    /// Say that all images are uploaded: the task completes when they are decided
    Seal {
        /// The id of the task
        task: TaskId,
        /// How many different images were uploaded; `lambel upload` says it
        #[arg(long, value_name = "N")]
        images: u64,
    },
    /// Say which operators may label a task
    OpenTo {
        /// The id of the task
        task: TaskId,
        #[command(flatten)]
        audience: AudienceArgs,
        /// Every operator
        #[arg(long, conflicts_with_all = ["operators", "teams"])]
        everyone: bool,
    },
    /// Show one image with its votes, and why it was decided as it was
    Image(image::Args),
    /// Show who did what with a task, the newest first
    Audit {
        /// The id of the task
        task: TaskId,
    },
    /// Images whose true label is known, which measure operators
    #[command(subcommand)]
    Gold(GoldCommand),
    /// Decide images whose votes have found no answer
    Review(review::Args),
    /// Call a task off
    Cancel {
        /// The id of the task
        task: TaskId,
    },
}

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("the labels").required(true).multiple(false))]
pub(crate) struct CreateArgs {
    /// What the task is called
    #[arg(long)]
    name: String,
    /// A label that an image can get; once for each
    #[arg(long = "label", value_name = "LABEL", group = "the labels")]
    labels: Vec<String>,
    /// A file with a label on each line
    #[arg(long, value_name = "FILE", group = "the labels")]
    labels_file: Option<PathBuf>,
    /// What operators should know: plain text, or @FILE for the text of a file
    #[arg(long, value_name = "TEXT|@FILE")]
    instructions: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    audience: AudienceArgs,
    /// About how many images will come; for more than 10,000 it matters to say so
    #[arg(long, value_name = "N")]
    expected_images: Option<u64>,
}

/// How a task comes to its labels.
#[derive(clap::Args, Default)]
pub(crate) struct PolicyArgs {
    /// When an image has enough votes: `adaptive`, a label is sure enough by what is known of the operators; `lead`, a
    /// label is ahead; `majority`, a fixed quorum [default: majority]
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    rule: Option<RuleName>,
    /// majority: votes that every image gets [default: 3]
    #[arg(long, value_name = "N")]
    quorum: Option<u32>,
    /// lead: how many votes a label has to be ahead [default: 2]
    #[arg(long, value_name = "N")]
    lead: Option<u32>,
    /// adaptive: how sure a label has to be, 0.5 to 0.999 [default: 0.95]
    #[arg(long, value_name = "SHARE")]
    confidence: Option<f64>,
    /// lead, adaptive: votes that every image gets at least [default: 1]
    #[arg(long, value_name = "N")]
    min_labels: Option<u32>,
    /// Votes after which an image without an answer is a dispute [default: as the rule needs]
    #[arg(long, value_name = "N")]
    max_labels: Option<u32>,
    /// Abstentions after which an image is a dispute [default: 3]
    #[arg(long, value_name = "N")]
    max_abstentions: Option<u32>,
    /// How long an operator has for what they have claimed [default: 900]
    #[arg(long, value_name = "N")]
    lease_seconds: Option<u32>,
    /// Pause operators in this task who are flagged as guessing, always giving the same answer, or too fast
    #[arg(long)]
    pause_flagged: bool,
    /// Make a version of the data set each time so many images more are decided
    #[arg(long, value_name = "N")]
    commit_every_decisions: Option<u32>,
    /// Make a version of the data set when the last one is so many minutes old
    #[arg(long, value_name = "N")]
    commit_every_minutes: Option<u32>,
    /// Release the version of the complete task by itself
    #[arg(long)]
    release_when_complete: bool,
    /// … if the mean confidence of its images is at least this, 0 to 1
    #[arg(long, value_name = "SHARE", requires = "release_when_complete")]
    release_min_confidence: Option<f64>,
    /// How much of what operators get is gold, which measures them: 0 to 0.5 [default: 0]
    #[arg(long, value_name = "SHARE")]
    gold_rate: Option<f64>,
    /// What becomes of images whose votes have found no answer: `marked`, they are disputed; `best`, they are complete
    /// with the best label there is; `review`, the task waits until each was reviewed [default: marked]
    #[arg(long, value_name = "WHAT", value_parser = parse_on_dispute)]
    disputed: Option<OnDispute>,
}

impl PolicyArgs {
    /// What was said, if anything was. What is wrong with it is said here already.
    pub(crate) fn fields(self) -> Outcome<Option<PolicyFields>> {
        let fields = PolicyFields {
            rule: self.rule,
            quorum: self.quorum,
            lead: self.lead,
            confidence: self.confidence,
            min_labels: self.min_labels,
            max_labels: self.max_labels,
            max_abstentions: self.max_abstentions,
            lease_seconds: self.lease_seconds,
            pause_flagged: self.pause_flagged.then_some(true),
            commit_every_decisions: self.commit_every_decisions,
            commit_every_minutes: self.commit_every_minutes,
            release_when: self.release_when_complete.then_some(ReleaseWhen::Complete),
            release_min_confidence: self.release_min_confidence,
            gold_rate: self.gold_rate,
            disputed: self.disputed,
        };
        Policy::parse(&fields).map_err(|error| Failure::usage(error.to_string()))?;
        Ok((fields != PolicyFields::default()).then_some(fields))
    }
}

fn parse_rule(name: &str) -> Result<RuleName, String> {
    let known = [RuleName::Adaptive, RuleName::Lead, RuleName::Majority];
    let names = known.map(RuleName::as_str).join(", ");
    known.into_iter().find(|rule| rule.as_str() == name).ok_or_else(|| format!("it is one of {names}"))
}

fn parse_on_dispute(name: &str) -> Result<OnDispute, String> {
    let names = OnDispute::ALL.map(OnDispute::as_str).join(", ");
    OnDispute::ALL.into_iter().find(|on| on.as_str() == name).ok_or_else(|| format!("it is one of {names}"))
}

/// Who may label.
#[derive(clap::Args, Default)]
pub(crate) struct AudienceArgs {
    /// Keep the task for this operator, by the name they sign in with; once for each
    #[arg(long = "operator", value_name = "NAME")]
    operators: Vec<String>,
    /// Keep the task for this team; once for each
    #[arg(long = "team", value_name = "TEAM")]
    teams: Vec<String>,
}

impl AudienceArgs {
    /// What was said, if anything was. What is wrong with it is said here already.
    pub(crate) fn fields(self) -> Outcome<Option<AudienceFields>> {
        if self.operators.is_empty() && self.teams.is_empty() {
            return Ok(None);
        }
        let fields = AudienceFields { everyone: false, operators: self.operators, teams: self.teams };
        Audience::parse(&fields).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Some(fields))
    }
}

pub(crate) async fn run(context: &Context, command: TaskCommand) -> Outcome {
    let out = context.out;
    match command {
        TaskCommand::Create(args) => {
            let request = args.request()?;
            let task = context.client()?.create_task(&request).await?;
            out.show(&task, describe)
        }
        TaskCommand::Import(args) => exit::interruptible(import::run(context, *args), import::INTERRUPTED).await,
        TaskCommand::List => list(context).await,
        TaskCommand::Show { task, watch: false } => out.show(&context.client()?.task(task).await?, describe),
        TaskCommand::Show { task, watch: true } => watch(context, task).await,
        TaskCommand::Seal { task, images } => {
            out.show(&context.client()?.seal_task(task, &SealTask { images }).await?, describe)
        }
        TaskCommand::OpenTo { task, audience, everyone } => {
            let fields = match (audience.fields()?, everyone) {
                (None, true) => AudienceFields { everyone: true, ..AudienceFields::default() },
                (Some(fields), _) => fields,
                (None, false) => return Err(Failure::usage("say --everyone, or name an --operator or a --team")),
            };
            out.show(&context.client()?.set_audience(task, &fields).await?, describe)
        }
        TaskCommand::Image(args) => image::run(context, args).await,
        TaskCommand::Audit { task } => {
            let client = context.client()?;
            audit::show(context, async |page| client.task_audit(task, page).await).await
        }
        TaskCommand::Gold(command) => gold::run(context, command).await,
        TaskCommand::Review(args) => review::run(context, args).await,
        TaskCommand::Cancel { task } => out.show(&context.client()?.cancel_task(task).await?, describe),
    }
}

impl CreateArgs {
    fn request(self) -> Outcome<CreateTask> {
        let labels = match &self.labels_file {
            Some(file) => labels_of(&read_text(file)?),
            None => self.labels,
        };
        // Said here already, since here it is known where the labels came from.
        LabelSet::parse(&labels).map_err(|error| Failure::usage(error.to_string()))?;
        Ok(CreateTask {
            name: self.name,
            labels,
            instructions: self.instructions.map(text_or_file).transpose()?,
            policy: self.policy.fields()?,
            audience: self.audience.fields()?,
            expected_images: self.expected_images,
        })
    }
}

/// Text, or with `@` before it the file that has it.
pub(crate) fn text_or_file(text: String) -> Outcome<String> {
    match text.strip_prefix('@') {
        Some(file) => read_text(&PathBuf::from(file)),
        None => Ok(text),
    }
}

pub(crate) fn read_text(file: &PathBuf) -> Outcome<String> {
    fs::read_to_string(file).map_err(|error| Failure { exit: Exit::Usage, ..Failure::io(file.display(), &error) })
}

/// A label for each line. Space at the ends and empty lines are nobody's label, nor is the mark that some
/// editors put at the beginning.
fn labels_of(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}');
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

async fn list(context: &Context) -> Outcome {
    let client = context.client()?;
    let mut rows = Vec::new();
    let mut page = PageQuery { cursor: None, limit: Some(limits::PAGE_ROWS_DEFAULT) };
    loop {
        let answer = client.tasks(&page).await?;
        for task in &answer.tasks {
            if context.out.json {
                context.out.json(task)?;
            } else {
                let created = task.created_at.to_string();
                rows.push(vec![task.task.to_string(), task.state.as_str().to_owned(), created, task.name.clone()]);
            }
        }
        match answer.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    if context.out.json {
        return Ok(());
    }
    if rows.is_empty() {
        context.out.note("there are no tasks yet; `lambel task create` makes one");
        return Ok(());
    }
    context.out.line(&columns(&rows))
}

/// Waits until a task is over.
async fn watch(context: &Context, id: TaskId) -> Outcome {
    let client = context.client()?;
    let task = wait_for_end(context, &client, id).await?;
    context.out.show(&task, describe)?;
    match task.state {
        TaskState::Cancelled => Err(Failure::new(Exit::Conflict, "the task was cancelled")),
        _ => Ok(()),
    }
}

async fn wait_for_end(context: &Context, client: &Client, id: TaskId) -> Outcome<TaskView> {
    let mut task = client.task(id).await?;
    if task.state == TaskState::Open {
        context.out.note("the task is not sealed: it cannot complete before `lambel task seal`");
    }
    let progress = Progress::new(context.out, task.images.unwrap_or(0));
    let mut told = false;
    while !task.state.is_final() {
        let counts = task.progress;
        let waits = counts.map_or(0, |counts| if counts.open == 0 { counts.disputed } else { 0 });
        if !told && waits > 0 && task.policy.disputed == Some(OnDispute::Review) {
            context.out.note(&format!("{waits} images are disputed: the task waits for `lambel task review`"));
            told = true;
        }
        let done = counts.map_or(0, |counts| counts.complete + counts.disputed + counts.rejected);
        progress.set(done, || {
            let open = counts.map_or(0, |counts| counts.open);
            format!("decided or refused, {open} open, {}", task.state.as_str())
        });
        tokio::time::sleep(WATCH_EVERY).await;
        task = client.task(id).await?;
    }
    Ok(task)
}

/// A task in words.
pub(crate) fn describe(task: &TaskView) -> String {
    let mut rows = vec![
        vec!["task".to_owned(), task.task.to_string()],
        vec!["name".to_owned(), printable(&task.name)],
        vec!["state".to_owned(), task.state.as_str().to_owned()],
    ];
    let mut row = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| vec![name.to_owned(), value]));
    };
    let labels: Vec<_> = task.labels.iter().take(12).map(|label| label.as_str()).collect();
    let more = task.labels.len().saturating_sub(labels.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    row("labels", Some(format!("{}{more}", labels.join(", "))));
    let audience = &task.audience;
    let named = audience.operators.iter().cloned().chain(audience.teams.iter().map(|team| format!("team {team}")));
    row("open to", (!audience.everyone).then(|| named.map(|name| printable(&name)).collect::<Vec<_>>().join(", ")));
    row("rule", task.policy.rule.map(|rule| rule.as_str().to_owned()));
    row("quorum", task.policy.quorum.map(|quorum| quorum.to_string()));
    row("lead", task.policy.lead.map(|lead| lead.to_string()));
    row("confidence", task.policy.confidence.map(|confidence| confidence.to_string()));
    row("at least", task.policy.min_labels.map(|votes| format!("{votes} votes")));
    row("at most", task.policy.max_labels.map(|votes| format!("{votes} votes")));
    let disputed = task.policy.disputed.filter(|on| !on.is_default());
    row("if disputed", disputed.map(|on| on.as_str().to_owned()));
    let gold_rate = task.policy.gold_rate.filter(|rate| *rate > 0.0);
    row("gold", gold_rate.map(|rate| format!("{:.1} % of what is handed out", 100.0 * rate)));
    row("images", task.images.map(|images| images.to_string()));
    if let Some(counts) = task.progress {
        row("accepted", Some(counts.accepted.to_string()));
        row("refused", Some(counts.rejected.to_string()));
        row("complete", Some(counts.complete.to_string()));
        row("disputed", Some(counts.disputed.to_string()));
        row("open", Some(counts.open.to_string()));
        row("votes", Some(format!("{} on what is decided", counts.votes)));
    }
    row("created", Some(task.created_at.to_string()));
    row("sealed", task.sealed_at.map(|at| at.to_string()));
    row("ended", task.ended_at.map(|at| at.to_string()));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> CreateArgs {
        CreateArgs {
            name: "n".to_owned(),
            labels: vec!["cat".to_owned(), "dog".to_owned()],
            labels_file: None,
            instructions: None,
            policy: PolicyArgs::default(),
            audience: AudienceArgs::default(),
            expected_images: None,
        }
    }

    #[test]
    fn an_audience_is_sent_only_where_somebody_is_named() {
        assert_eq!(args().request().unwrap().audience, None);
        let named = |names: &[&str]| AudienceArgs {
            operators: names.iter().map(|&name| name.to_owned()).collect(),
            teams: Vec::new(),
        };
        let audience = CreateArgs { audience: named(&["anna"]), ..args() }.request().unwrap().audience.unwrap();
        assert_eq!((audience.everyone, audience.operators), (false, vec!["anna".to_owned()]));
        let failure = CreateArgs { audience: named(&["a b"]), ..args() }.request().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn files_of_labels_may_be_untidy() {
        assert_eq!(labels_of("\u{feff}cat\r\n\n  dog \n"), ["cat", "dog"]);
    }

    #[test]
    fn a_policy_is_sent_only_where_something_is_said() {
        assert_eq!(args().request().unwrap().policy, None);
        let quorum = PolicyArgs { quorum: Some(5), ..PolicyArgs::default() };
        let request = CreateArgs { policy: quorum, ..args() }.request().unwrap();
        assert_eq!(request.policy.unwrap().quorum, Some(5));
        let both = PolicyArgs { rule: Some(RuleName::Lead), quorum: Some(5), ..PolicyArgs::default() };
        let failure = CreateArgs { policy: both, ..args() }.request().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn bad_labels_are_a_matter_of_usage() {
        let failure = CreateArgs { labels: vec!["cat".to_owned()], ..args() }.request().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let failure = CreateArgs { labels_file: Some("no/such/file".into()), ..args() }.request().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }
}
