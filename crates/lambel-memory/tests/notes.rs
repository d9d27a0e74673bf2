//! The notes of versions in memory, held to the suite.

use lambel_memory::{MemoryNotes, conformance};

#[tokio::test]
async fn notes_in_memory_conform() {
    conformance::notes(&MemoryNotes::default()).await;
}
