//! The ports of exports in memory, held to the suite.

use lambel_memory::{MemoryExportFiles, MemoryExports, conformance};

#[tokio::test]
async fn memory_conforms() {
    conformance::exports(&MemoryExports::default()).await;
    conformance::export_files(&MemoryExportFiles::default()).await;
}
