//! The tables in memory, held to the suite.

use lambel_memory::{MemoryDatasets, MemoryStore, conformance};

#[tokio::test]
async fn memory_conforms() {
    conformance::run(&MemoryStore::default()).await;
}

#[tokio::test]
async fn data_sets_in_memory_conform() {
    conformance::datasets(&MemoryDatasets::default()).await;
}
