//! Which file each image of an import is.
//!
//! An address is held against the files by its end: of `s3://bucket/batch/cats/1.jpg` a file `cats/1.jpg` shares two
//! parts, `dogs/1.jpg` one. The file that shares most is the one; if several share as much, nobody can tell.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
};

use futures::{StreamExt, stream};
use lambel_core::ImageId;
use lambel_dataset::import::{ImportProblem, PlannedImage};
use percent_encoding::percent_decode_str;

use crate::{
    exit::Outcome,
    upload::{Found, HASHED_AT_ONCE, Scan, hash_file},
};

/// Files that are named where several fit.
const NAMED: usize = 3;

/// The pictures of an import.
#[derive(Debug)]
pub(super) struct Placed {
    /// The files, each once, by name.
    pub(super) files: Vec<Found>,
    /// The image behind each element, in the order of the plan.
    pub(super) images: Vec<ImageId>,
    /// How many different images they are.
    pub(super) distinct: u64,
}

/// What is wrong, and what to do about it.
pub(super) type Missing = (Vec<ImportProblem>, String);

/// Finds the file of each image, and reads what it is.
pub(super) async fn place(planned: &[PlannedImage], scan: Scan, dir: &Path) -> Outcome<Result<Placed, Missing>> {
    let files = Files::new(&scan);
    let mut problems = Vec::new();
    let mut problem = |number: u64, reason: String| problems.push(ImportProblem { number, reason });
    let mut places: Vec<Option<usize>> = Vec::with_capacity(planned.len());
    let mut by_hash = None;
    for image in planned {
        let found = files.find(&references(image));
        let place = match (found.as_slice(), image.image) {
            ([one], _) => Some(*one),
            // A name that nothing has here, but the bytes are known.
            (_, Some(id)) => {
                if by_hash.is_none() {
                    let all = hashed(&scan.files, (0..scan.files.len()).collect()).await.into_iter();
                    by_hash =
                        Some(all.filter_map(|(place, hash)| Some((hash.ok()?, place))).collect::<HashMap<_, _>>());
                }
                by_hash.as_ref().and_then(|known| known.get(&id)).copied()
            }
            _ => None,
        };
        match (place, found.as_slice()) {
            (Some(_), _) => {}
            (None, []) => problem(image.number, files.missing(image, &scan, dir)),
            (None, several) => {
                let names: Vec<_> = several.iter().take(NAMED).map(|n| scan.files[*n].name.to_string()).collect();
                let more = several.len().saturating_sub(names.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                problem(image.number, format!("{} can be any of {}{more}", image.uri, names.join(", ")));
            }
        }
        places.push(place);
    }

    // Two addresses and one file: one of the two is elsewhere, and would get the labels of the other.
    let mut first: HashMap<usize, u64> = HashMap::new();
    for (image, place) in planned.iter().zip(&places) {
        let Some(place) = place else { continue };
        if let Some(other) = first.insert(*place, image.number) {
            let name = &scan.files[*place].name;
            problem(image.number, format!("{} and element {other} both lead to the file {name}", image.uri));
        }
    }
    let wanted: BTreeSet<usize> = places.iter().flatten().copied().collect();
    let hashes: HashMap<usize, Result<ImageId, String>> =
        hashed(&scan.files, wanted.iter().copied().collect()).await.into_iter().collect();
    let mut images = Vec::with_capacity(planned.len());
    for (image, place) in planned.iter().zip(&places) {
        let Some(place) = place else { continue };
        let name = &scan.files[*place].name;
        match hashes.get(place) {
            Some(Ok(hash)) if image.image.is_some_and(|id| id != *hash) => {
                problem(image.number, format!("the file {name} is another picture than the one that was labelled"));
            }
            Some(Ok(hash)) => images.push(*hash),
            Some(Err(reason)) => problem(image.number, format!("the file {name} cannot be read: {reason}")),
            None => problem(image.number, format!("the file {name} was not read")),
        }
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.number);
        problems.dedup_by_key(|problem| problem.number);
        return Ok(Err((problems, advice(planned, &places, dir))));
    }
    let distinct = images.iter().collect::<HashSet<_>>().len() as u64;
    let files = scan.files.into_iter().enumerate().filter(|(place, _)| wanted.contains(place)).map(|(_, file)| file);
    Ok(Ok(Placed { files: files.collect(), images, distinct }))
}

