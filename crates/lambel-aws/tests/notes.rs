//! Notes of versions on DynamoDB, held to the suite, on the local cloud.

use lambel_aws::{Aws, DynamoStore, setting};
use lambel_memory::conformance;

#[tokio::test]
async fn notes_on_dynamodb_conform() {
    let cloud = setting("LAMBEL_CLOUD").expect("`cargo xtask test` starts the local cloud that this test needs");
    let cloud = std::fs::read_to_string(cloud).expect("the file that describes the local cloud");
    let cloud: serde_json::Value = serde_json::from_str(&cloud).expect("JSON");
    let name = |key: &str| cloud[key].as_str().expect("a name").to_owned();
    let aws = Aws::from_env().await;
    conformance::notes(&DynamoStore::new(&aws, name("tasks_table_name"), name("subtasks_table_name"))).await;
}
