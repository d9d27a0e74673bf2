//! `lambel work`: the tasks that have work for an operator.

use crate::{
    context::Context,
    exit::Outcome,
    output::{columns, printable},
};

pub(crate) async fn run(context: &Context) -> Outcome {
    let answer = context.client()?.work().await?;
    if context.out.json {
        return answer.tasks.iter().try_for_each(|task| context.out.json(task));
    }
    if answer.tasks.is_empty() {
        context.out.note("there is nothing to label at the moment");
        return Ok(());
    }
    let rows: Vec<_> = answer
        .tasks
        .iter()
        .map(|work| vec![work.task.to_string(), format!("{} undecided", work.undecided), printable(&work.name)])
        .collect();
    context.out.line(&columns(&rows))
}
