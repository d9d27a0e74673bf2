//! What the refusal of a bomb costs. Alone in its program, since it counts the memory of all of it.

use std::time::{Duration, Instant};

use lambel_image::{Limits, inspect, preview};
use lambel_samples::{Verdict, hostile};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Far more than it takes, for slow machines and builds that are not optimised. It takes milliseconds.
const TIME: Duration = Duration::from_secs(2);
const BYTES: usize = 4_000_000;

#[test]
fn bombs_are_refused_for_next_to_nothing() {
    let limits = Limits::default();
    let mut bombs = 0;
    let files = hostile();
    for file in &files {
        let Verdict::Refused(code) = file.verdict else { continue };
        bombs += usize::from(file.name.starts_with("bomb"));
        for (way, look) in [
            ("inspection", (|bytes, limits| inspect(bytes, limits).map(drop)) as fn(&[u8], &Limits) -> _),
            ("preview", |bytes, limits| preview(bytes, limits).map(drop)),
        ] {
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            let start = Instant::now();
            let refusal = look(&file.bytes, &limits).expect_err("a hostile file");
            let (time, peak) = (start.elapsed(), MEMORY.peak_usage() - before);
            assert_eq!(refusal.code(), code, "{}", file.name);
            assert!(time < TIME, "{way} of {} took {time:?}", file.name);
            assert!(peak < BYTES, "{way} of {} took {peak} bytes", file.name);
        }
    }
    assert!(bombs >= 10, "only {bombs} bombs");
}
