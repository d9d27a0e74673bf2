//! What holds data, opens a door or may fail.

use serde_json::{Value, json};

use super::{Resource, Template, list, name};

/// What is handed to these may be lost, and why that is right.
///
/// `TaskNewsQueue` is for the client's side to listen to. Nobody here reads it, so nothing in it can fail and die.
const NO_DEAD_LETTERS: [&str; 2] = ["TaskNewsQueue", "TaskNewsSubscription"];

/// All that the gateway may write down of a request. No token, no query string (cursors and signatures are nobody's
/// business), no address of a caller.
const LOGGED: [&str; 12] = [
    "requestId",
    "requestTime",
    "routeKey",
    "path",
    "status",
    "responseLength",
    "responseLatency",
    "integrationLatency",
    "integrationErrorMessage",
    "authorizer.claims.sub",
    "authorizer.error",
    "error.message",
];

/// Words that a name has which stands for a secret.
const SECRET: [&str; 5] = ["secret", "password", "token", "credential", "private"];

/// Dead letters are kept as long as SQS can: somebody has to look at them.
const DEAD_LETTERS_SECONDS: u64 = 14 * 24 * 3_600;

/// As short as a password may be set to be.
const PASSWORD_CHARACTERS: u64 = 12;

pub(super) fn problems(template: &Template) -> Vec<String> {
    let mut problems = Vec::new();
    kept(template, &mut problems);
    buckets(template, &mut problems);
    queues(template, &mut problems);
    sources(template, &mut problems);
    topics(template, &mut problems);
    functions(template, &mut problems);
    secrets(template, &mut problems);
    gateway(template, &mut problems);
    accounts(template, &mut problems);
    problems
}

/// What holds people's work outlives the stack, and mistakes. DynamoDB encrypts every table, asked or not.
fn kept(template: &Template, problems: &mut Vec<String>) {
    for kind in ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Cognito::UserPool"] {
        for (table, resource) in template.all(kind) {
            if resource.deletion_policy.as_deref() != Some("Retain") {
                problems.push(format!("{table}: deleted with the stack"));
            }
        }
    }
    for (table, resource) in template.all("AWS::DynamoDB::Table") {
        if resource.at("/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled") != true {
            problems.push(format!("{table}: no point-in-time recovery"));
        }
    }
}

fn buckets(template: &Template, problems: &mut Vec<String>) {
    for (bucket, resource) in template.all("AWS::S3::Bucket") {
        let mut wrong = |what: &str| problems.push(format!("{bucket}: {what}"));
        let blocked = ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"];
        if blocked.iter().any(|block| resource.at("/PublicAccessBlockConfiguration")[block] != true) {
            wrong("public access is not blocked");
        }
        let encryption = "/BucketEncryption/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault";
        if resource.at(encryption)["SSEAlgorithm"].is_null() {
            wrong("not encrypted");
        }
        if resource.at("/OwnershipControls/Rules/0/ObjectOwnership") != "BucketOwnerEnforced" {
            wrong("access lists are not switched off");
        }
        // Previews can be made again.
        if bucket != "PreviewsBucket" && resource.at("/VersioningConfiguration/Status") != "Enabled" {
            wrong("no versions");
        }
        let rules = list(resource.at("/LifecycleConfiguration/Rules"));
        let days = |rule: &&&Value| rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"].is_u64();
        if !rules.iter().filter(|rule| rule["Status"] == "Enabled").any(|rule| days(&rule)) {
            wrong("unfinished uploads stay for ever");
        }
        // Only who owns the stack deletes what people have uploaded, and versions. Exports can be made again.
        let of_exports = |rule: &&Value| rule["Prefix"].as_str().is_some_and(|prefix| prefix.starts_with("exports/"));
        let mut kept = rules.iter().copied().filter(|rule| bucket != "DatasetBucket" || !of_exports(rule));
        let expires = |rule: &Value| ["ExpirationInDays", "ExpirationDate"].iter().any(|key| !rule[key].is_null());
        if kept.any(expires) {
            wrong("files expire");
        }
        if !template.all("AWS::S3::BucketPolicy").any(|(_, policy)| refuses_plain_http(policy, bucket)) {
            wrong("no policy that refuses plain HTTP");
        }
        cors(bucket, resource, problems);
    }
    if template.parameters.get("RequireTls").is_none_or(|parameter| parameter["Default"] != "true") {
        problems.push("RequireTls: plain HTTP is refused only where somebody asks for it".to_owned());
    }
}