/// Reads what files are, some at the same time.
async fn hashed(files: &[Found], places: Vec<usize>) -> Vec<(usize, Result<ImageId, String>)> {
    let read = places.into_iter().map(|place| {
        let path = files[place].path.clone();
        async move { (place, hash_file(path).await.map(|hash| hash.image).map_err(|error| error.to_string())) }
    });
    stream::iter(read.collect::<Vec<_>>()).buffered(HASHED_AT_ONCE).collect().await
}

/// What to do where pictures are missing that lie in S3.
fn advice(planned: &[PlannedImage], places: &[Option<usize>], dir: &Path) -> String {
    let missing = planned.iter().zip(places).filter(|(_, place)| place.is_none());
    let mut prefix: Option<&str> = None;
    for (image, _) in missing.filter(|(image, _)| image.uri.starts_with("s3://")) {
        let folder = image.uri.rsplit_once('/').map_or("", |(folder, _)| folder);
        let known = prefix.unwrap_or(folder);
        let same = known
            .split('/')
            .zip(folder.split('/'))
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len() + 1)
            .sum::<usize>();
        prefix = known.get(..same.saturating_sub(1).min(known.len()));
    }
    match prefix.filter(|prefix| prefix.len() > "s3://".len()) {
        Some(prefix) => {
            format!("; pictures in S3 have to be here first, for instance by `aws s3 sync {prefix} {}`", dir.display())
        }
        None => String::new(),
    }
}

/// Files by the last parts of their names.
struct Files<'a> {
    names: Vec<&'a str>,
    by_last: HashMap<&'a str, Vec<usize>>,
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl<'a> Files<'a> {
    fn new(scan: &'a Scan) -> Self {
        let names: Vec<&str> = scan.files.iter().map(|file| file.name.as_str()).collect();
        let mut by_last: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            by_last.entry(last(name)).or_default().push(place);
        }
        Self { names, by_last }
    }

    /// The files that the first of these paths leads to which leads to any.
    fn find(&self, paths: &[String]) -> Vec<usize> {
        let found = paths.iter().map(|path| self.best(path)).find(|found| !found.is_empty());
        found.unwrap_or_default()
    }

    /// The files whose names share the most parts with the end of a path, and at least the last.
    fn best(&self, path: &str) -> Vec<usize> {
        let Some(fitting) = self.by_last.get(last(path)) else { return Vec::new() };
        let shared = |name: &str| name.rsplit('/').zip(path.rsplit('/')).take_while(|(a, b)| a == b).count();
        let most = fitting.iter().map(|place| shared(self.names[*place])).max().unwrap_or(0);
        fitting.iter().copied().filter(|place| shared(self.names[*place]) == most).collect()
    }

    /// Why there is no file for an image.
    fn missing(&self, image: &PlannedImage, scan: &Scan, dir: &Path) -> String {
        let paths = references(image);
        let refused = scan.refused.iter().find(|file| paths.iter().any(|path| last(path) == last(&file.name)));
        match refused {
            Some(file) => format!("{} is there as {}, but {}", image.uri, file.name, file.detail),
            None => format!("{} is not in {}", image.uri, dir.display()),
        }
    }
}

/// The paths that an image may have: what its address says, then its names.
fn references(image: &PlannedImage) -> Vec<String> {
    let mut paths = paths_of(&image.uri);
    paths.extend(image.names.iter().map(ToString::to_string));
    paths
}

