//! The tables in memory, held to the suite.

use lambel_memory::{MemoryDatasets, MemoryStore, MemoryWebhooks, conformance};

#[tokio::test]
async fn memory_conforms() {
    let store = MemoryStore::default();
    conformance::run(&store).await;
    conformance::run_imports(&MemoryStore::default()).await;
    conformance::quality::run(&MemoryStore::default()).await;
    conformance::run_gold(&store, &store).await;
}

#[tokio::test]
async fn webhooks_in_memory_conform() {
    conformance::run_webhooks(&MemoryWebhooks::default()).await;
}

#[tokio::test]
async fn data_sets_in_memory_conform() {
    conformance::datasets(&MemoryDatasets::default()).await;
}
