//! `lambel dataset export`: a version in the format of another tool.
//!
//! What is written appears whole or not at all: a file takes its name when it is done, and so does a folder. With
//! `--task` the service makes the files: `fetch`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use lambel_core::{
    TaskId,
    api::exports::{CreateExport, ExportFormat, ExportOptions},
    consensus::Confidence,
};
use lambel_dataset::{
    CommitId,
    export::{self, DirectoryOutput, Exported, Layout, Options, Placed, WriteOutput, copy_images},
};
use serde_json::json;

use super::{
    BRANCH, fetch,
    folder::{Folder, Source},
    originals::Originals,
    short,
};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::megabytes,
    results::temporary_beside,
};

pub(super) const INTERRUPTED: &str = "interrupted; nothing was exported. What the service was asked for is made all the \
same, and the same command goes on with it";

/// Images that are named where some are missing.
const NAMED: usize = 5;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// In which format
    #[arg(long, value_enum)]
    format: Format,
    /// Which version
    #[arg(long, value_name = "VERSION", default_value = BRANCH)]
    at: String,
    /// Where to: a file, or a folder that there is, where the file gets its usual name; with --images a new folder.
    /// A large Parquet from --task is several files in a folder
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Only images that have their label
    #[arg(long)]
    only_labelled: bool,
    /// Only images that have their label and are at least so sure: 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = confidence)]
    min_confidence: Option<Confidence>,
    /// Place the images too (imagefolder and folders): copy them from this folder, by the names that they were
    /// uploaded with
    #[arg(long, value_name = "DIR", conflicts_with = "task")]
    images: Option<PathBuf>,
    /// What comes before the name of an image to make its address (manifest, label-studio)
    #[arg(long, value_name = "TEXT")]
    address_prefix: Option<String>,
    /// A line for each name of an image, not only for its first (csv, coco)
    #[arg(long)]
    each_name: bool,
    /// The name of the label attribute (manifest) [default: label]
    #[arg(long, value_name = "NAME")]
    attribute: Option<String>,
    #[command(flatten)]
    source: Source,
}

/// The formats, as words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A row on each line, with all that is known
    Jsonl,
    /// A table with a line for each image
    Csv,
    /// A table with votes, for pandas, DuckDB, Spark
    Parquet,
    /// The augmented manifest of SageMaker Ground Truth
    Manifest,
    /// Tasks with annotations and predictions for Label Studio
    LabelStudio,
    /// COCO, with a category for each image
    Coco,
    /// Hugging Face's ImageFolder: metadata.jsonl; with --images the folder itself
    Imagefolder,
    /// A folder for each label: the list of places; with --images the folders themselves
    Folders,
}

impl Format {
    /// The same format where the service makes it.
    fn of_service(self) -> ExportFormat {
        match self {
            Self::Jsonl => ExportFormat::Jsonl,
            Self::Csv => ExportFormat::Csv,
            Self::Parquet => ExportFormat::Parquet,
            Self::Manifest => ExportFormat::Manifest,
            Self::LabelStudio => ExportFormat::LabelStudio,
            Self::Coco => ExportFormat::Coco,
            Self::Imagefolder => ExportFormat::Imagefolder,
            Self::Folders => ExportFormat::Folders,
        }
    }

    fn with(self, attribute: Option<&str>) -> export::Format {
        match self {
            Self::Jsonl => export::Format::JsonLines,
            Self::Csv => export::Format::Csv,
            Self::Parquet => export::Format::Parquet,
            Self::Manifest => export::Format::Manifest { attribute: attribute.unwrap_or("label").to_owned() },
            Self::LabelStudio => export::Format::LabelStudio,
            Self::Coco => export::Format::Coco,
            Self::Imagefolder => export::Format::ImageFolder,
            Self::Folders => export::Format::ClassFolders,
        }
    }

