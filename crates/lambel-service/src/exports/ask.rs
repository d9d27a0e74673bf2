//! What a client asks of exports: a new one, how far it is, where its files are.

use std::{cmp::Reverse, time::Duration};

use lambel_core::{
    TaskId,
    api::exports::{CreateExport, ExportFormat, ExportId, ExportList, ExportOptions, ExportState, ExportView},
    limits,
};
use lambel_dataset::{
    CommitId, Error as DatasetError,
    export::{ExportError, Exporting},
};

use super::{
    STANDSTILL,
    record::{Export, dataset_format, dataset_options},
};
use crate::{
    caller::Caller,
    dataset::{Names, find},
    error::{Error, Result},
    ports::{ExportStep, SharedDatasets, SharedExportFiles, SharedExportQueue, SharedExports, StoreError, Work},
    tasks::Tasks,
};

/// How often a record is read again when somebody else has changed it in between.
const TRIES: usize = 5;

/// The exports of data sets, towards their clients.
#[derive(Clone)]
pub struct DatasetExports {
    tasks: Tasks,
    exports: SharedExports,
    files: SharedExportFiles,
    queue: SharedExportQueue,
    datasets: SharedDatasets,
}

/// What is wanted.
struct Wanted {
    id: ExportId,
    commit: CommitId,
    format: ExportFormat,
    options: ExportOptions,
    rows: u64,
}

impl DatasetExports {
    /// Over these ports.
    pub fn new(
        tasks: Tasks,
        exports: SharedExports,
        files: SharedExportFiles,
        queue: SharedExportQueue,
        datasets: SharedDatasets,
    ) -> Self {
        Self { tasks, exports, files, queue, datasets }
    }

    /// Asks for an export. What is there already, or on its way, is not made again. What has failed, or is there no
    /// more, is; and what has stood still for half an hour is sent for again.
    pub async fn create(&self, caller: &Caller, task: TaskId, request: &CreateExport) -> Result<ExportView> {
        self.tasks.owned(caller, task).await?;
        let wanted = self.wanted(task, request).await?;
        for _ in 0..TRIES {
            let now = self.tasks.clock.now();
            let before = self.exports.export(task, wanted.id).await?;
            let export = match before {
                Some(export) if export.state == ExportState::Complete && !export.is_expired(now) => {
                    return self.shown(&export).await;
                }
                Some(mut export) if !export.is_over() => {
                    // It may be that nobody was told, or that what was sent lies in the dead-letter queue.
                    let stands = export.moved_at.plus(STANDSTILL) <= now;
                    if !stands && export.state == ExportState::Running {
                        return self.shown(&export).await;
                    }
                    export.moved_at = now;
                    export.rev += 1;
                    export
                }
                Some(export) => wanted.begun(task, caller, export.run + 1, export.rev + 1, now),
                None => {
                    self.make_room(task).await?;
                    wanted.begun(task, caller, 1, 1, now)
                }
            };
            if self.exports.put_export(&export).await? {
                let step = ExportStep { task, export: export.id, run: export.run, work: Work::Begin };
                self.queue.send(&[step]).await?;
                tracing::info!(%task, commit = %export.commit, images = export.rows, "export asked for");
                return self.shown(&export).await;
            }
        }
        Err(Error::Contended)
    }

    async fn wanted(&self, task: TaskId, request: &CreateExport) -> Result<Wanted> {
        let format = request.format;
        let options = checked(format, request.options.clone().unwrap_or_default())?;
        let dataset = self.datasets.of(task);
        let names = Names::read(&dataset).await?;
        let commit = find(&dataset, &names, "version", request.version.as_deref().unwrap_or("live")).await?;
        let (of_format, with) = (dataset_format(format, &options), dataset_options(&options));
        let rows = match Exporting::open(&*dataset.objects, commit, &of_format, &with).await {
            Ok(exporting) => exporting.commit().statistics.images,
            Err(DatasetError::Export(ExportError::Attribute(error))) => {
                return Err(Error::invalid("options.attribute", error));
            }
            Err(error) => return Err(error.into()),
        };
        if rows > limits::IMAGES_PER_EXPORT {
            let detail =
                format!("the version has {rows} images; {} can be exported at once", limits::IMAGES_PER_EXPORT);
            return Err(Error::Conflict(detail));
        }
        let failed = |error: serde_json::Error| StoreError::Failed(error.to_string());
        let id = Export::id_of(commit, format, &options).map_err(failed)?;
        Ok(Wanted { id, commit, format, options, rows })
    }

