//! The count of an upload, and what is said of it in the end.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lambel_core::{ImageId, TaskId, api::TaskView};
use serde::Serialize;

use crate::{
    exit::Outcome,
    output::Output,
    progress::megabytes,
    upload::scan::{Refused, Scan},
};

/// What became of one file.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It went up.
    Uploaded,
    /// The task has its bytes already.
    AlreadyPresent,
    /// Another file of this run has the same bytes, and goes up.
    SameBytes,
    /// The service does not take it.
    Refused { code: String, detail: String },
    /// It did not work out, though it might another time.
    Failed(String),
}

/// A file that has failed.
#[derive(Debug, Serialize)]
struct FailedFile {
    name: String,
    detail: String,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    files: u64,
    uploaded: u64,
    uploaded_bytes: u64,
    already_present: u64,
    same_bytes: u64,
    distinct_images: u64,
    refused: Vec<Refused>,
    failed: Vec<FailedFile>,
    /// Of all files that were found.
    #[serde(skip)]
    bytes: u64,
    #[serde(skip)]
    refused_by_service: u64,
    #[serde(skip)]
    images: BTreeSet<ImageId>,
}

/// The report of an upload, filled while it goes on.
#[derive(Debug)]
pub(crate) struct Report {
    task: TaskId,
    counts: Mutex<Counts>,
    /// The task as sealed in the end.
    pub(crate) sealed: Option<TaskView>,
}

