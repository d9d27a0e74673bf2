//! `lambel images`: the images of a task, and why some were refused.

use clap::ValueEnum;
use lambel_core::{
    TaskId,
    api::{ImageState, ImageView, ImagesQuery},
};

use crate::{context::Context, exit::Outcome, output::printable, results::PAGE_ROWS};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task
    task: TaskId,
    /// Only images in this state
    #[arg(long)]
    state: Option<State>,
}

/// The states, as words of the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Announced,
    Preparing,
    Open,
    Complete,
    Disputed,
    Rejected,
}

impl From<State> for ImageState {
    fn from(state: State) -> Self {
        match state {
            State::Announced => Self::Announced,
            State::Preparing => Self::Preparing,
            State::Open => Self::Open,
            State::Complete => Self::Complete,
            State::Disputed => Self::Disputed,
            State::Rejected => Self::Rejected,
        }
    }
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let client = context.client()?;
    let mut query = ImagesQuery { state: args.state.map(Into::into), cursor: None, limit: Some(PAGE_ROWS) };
    let mut shown = 0_u64;
    loop {
        let page = client.images(args.task, &query).await?;
        for image in &page.images {
            context.out.show(image, describe)?;
            shown += 1;
        }
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    if shown == 0 {
        context.out.note("there are no such images");
    }
    Ok(())
}

/// An image on one line: state, names, and what came of it.
fn describe(image: &ImageView) -> String {
    let status = &image.status;
    let state = serde_json::to_value(status.state).unwrap_or_default();
    let what = match (&status.refusal, &status.label) {
        (Some(refusal), _) => format!("{}: {}", refusal.code, refusal.detail),
        (None, Some(label)) => {
            format!("{label} ({:.0} %)", 100.0 * status.confidence.map_or(0.0, |confidence| confidence.get()))
        }
        (None, None) => format!("{} votes", status.votes.len()),
    };
    let names = image.names.join(", ");
    printable(&format!("{:<9}  {}  {what}", state.as_str().unwrap_or_default(), names))
}