    /// Fails if a task has as many exports as it may have.
    async fn make_room(&self, task: TaskId) -> Result<()> {
        let all = self.exports.exports(task, limits::EXPORTS_PER_TASK).await?;
        if all.len() >= limits::EXPORTS_PER_TASK as usize {
            return Err(Error::Conflict(format!("the task has {} exports, which is the limit", all.len())));
        }
        let at_once = all.iter().filter(|export| !export.is_over()).count();
        if at_once >= limits::EXPORTS_AT_ONCE {
            let detail = format!("{at_once} exports of the task are on their way, which is the limit; wait for one");
            return Err(Error::Conflict(detail));
        }
        Ok(())
    }

    /// How far an export is, and where its files are.
    pub async fn show(&self, caller: &Caller, task: TaskId, id: ExportId) -> Result<ExportView> {
        self.tasks.owned(caller, task).await?;
        let export = self.exports.export(task, id).await?.ok_or(Error::ExportNotFound)?;
        self.shown(&export).await
    }

    /// The exports of a task, the latest first.
    pub async fn list(&self, caller: &Caller, task: TaskId) -> Result<ExportList> {
        self.tasks.owned(caller, task).await?;
        let mut all = self.exports.exports(task, limits::EXPORTS_PER_TASK).await?;
        all.sort_by_key(|export| Reverse((export.requested_at, export.id)));
        let now = self.tasks.clock.now();
        let latest = all.iter().take(limits::EXPORTS_LISTED);
        // Files are many where an export has many pieces, and a list has to fit into one answer.
        let line = |export: &Export| ExportView { files: Vec::new(), ..export.view(now) };
        Ok(ExportList { exports: latest.map(line).collect() })
    }

    async fn shown(&self, export: &Export) -> Result<ExportView> {
        let mut view = export.view(self.tasks.clock.now());
        let life = Duration::from_secs(limits::EXPORT_URL_SECONDS.into());
        for file in &mut view.files {
            file.url = Some(self.files.presign(&export.file_key(file.name.clone()), &file.name, life).await?);
        }
        Ok(view)
    }
}

impl Wanted {
    /// The export, from its beginning.
    fn begun(&self, task: TaskId, caller: &Caller, run: u32, rev: u64, now: lambel_core::Timestamp) -> Export {
        Export {
            task,
            id: self.id,
            commit: self.commit,
            format: self.format,
            options: self.options.clone(),
            state: ExportState::Waiting,
            run,
            rows: self.rows,
            pieces: 0,
            counted: 0,
            written: 0,
            rows_done: 0,
            requested_at: now,
            requested_by: caller.actor(),
            moved_at: now,
            ended_at: None,
            reason: None,
            files: Vec::new(),
            rev,
        }
    }
}

/// Options that the format has, with good values.
fn checked(format: ExportFormat, options: ExportOptions) -> Result<ExportOptions> {
    let of = dataset_format(format, &options);
    let not_of = |field: &'static str| Error::invalid(field, format!("`{}` has no such option", format.as_str()));
    if options.min_confidence.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
        return Err(Error::invalid("options.min_confidence", "0 to 1"));
    }
    if options.each_name && !of.by_name() {
        return Err(not_of("options.each_name"));
    }
    if options.attribute.is_some() && format != ExportFormat::Manifest {
        return Err(not_of("options.attribute"));
    }
    if let Some(prefix) = &options.address_prefix {
        if !of.needs_address() {
            return Err(not_of("options.address_prefix"));
        }
        let chars = prefix.chars().count();
        if !(1..=limits::ADDRESS_PREFIX_CHARS).contains(&chars) || prefix.chars().any(char::is_control) {
            let most = limits::ADDRESS_PREFIX_CHARS;
            let detail = format!("1 to {most} characters, none of them a control character");
            return Err(Error::invalid("options.address_prefix", detail));
        }
    }
    Ok(Export::tidy(format, options))
}
