//! What a file is: the SHA-256 of its bytes, read a piece at a time.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use lambel_core::{ImageId, limits};
use sha2::{Digest, Sha256};

/// Files read at the same time.
pub(crate) const HASHED_AT_ONCE: usize = 4;
/// Bytes read at a time.
const PIECE: usize = 256 * 1_024;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHash {
    pub(crate) image: ImageId,
    /// Its length, as it was read.
    pub(crate) bytes: u64,
}

/// Reads a file, on a thread where waiting for a disk is in nobody's way.
pub(crate) async fn hash_file(path: PathBuf) -> io::Result<FileHash> {
    tokio::task::spawn_blocking(move || hash(File::open(path)?)).await.map_err(io::Error::other)?
}

fn hash(file: impl Read) -> io::Result<FileHash> {
    // A byte more than the limit tells a file that is over it.
    let mut file = file.take(limits::IMAGE_BYTES + 1);
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&piece[..n]);
                bytes += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(FileHash { image: ImageId::from_digest(hasher.finalize().into()), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashing_by_pieces_is_hashing() {
        let bytes = vec![7; PIECE * 2 + 1];
        assert_eq!(hash(&*bytes).unwrap(), FileHash { image: ImageId::of(&bytes), bytes: bytes.len() as u64 });
    }
}
