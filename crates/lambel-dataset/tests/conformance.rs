//! The stores of this crate, held to the suite.

use lambel_dataset::{DirectoryObjectStore, MemoryObjectStore, MemoryRefs, conformance};

#[tokio::test]
async fn memory_conforms() {
    conformance::objects(&MemoryObjectStore::default()).await;
    conformance::refs(&MemoryRefs::default()).await;
}

#[tokio::test]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::objects(&DirectoryObjectStore::open(folder.path()).unwrap()).await;
}
