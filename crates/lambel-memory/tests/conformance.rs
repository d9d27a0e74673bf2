//! The tables in memory, held to the suite.

use lambel_memory::{MemoryStore, conformance};

#[tokio::test]
async fn memory_conforms() {
    conformance::run(&MemoryStore::default()).await;
    conformance::quality::run(&MemoryStore::default()).await;
}
