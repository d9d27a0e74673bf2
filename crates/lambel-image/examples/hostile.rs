//! Prints what the bombs of the hostile corpus cost, and the most expensive pictures that are accepted. Run it with
//! `--release`.

use std::time::Instant;

use lambel_image::{Limits, inspect, preview};
use lambel_samples::{hostile, worst_accepted};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn main() {
    println!("{:<48} {:>9}  {:>22}  {:>22}", "file", "bytes", "inspection ms, MB", "preview ms, MB");
    let files = hostile();
    let (mut slowest, mut largest) = (0.0f64, 0.0f64);
    for file in &files {
        let is_bomb = file.name.starts_with("bomb") || file.name.starts_with("many");
        let [(ms, mb, outcome), _] = measured(&file.name, &file.bytes, is_bomb);
        if outcome != "accepted" {
            (slowest, largest) = (slowest.max(ms), largest.max(mb));
        }
    }
    println!("the most expensive refusal of all {} files: {slowest:.2} ms; {largest:.2} MB", files.len());
    drop(files);
    for (name, bytes) in worst_accepted() {
        measured(name, &bytes, true);
    }
    println!("highest resident memory of this process: {}", peak_of_process());
}

/// Milliseconds, megabytes beside the file, and the outcome: of an inspection and of a preview.
fn measured(name: &str, bytes: &[u8], print: bool) -> [(f64, f64, &'static str); 2] {
    let limits = Limits::default();
    let measure = |look: &dyn Fn() -> &'static str| {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let start = Instant::now();
        let outcome = look();
        (start.elapsed().as_secs_f64() * 1e3, (MEMORY.peak_usage() - before) as f64 / 1e6, outcome)
    };
    let both = [
        measure(&|| inspect(bytes, &limits).map_or_else(|refusal| refusal.code(), |_| "accepted")),
        measure(&|| preview(bytes, &limits).map_or_else(|refusal| refusal.code(), |_| "accepted")),
    ];
    if print {
        let [(ms, mb, outcome), (preview_ms, preview_mb, _)] = both;
        println!(
            "{name:<48} {:>9}  {ms:>12.2} {mb:>9.2}  {preview_ms:>12.2} {preview_mb:>9.2}  {outcome}",
            bytes.len()
        );
    }
    both
}

/// Where the system tells it.
fn peak_of_process() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("unknown").trim().to_owned()
}