/// The paths that an address speaks of.
fn paths_of(uri: &str) -> Vec<String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut paths = Vec::new();
    if let Some(rest) = uri.strip_prefix("s3://") {
        // A key stands as it is, though some tools encode it.
        let key = rest.split_once('/').map_or(rest, |(_, key)| key);
        paths.extend([key.to_owned(), decoded(key)]);
    } else {
        let plain = uri.split('#').next().unwrap_or(uri);
        let (path, query) = plain.split_once('?').unwrap_or((plain, ""));
        // Files that Label Studio serves from its own disk: `/data/local-files/?d=cats/1.jpg`.
        paths.extend(query.split('&').filter_map(|part| part.strip_prefix("d=")).map(decoded));
        let path = path.split_once("://").map_or(path, |(_, rest)| rest.split_once('/').map_or(rest, |(_, path)| path));
        paths.extend([decoded(path), path.to_owned()]);
        // Files that were uploaded to Label Studio: it has put eight digits before their names.
        let name = last(path);
        if path.contains("/upload/")
            && let Some((digits, name)) = name.split_once('-')
            && digits.len() == 8
            && digits.bytes().all(|b| b.is_ascii_hexdigit())
        {
            paths.push(decoded(name));
        }
    }
    paths.retain(|path| !last(path).is_empty());
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    paths
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lambel_dataset::import::LabelStudio;
    use tempfile::TempDir;

    use super::*;
    use crate::upload::scan;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    fn planned(uris: &[&str]) -> Vec<PlannedImage> {
        let tasks: Vec<_> = uris.iter().map(|uri| serde_json::json!({"data": {"image": uri}})).collect();
        let json = serde_json::to_vec(&tasks).unwrap();
        LabelStudio::default().read(json.as_slice()).unwrap().accept().unwrap()
    }

    async fn placed(folder: &TempDir, planned: &[PlannedImage]) -> Result<Placed, Missing> {
        place(planned, scan(folder.path()).unwrap(), folder.path()).await.unwrap()
    }

    #[test]
    fn addresses_have_paths() {
        for (uri, paths) in [
            ("s3://b/cats/1%20a.jpg", &["cats/1%20a.jpg", "cats/1 a.jpg"][..]),
            ("https://h.org/x/1.jpg?X-Amz-Signature=a/b#c", &["x/1.jpg"]),
            (
                "/data/upload/83/0a1b2c3d-cat%20one.png",
                &["/data/upload/83/0a1b2c3d-cat one.png", "/data/upload/83/0a1b2c3d-cat%20one.png", "cat one.png"],
            ),
            ("/data/local-files/?d=cats%2F1.jpg", &["cats/1.jpg"]),
            ("gs://bucket/1.jpg", &["1.jpg"]),
            ("1.jpg", &["1.jpg"]),
        ] {
            assert_eq!(paths_of(uri), paths, "{uri}");
        }
    }

    #[tokio::test]
    async fn files_are_found_by_the_ends_of_addresses() {
        let folder = folder(&[("cats/1.jpg", "a"), ("dogs/1.jpg", "b"), ("up.png", "c"), ("other.png", "d")]);
        let uris = ["s3://b/batch/cats/1.jpg", "https://h/dogs/1.jpg?x", "/data/upload/7/0a1b2c3d-up.png"];
        let found = placed(&folder, &planned(&uris)).await.unwrap();
        let names: Vec<_> = found.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["cats/1.jpg", "dogs/1.jpg", "up.png"]);
        assert_eq!(found.images, [b"a", b"b", b"c"].map(|bytes| ImageId::of(bytes)));
        assert_eq!(found.distinct, 3);
    }

    #[tokio::test]
    async fn all_that_is_missing_or_doubtful_is_named() {
        let folder = folder(&[("cats/1.jpg", "a"), ("dogs/1.jpg", "b"), ("2.jpg", "c"), ("3.gif", "d")]);
        let uris = ["s3://b/x/1.jpg", "s3://b/x/y/9.jpg", "s3://b/x/z/2.jpg", "s3://b/x/2.jpg", "s3://b/x/3.gif"];
        let (problems, advice) = placed(&folder, &planned(&uris)).await.unwrap_err();
        let dir = folder.path().display();
        let said: Vec<_> = problems.iter().map(|problem| (problem.number, problem.reason.as_str())).collect();
        assert_eq!(said[0], (1, "s3://b/x/1.jpg can be any of cats/1.jpg, dogs/1.jpg"));
        assert_eq!(said[1], (2, format!("s3://b/x/y/9.jpg is not in {dir}").as_str()));
        assert_eq!(said[2], (4, "s3://b/x/2.jpg and element 3 both lead to the file 2.jpg"));
        assert!(said[3].0 == 5 && said[3].1.contains("is there as 3.gif, but the name does not end in"), "{said:?}");
        assert_eq!(said.len(), 4);
        assert!(advice.contains(&format!("`aws s3 sync s3://b/x {dir}`")), "{advice}");
    }

    #[tokio::test]
    async fn an_image_whose_bytes_are_known_is_found_by_them_and_is_no_other() {
        let folder = folder(&[("renamed.png", "a"), ("b.png", "changed")]);
        let known = |uri: &str, bytes: &str| {
            let mut image = planned(&[uri]).remove(0);
            image.image = Some(ImageId::of(bytes.as_bytes()));
            image
        };
        let found = placed(&folder, &[known("s3://b/a.png", "a")]).await.unwrap();
        assert_eq!(found.files[0].name.as_str(), "renamed.png");
        let (problems, _) = placed(&folder, &[known("s3://b/b.png", "b")]).await.unwrap_err();
        assert!(problems[0].reason.contains("another picture than the one that was labelled"), "{problems:?}");
    }
}