    /// The word of the command line.
    fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn confidence(text: &str) -> Result<Confidence, String> {
    let share: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    Confidence::try_from(share)
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    if let Some(task) = args.source.task() {
        return from_service(context, task, &args).await;
    }
    let folder = args.source.open()?;
    let id = folder.version(&args.at).await?;
    let options = Options {
        only_labelled: args.only_labelled,
        min_confidence: args.min_confidence,
        each_name: args.each_name,
        address_prefix: args.address_prefix.clone(),
        ..Options::default()
    };
    match &args.images {
        None => to_file(context, &args, &folder, id, &options).await,
        Some(images) => to_folder(context, &args, &folder, id, &options, images).await,
    }
}

async fn from_service(context: &Context, task: TaskId, args: &Args) -> Outcome {
    let options = ExportOptions {
        only_labelled: args.only_labelled,
        min_confidence: args.min_confidence.map(Confidence::get),
        each_name: args.each_name,
        attribute: args.attribute.clone(),
        address_prefix: args.address_prefix.clone(),
    };
    let wanted =
        CreateExport { version: Some(args.at.clone()), format: args.format.of_service(), options: Some(options) };
    fetch::run(context, task, &wanted, &args.out).await
}

async fn to_file(context: &Context, args: &Args, folder: &Folder, id: CommitId, options: &Options) -> Outcome {
    let format = args.format.with(args.attribute.as_deref());
    let path = if args.out.is_dir() { args.out.join(format.file_name()) } else { args.out.clone() };
    let exported = write(folder, id, &format, options, &path).await?;
    let shown = json!({
        "commit": id, "format": args.format.word(), "images": exported.images, "bytes": exported.bytes, "out": path,
    });
    context.out.show(&shown, |_| {
        let (images, size, path) = (exported.images, megabytes(exported.bytes), path.display());
        format!("{images} images of {} in {path} ({size})", short(id))
    })
}

/// Writes a file that appears when it is whole.
async fn write(
    folder: &Folder,
    id: CommitId,
    format: &export::Format,
    options: &Options,
    path: &Path,
) -> Outcome<Exported> {
    let failure = |error: &io::Error| Failure::io(path.display(), error);
    let mut file = temporary_beside(path).map_err(|error| failure(&error))?;
    let mut output = WriteOutput(file.as_file_mut());
    let exported = export::export(folder.objects(), id, format, options, &mut output).await?;
    file.persist(path).map_err(|error| failure(&error.error))?;
    Ok(exported)
}

async fn to_folder(
    context: &Context,
    args: &Args,
    folder: &Folder,
    id: CommitId,
    options: &Options,
    images: &Path,
) -> Outcome {
    let layout = match args.format {
        Format::Imagefolder => Layout::Metadata,
        Format::Folders => Layout::Classes,
        other => return Err(Failure::usage(format!("the format {} places no images", other.word()))),
    };
    let out = args.out.as_path();
    let failure = |error: &io::Error| Failure::io(out.display(), error);
    if out.try_exists().map_err(|error| failure(&error))? {
        return Err(Failure::new(Exit::Conflict, format!("{} is there already; name a new folder", out.display())));
    }
    let originals = Originals::open(images)?;
    // In the same folder, so that it can take its name in one step.
    let draft = draft_beside(out).map_err(|error| failure(&error))?;
    let inner = match layout {
        Layout::Metadata => draft.path().join("train"),
        Layout::Classes => draft.path().to_owned(),
    };
    fs::create_dir_all(&inner).map_err(|error| failure(&error))?;
    let mut places = DirectoryOutput::new(&inner);
    let placed = copy_images(folder.objects(), id, layout, options, &originals, &mut places).await?;
    if !placed.missing.is_empty() {
        return Err(missing(folder, id, &placed, images).await?);
    }
    if layout == Layout::Metadata {
        let format = args.format.with(args.attribute.as_deref());
        write(folder, id, &format, options, &inner.join(format.file_name())).await?;
    }
    let draft = draft.keep();
    if let Err(error) = fs::rename(&draft, out) {
        // What is worth telling is why it could not take its name.
        drop(fs::remove_dir_all(&draft));
        return Err(failure(&error));
    }
    let Placed { images, bytes, .. } = placed;
    let shown = json!({"commit": id, "format": args.format.word(), "images": images, "bytes": bytes, "out": out});
    context
        .out
        .show(&shown, |_| format!("{images} images of {} in {} ({})", short(id), out.display(), megabytes(bytes)))
}

/// A folder beside another, which is removed with all that is in it unless it is kept.
fn draft_beside(path: &Path) -> io::Result<tempfile::TempDir> {
    let parent = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lambel-export-");
    // Who may read it is for the folder and the umask to say.
    #[cfg(unix)]
    let permissions = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.tempdir_in(parent)
}

/// Tools stumble over images that are listed and not there, so none are placed unless all are.
async fn missing(folder: &Folder, id: CommitId, placed: &Placed, images: &Path) -> Outcome<Failure> {
    let commit = folder.commit(id).await?;
    let mut names = Vec::new();
    for image in placed.missing.iter().take(NAMED) {
        let row = commit.row(folder.objects(), image).await?;
        let name = row.as_ref().and_then(|row| row.name()).map(ToString::to_string);
        names.push(name.unwrap_or_else(|| image.to_string()));
    }
    let more = if placed.missing.len() > NAMED { ", …" } else { "" };
    let message = format!(
        "{} images are not in {} as they were uploaded: {}{more}; nothing was exported",
        placed.missing.len(),
        images.display(),
        names.join(", "),
    );
    Ok(Failure::new(Exit::NotFound, message))
}
