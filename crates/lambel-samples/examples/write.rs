//! Writes the sample set into a folder and says how quickly tiny pictures can be made: `write FOLDER [SEED]`.

use std::path::Path;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "samples".to_owned());
    let seed = arguments.next().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let start = Instant::now();
    let set = lambel_samples::write_sample_set(Path::new(&folder), seed)?;
    println!("{} files in {folder} in {:.1?}; refused: {:?}", set.files(), start.elapsed(), set.refused);
    let start = Instant::now();
    let bytes: usize = lambel_samples::numbered(10_000, seed).map(|(_, bytes)| bytes.len()).sum();
    let per_second = 10_000.0 / start.elapsed().as_secs_f64();
    println!("{per_second:.0} numbered pictures a second, {} bytes each", bytes / 10_000);
    Ok(())
}
