//! The tables in memory, held to the suite.

use lambel_memory::{MemoryStore, conformance};

#[tokio::test]
async fn memory_conforms() {
    let store = MemoryStore::default();
    conformance::run(&store).await;
    conformance::run_gold(&store, &store).await;
}