fn refuses_plain_http(policy: &Resource, bucket: &str) -> bool {
    let refuses = |statement: &&Value| {
        let resources: Vec<String> = list(&statement["Resource"]).into_iter().map(name).collect();
        statement["Effect"] == "Deny"
            && statement["Principal"] == "*"
            && statement["Action"] == "s3:*"
            && resources == [bucket.to_owned(), format!("{bucket}/*")]
            && statement["Condition"] == json!({"Bool": {"aws:SecureTransport": false}})
    };
    name(policy.at("/Bucket")) == bucket
        && policy.condition.as_deref().is_none_or(|condition| condition == "RequiresTls")
        && list(policy.at("/PolicyDocument/Statement")).iter().any(refuses)
}

/// Pages may read, and clients' pages upload, from the API's own origin and from no other.
fn cors(bucket: &str, resource: &Resource, problems: &mut Vec<String>) {
    let methods: &[&str] = if bucket == "UploadsBucket" { &["PUT", "GET"] } else { &["GET"] };
    let rules = list(resource.at("/CorsConfiguration/CorsRules"));
    // No page reads a data set.
    if rules.is_empty() && bucket != "DatasetBucket" {
        problems.push(format!("{bucket}: no CORS for the pages"));
    }
    for rule in rules {
        for origin in list(&rule["AllowedOrigins"]).into_iter().map(name).filter(|origin| origin != "Api.ApiEndpoint") {
            problems.push(format!("{bucket}: CORS for {origin}"));
        }
        for method in list(&rule["AllowedMethods"]).into_iter().map(name) {
            if !methods.contains(&method.as_str()) {
                problems.push(format!("{bucket}: CORS allows {method}"));
            }
        }
        if list(&rule["AllowedHeaders"]).into_iter().map(name).any(|header| header.contains('*')) {
            problems.push(format!("{bucket}: CORS allows whatever header"));
        }
    }
}

fn queues(template: &Template, problems: &mut Vec<String>) {
    let dead_letters = dead_letters(template);
    for (queue, resource) in template.all("AWS::SQS::Queue") {
        let mut wrong = |what: &str| problems.push(format!("{queue}: {what}"));
        if resource.at("/SqsManagedSseEnabled") != true {
            wrong("not encrypted");
        }
        if dead_letters.iter().any(|dead| dead == queue) {
            if resource.at("/MessageRetentionPeriod") != DEAD_LETTERS_SECONDS {
                wrong("kept for less than 14 days");
            }
            let watched = format!("{queue}.QueueName");
            let watches = |alarm: &Resource| name(alarm.at("/Dimensions/0/Value")) == watched;
            if !template.all("AWS::CloudWatch::Alarm").any(|(_, alarm)| watches(alarm)) {
                wrong("no alarm");
            }
        } else if resource.at("/RedrivePolicy/deadLetterTargetArn").is_null() && !NO_DEAD_LETTERS.contains(&queue) {
            wrong("no dead-letter queue");
        }
    }
    for (policy, resource) in template.all("AWS::SQS::QueuePolicy") {
        for statement in list(resource.at("/PolicyDocument/Statement")) {
            let condition = statement["Condition"].to_string();
            if !["aws:SourceArn", "aws:SourceAccount"].iter().any(|key| condition.contains(key)) {
                problems.push(format!("{policy}: for whatever account"));
            }
            if statement["Principal"]["Service"].is_null() || statement["Action"] != "sqs:SendMessage" {
                problems.push(format!("{policy}: more than a service that sends"));
            }
        }
    }
}

/// The queues for what could not be dealt with: of other queues, of subscriptions and of streams.
fn dead_letters(template: &Template) -> Vec<String> {
    let targets = template.resources.values().flat_map(|resource| {
        [resource.at("/RedrivePolicy/deadLetterTargetArn"), resource.at("/DestinationConfig/OnFailure/Destination")]
    });
    targets.filter(|target| !target.is_null()).map(name).collect()
}

/// What calls functions with batches.
fn sources(template: &Template, problems: &mut Vec<String>) {
    for (source, resource) in template.all("AWS::Lambda::EventSourceMapping") {
        if name(resource.at("/EventSourceArn")).ends_with(".StreamArn") {
            if resource.at("/DestinationConfig/OnFailure/Destination").is_null() {
                problems.push(format!("{source}: no dead-letter queue"));
            }
        } else if *resource.at("/FunctionResponseTypes") != json!(["ReportBatchItemFailures"]) {
            problems.push(format!("{source}: one bad message brings its whole batch back"));
        }
    }
}

