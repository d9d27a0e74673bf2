//! `draw-samples DIR [SEED]`: writes the sample set into a folder.

use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args_os().skip(1);
    let dir = words.next().map(PathBuf::from).ok_or("usage: draw-samples DIR [SEED]")?;
    let seed = words.next().map_or(Ok(1), |word| word.to_string_lossy().parse())?;
    let set = lambel_samples::write_sample_set(&dir, seed)?;
    println!("{} files in {}", set.files(), set.folder.display());
    Ok(())
}
