//! Writes the files of the hostile corpus that are small enough for the fuzzer's limits.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new("corpus/picture");
    std::fs::create_dir_all(folder)?;
    let files = lambel_samples::hostile();
    let small: Vec<_> = files.iter().filter(|file| file.bytes.len() <= 20_000).collect();
    for file in &small {
        std::fs::write(folder.join(&file.name), &file.bytes)?;
    }
    println!("{} files in {}", small.len(), folder.display());
    Ok(())
}
