//! Any bytes at all, through everything that looks at an upload. See the README beside for how to run it.

#![no_main]

use lambel_image::{Limits, Refusal, inspect, inspect_and_preview, preview, preview_needed};
use libfuzzer_sys::fuzz_target;

/// Small limits, so that the fuzzer sees many files rather than large ones.
const LIMITS: Limits = Limits { bytes: 100_000, pixels: 250_000, side: 3_000, memory: 50_000_000 };

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    // A changed byte makes the checksum wrong, and nothing behind it is looked at. So PNG come a second time, mended.
    if let Some(mended) = mended(bytes) {
        look(&mended);
    }
});

/// A decoder's panic is a refusal in the service, since nothing may take its neighbours along. Here it ends the
/// program, before anybody catches it: it is a finding.
fn look(bytes: &[u8]) {
    let inspected = inspect(bytes, &LIMITS);
    let both = inspect_and_preview(bytes, &LIMITS);
    match (&inspected, &both) {
        (Ok(inspected), Ok((again, shown))) => {
            assert_eq!(
                (inspected.format, inspected.width, inspected.height),
                (again.format, again.width, again.height)
            );
            assert_eq!(preview_needed(inspected, bytes.len() as u64), shown.is_some());
            // Whoever looks only at the preview comes to the same conclusion.
            let shown = match shown {
                Some(shown) => shown,
                None => &preview(bytes, &LIMITS).expect("what is accepted can be shown"),
            };
            let clean = inspect(&shown.bytes, &LIMITS).expect("a preview is a good picture");
            assert_eq!((clean.width, clean.height), (shown.width, shown.height));
            assert!(!preview_needed(&clean, 0), "a preview needs a preview: {clean:?}");
        }
        (Err(_), Err(_)) => {}
        // Colour needs more memory than a check.
        (Ok(_), Err(Refusal::TooMuchMemory { .. })) => {}
        _ => panic!("inspected: {inspected:?}, inspected and previewed: {:?}", both.map(|both| both.0)),
    }
}

/// A PNG with the right checksums.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return None;
    }
    let mut mended = bytes.to_vec();
    let mut at = 8;
    while let Some(length) = mended.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let Some(chunk) = mended.get(at + 4..(at + 8).checked_add(length)?) else { break };
        let checksum = crc32fast::hash(chunk).to_be_bytes();
        at += 8 + length;
        let Some(place) = mended.get_mut(at..at + 4) else { break };
        place.copy_from_slice(&checksum);
        at += 4;
    }
    Some(mended)
}
