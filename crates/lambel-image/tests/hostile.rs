//! Every file of the project's hostile corpus gets its verdict, and nothing of a file's metadata gets out.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Instant;

use image::GenericImageView;
use lambel_image::{Limits, inspect, inspect_and_preview, preview, preview_needed};
use lambel_samples::{HostileFile, SECRET, Verdict, hostile};

static FILES: LazyLock<Vec<HostileFile>> = LazyLock::new(hostile);

fn holds_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

#[test]
fn the_corpus_is_large_and_no_file_comes_twice() {
    let (mut names, mut contents) = (HashSet::new(), HashSet::new());
    for file in FILES.iter() {
        assert!(names.insert(&file.name), "{} comes twice", file.name);
        assert!(contents.insert(&file.bytes), "{} is the same as another", file.name);
        assert!(file.bytes.len() <= 2_000_000, "{} has {} bytes", file.name, file.bytes.len());
    }
    let refused = FILES.iter().filter(|file| matches!(file.verdict, Verdict::Refused(_))).count();
    assert!(refused > 100 && FILES.len() - refused > 100, "{refused} of {}", FILES.len());
}

#[test]
fn every_file_gets_its_verdict() {
    let limits = Limits::default();
    let mut wrong = Vec::new();
    let slow = std::env::var_os("SLOWEST").is_some();
    for file in FILES.iter() {
        let start = Instant::now();
        let found = match inspect(&file.bytes, &limits) {
            Ok(found) => Ok((found.width, found.height, preview_needed(&found, file.bytes.len() as u64))),
            Err(refusal) => Err(refusal),
        };
        let expected = match file.verdict {
            Verdict::Accepted { width, height, preview } => Ok((width, height, preview)),
            Verdict::Refused(code) => Err(code),
        };
        if found.as_ref().map_err(|refusal| refusal.code()) != expected.as_ref().map_err(|code| *code) {
            wrong.push(format!("{}: {expected:?} expected, {found:?} found", file.name));
        }
        // Whoever makes a preview must come to the same conclusion.
        let shown = preview(&file.bytes, &limits).map_err(|refusal| refusal.code());
        if shown.as_ref().err() != found.as_ref().map_err(|refusal| refusal.code()).err().as_ref() {
            wrong.push(format!("{}: {found:?}, but the preview: {:?}", file.name, shown.err()));
        }
        if slow {
            println!("{:>8.1} ms {}", start.elapsed().as_secs_f64() * 1e3, file.name);
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), FILES.len(), wrong.join("\n"));
}

#[test]
fn nothing_of_a_file_but_its_picture_is_shown() {
    let limits = Limits::default();
    let mut with_secret = 0;
    for file in FILES.iter() {
        let Verdict::Accepted { width, height, preview } = file.verdict else { continue };
        let (found, shown) = inspect_and_preview(&file.bytes, &limits).unwrap();
        assert_eq!(shown.is_some(), preview, "{}", file.name);
        with_secret += usize::from(holds_secret(&file.bytes));
        let bytes = match &shown {
            Some(shown) => {
                let again = inspect(&shown.bytes, &limits).unwrap();
                assert_eq!(
                    (again.has_metadata, again.trailing_bytes, again.orientation),
                    (false, 0, 1),
                    "{}",
                    file.name
                );
                assert_eq!((again.width, again.height), (shown.width, shown.height), "{}", file.name);
                assert!(!preview_needed(&again, 0), "{}", file.name);
                let scale = f64::from(width.max(height)).max(2048.0) / 2048.0;
                for (shown, full) in [(shown.width, width), (shown.height, height)] {
                    let expected = (f64::from(full) / scale).round().max(1.0);
                    assert!((f64::from(shown) - expected).abs() <= 1.0, "{}: {shown}, not {expected}", file.name);
                }
                &shown.bytes
            }
            None => {
                assert_eq!((found.has_metadata, found.trailing_bytes, found.orientation), (false, 0, 1));
                &file.bytes
            }
        };
        assert!(!holds_secret(bytes), "{}: the secret is out", file.name);
        // What is shown can be shown: by a decoder that is not asked by us how it does it.
        let picture = image::load_from_memory(bytes).unwrap_or_else(|error| panic!("{}: {error}", file.name));
        if shown.is_none() {
            assert_eq!(picture.dimensions(), (width, height), "{}", file.name);
        }
    }
    assert!(with_secret > 40, "only {with_secret} files carry the secret");
}