fn topics(template: &Template, problems: &mut Vec<String>) {
    for (topic, _) in template.all("AWS::SNS::Topic") {
        let account = "arn:AWS::Partition:iam::AWS::AccountId:root";
        let ours = |policy: &Resource| {
            list(policy.at("/Topics")).into_iter().map(name).eq([topic.to_owned()])
                && list(policy.at("/PolicyDocument/Statement")).into_iter().all(|statement| {
                    name(&statement["Principal"]["AWS"]) == account && statement["Action"] == "sns:Publish"
                })
        };
        if !template.all("AWS::SNS::TopicPolicy").any(|(_, policy)| ours(policy)) {
            problems.push(format!("{topic}: no policy that leaves it to everybody's own rights"));
        }
    }
    for (subscription, resource) in template.all("AWS::SNS::Subscription") {
        let dead_letters = resource.at("/RedrivePolicy/deadLetterTargetArn");
        if dead_letters.is_null() && !NO_DEAD_LETTERS.contains(&subscription) {
            problems.push(format!("{subscription}: no dead-letter queue"));
        }
    }
}

fn functions(template: &Template, problems: &mut Vec<String>) {
    for (group, resource) in template.all("AWS::Logs::LogGroup") {
        if resource.at("/RetentionInDays").is_null() {
            problems.push(format!("{group}: kept for ever"));
        }
    }
    for (function, resource) in template.all("AWS::Lambda::Function") {
        let group = name(resource.at("/LoggingConfig/LogGroup"));
        if group != format!("{function}Logs") || !template.resources.contains_key(&group) {
            problems.push(format!("{function}: no log group of its own"));
        }
    }
}

/// Nothing in the template is a secret: functions have rights, people have passwords that only Cognito knows, and the
/// secrets of webhooks are in their table.
fn secrets(template: &Template, problems: &mut Vec<String>) {
    let secret = |text: &str| SECRET.iter().any(|word| text.to_lowercase().contains(word));
    for (function, resource) in template.all("AWS::Lambda::Function") {
        for (variable, value) in resource.at("/Environment/Variables").as_object().into_iter().flatten() {
            let plain = value.as_str().is_some_and(|text| text.parse::<f64>().is_err());
            if secret(variable) || plain {
                problems
                    .push(format!("{function}: the variable {variable} is neither a name, an address nor a number"));
            }
        }
    }
    for (output, value) in &template.outputs {
        if secret(output) || secret(&value.to_string()) {
            problems.push(format!("the output {output} looks like a secret"));
        }
    }
    for (parameter, value) in &template.parameters {
        if secret(parameter) || !value["NoEcho"].is_null() {
            problems.push(format!("the parameter {parameter} looks like a secret"));
        }
    }
}

fn gateway(template: &Template, problems: &mut Vec<String>) {
    for (route, resource) in template.all("AWS::ApiGatewayV2::Route") {
        let open = resource.at("/AuthorizationType") != "JWT" || resource.at("/AuthorizerId").is_null();
        if open && resource.at("/RouteKey") != "$default" {
            problems.push(format!("{route}: open to everybody"));
        }
    }
    for (stage, resource) in template.all("AWS::ApiGatewayV2::Stage") {
        let limits = ["ThrottlingRateLimit", "ThrottlingBurstLimit"];
        if limits.iter().any(|limit| resource.at("/DefaultRouteSettings")[limit].is_null()) {
            problems.push(format!("{stage}: no limit of requests"));
        }
        let format = resource.at("/AccessLogSettings/Format").as_str().unwrap_or_default();
        if format.is_empty() {
            problems.push(format!("{stage}: no access log"));
        }
        for variable in format.split("$context.").skip(1) {
            let end = variable.find(|letter: char| !letter.is_alphanumeric() && letter != '.');
            let variable = &variable[..end.unwrap_or(variable.len())];
            if !LOGGED.contains(&variable) {
                problems.push(format!("{stage}: logs $context.{variable}"));
            }
        }
    }
}

fn accounts(template: &Template, problems: &mut Vec<String>) {
    for (pool, resource) in template.all("AWS::Cognito::UserPool") {
        if resource.at("/AdminCreateUserConfig/AllowAdminCreateUserOnly") != true {
            problems.push(format!("{pool}: whoever comes can make an account"));
        }
        let length = resource.at("/Policies/PasswordPolicy/MinimumLength").as_u64();
        if length.is_none_or(|length| length < PASSWORD_CHARACTERS) {
            problems.push(format!("{pool}: short passwords"));
        }
    }
}