impl Report {
    /// Of what was found in a folder.
    pub(crate) fn new(task: TaskId, scan: &Scan) -> Self {
        let files = (scan.files.len() + scan.refused.len()) as u64;
        let bytes = scan.files.iter().map(|file| file.bytes).sum();
        let counts = Counts { files, bytes, refused: scan.refused.clone(), ..Counts::default() };
        Self { task, counts: Mutex::new(counts), sealed: None }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what became of a file. The image is known once the file was read.
    pub(crate) fn add(&self, name: &str, image: Option<ImageId>, bytes: u64, fate: Fate) {
        let mut counts = self.counts();
        match fate {
            Fate::Uploaded => {
                counts.uploaded += 1;
                counts.uploaded_bytes += bytes;
                counts.images.extend(image);
            }
            Fate::AlreadyPresent => {
                counts.already_present += 1;
                counts.images.extend(image);
            }
            // Its image counts when the other file is up.
            Fate::SameBytes => counts.same_bytes += 1,
            Fate::Refused { code, detail } => {
                counts.refused_by_service += 1;
                counts.refused.push(Refused { name: name.to_owned(), code, detail });
            }
            Fate::Failed(detail) => counts.failed.push(FailedFile { name: name.to_owned(), detail }),
        }
        counts.distinct_images = counts.images.len() as u64;
    }

    /// Files that are up, and their bytes, for the progress.
    pub(crate) fn progress(&self) -> (u64, String) {
        let counts = self.counts();
        let failed = counts.failed.len() as u64;
        let done = counts.uploaded + counts.already_present + counts.same_bytes + counts.refused_by_service + failed;
        let mut text = format!("files, {} of {} sent", megabytes(counts.uploaded_bytes), megabytes(counts.bytes));
        if counts.already_present > 0 {
            text += &format!(", {} already there", counts.already_present);
        }
        if failed > 0 {
            text += &format!(", {failed} failed");
        }
        (done, text)
    }

    /// The images that the task has of these files.
    pub(crate) fn images(&self) -> BTreeSet<ImageId> {
        self.counts().images.clone()
    }

    /// Files that went up, and why the first of those failed that have failed.
    pub(crate) fn uploaded_and_failed(&self) -> (u64, Option<String>) {
        let counts = self.counts();
        let failed = counts.failed.first().map(|file| format!("{}: {}", file.name, file.detail));
        (counts.uploaded, failed)
    }

    /// The counts, as they are shown in JSON.
    pub(crate) fn counts_json(&self) -> serde_json::Value {
        serde_json::to_value(&*self.counts()).unwrap_or_default()
    }

    /// Whether every file was taken.
    pub(crate) fn all_taken(&self) -> bool {
        let counts = self.counts();
        counts.refused.is_empty() && counts.failed.is_empty()
    }

    /// The number to seal the task with, or why it would be a wrong one. Files that were never announced, since
    /// they are no pictures by their names, are not in the way: they are not part of the task.
    pub(crate) fn number_to_seal(&self) -> Result<u64, String> {
        let counts = self.counts();
        if !counts.failed.is_empty() {
            return Err(format!("{} files have failed; run the command again", counts.failed.len()));
        }
        if counts.refused_by_service > 0 {
            return Err(format!(
                "the service refused {} files; mend or remove them and run the command again, or leave them out with \
                 `lambel task seal --images {}`",
                counts.refused_by_service, counts.distinct_images
            ));
        }
        if counts.distinct_images == 0 {
            return Err("no image was uploaded".to_owned());
        }
        Ok(counts.distinct_images)
    }

    /// Says what became of the files.
    pub(crate) fn show(&self, out: Output) -> Outcome {
        let counts = self.counts();
        if out.json {
            #[derive(Serialize)]
            struct Shown<'a> {
                task: TaskId,
                #[serde(flatten)]
                counts: &'a Counts,
                #[serde(skip_serializing_if = "Option::is_none")]
                sealed: Option<&'a TaskView>,
            }
            return out.json(&Shown { task: self.task, counts: &counts, sealed: self.sealed.as_ref() });
        }
        for Refused { name, detail, .. } in &counts.refused {
            out.note(&format!("refused  {name}: {detail}"));
        }
        for FailedFile { name, detail } in &counts.failed {
            out.note(&format!("failed   {name}: {detail}"));
        }
        let mut text = format!(
            "{} files: {} uploaded ({}), {} already there",
            counts.files,
            counts.uploaded,
            megabytes(counts.uploaded_bytes),
            counts.already_present
        );
        if counts.same_bytes > 0 {
            text += &format!(", {} with the bytes of another file", counts.same_bytes);
        }
        text += &format!(
            ", {} refused, {} failed; {} different images",
            counts.refused.len(),
            counts.failed.len(),
            counts.distinct_images
        );
        if let Some(task) = &self.sealed {
            text += &format!("; the task is {}", task.state.as_str());
        }
        out.line(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(refused: usize) -> Report {
        let one = Refused { name: "x".to_owned(), code: "empty".to_owned(), detail: "empty".to_owned() };
        Report::new(TaskId::random(), &Scan { files: Vec::new(), refused: vec![one; refused] })
    }

    #[test]
    fn images_are_counted_by_their_bytes() {
        let report = report(1);
        let (a, b) = (ImageId::of(b"a"), ImageId::of(b"b"));
        report.add("a", Some(a), 10, Fate::Uploaded);
        report.add("a2", Some(a), 10, Fate::SameBytes);
        report.add("b", Some(b), 20, Fate::AlreadyPresent);
        report.add("b2", Some(b), 20, Fate::AlreadyPresent);
        assert_eq!(report.number_to_seal(), Ok(2));
        assert!(!report.all_taken());
        assert_eq!(report.progress().0, 4);
    }

    #[test]
    fn a_doubtful_number_seals_nothing() {
        let failed = report(0);
        failed.add("a", Some(ImageId::of(b"a")), 1, Fate::Uploaded);
        failed.add("b", None, 1, Fate::Failed("gone".to_owned()));
        assert!(failed.number_to_seal().unwrap_err().contains("failed"));

        let refused = report(0);
        refused.add("a", Some(ImageId::of(b"a")), 1, Fate::Uploaded);
        refused.add("b", None, 1, Fate::Refused { code: "name-taken".to_owned(), detail: String::new() });
        assert!(refused.number_to_seal().unwrap_err().contains("--images 1"));
        assert!(report(3).number_to_seal().is_err());
    }
}
