//! What must be true of the template, whatever else changes in it: the rights of the functions are those of
//! `docs/rights.md`, and what holds data or opens a door is as safe as we say.
//!
//! The local cloud cannot show all of this: it drops lifecycle rules and never bills anybody. So the template itself
//! is looked at, as CloudFormation sees it after the SAM transform.

mod properties;
mod rights;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::cloud::REGION;
use crate::instance::root;
use crate::python::Venv;
use crate::step::read;

/// Where the rights are explained.
const RIGHTS: &str = "docs/rights.md";

/// The template as CloudFormation sees it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    parameters: BTreeMap<String, Value>,
    resources: BTreeMap<String, Resource>,
    outputs: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    properties: Value,
    condition: Option<String>,
    deletion_policy: Option<String>,
}

impl Template {
    /// The resources of one type.
    fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Resource)> {
        let of_kind = self.resources.iter().filter(move |(_, resource)| resource.kind == kind);
        of_kind.map(|(name, resource)| (name.as_str(), resource))
    }
}

impl Resource {
    /// A property by its path, such as `/RedrivePolicy/maxReceiveCount`; `Null` if it is not set.
    fn at(&self, path: &str) -> &Value {
        self.properties.pointer(path).unwrap_or(&Value::Null)
    }
}

/// Expands the template. Takes half a second.
pub(crate) fn expand() -> Result<String> {
    let mut command = Command::new(Venv::Tools.bin("python"));
    command.arg(root().join("localstack").join("expand.py")).arg(root().join("template.yaml"));
    read(command.env("AWS_DEFAULT_REGION", REGION)).context("failed to expand the template")
}

/// All that is wrong with an expanded template.
pub(crate) fn problems(expanded: &str) -> Result<Vec<String>> {
    let table = root().join(RIGHTS);
    let table = fs::read_to_string(&table).with_context(|| format!("failed to read {}", table.display()))?;
    let value = serde_json::from_str(expanded).context("failed to read the expanded template")?;
    problems_of(value, &table)
}

fn problems_of(template: Value, table: &str) -> Result<Vec<String>> {
    let template: Template = serde_json::from_value(template).context("the expanded template is no template")?;
    let mut problems = rights::problems(&template, table)?;
    problems.extend(properties::problems(&template));
    Ok(problems)
}

/// Keeps the expanded template for tools that read a file.
pub(crate) fn write(expanded: &str, path: &Path) -> Result<()> {
    fs::write(path, expanded).with_context(|| format!("failed to write {}", path.display()))
}

/// What a reference points to, in short: `X` for the name or the ARN of resource `X`, `X.Y` for another attribute.
/// Text around references stays.
fn name(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    if let Some(name) = value["Ref"].as_str() {
        return name.to_owned();
    }
    match &value["Fn::GetAtt"] {
        Value::Array(parts) => {
            return without_arn(&parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("."));
        }
        Value::String(path) => return without_arn(path),
        _ => {}
    }
    let Some(mut rest) = value["Fn::Sub"].as_str() else { return value.to_string() };
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, after) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(&without_arn(reference));
        rest = after;
    }
    text + rest
}

fn without_arn(path: &str) -> String {
    path.strip_suffix(".Arn").unwrap_or(path).to_owned()
}

/// What may be one value or a list of them.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use serde_json::json;

    use super::*;

    /// The template and the table as they are, read once for all tests.
    fn real() -> (Value, String) {
        static REAL: OnceLock<(Value, String)> = OnceLock::new();
        let read = || {
            Venv::Tools.install().expect("the tools install");
            let expanded = expand().expect("the template expands");
            let table = fs::read_to_string(root().join(RIGHTS)).expect("the table is there");
            (serde_json::from_str(&expanded).expect("JSON"), table)
        };
        REAL.get_or_init(read).clone()
    }

    #[test]
    fn references_have_short_names() {
        for (value, short) in [
            (json!("plain"), "plain"),
            (json!({"Ref": "Topic"}), "Topic"),
            (json!({"Fn::GetAtt": ["Table", "Arn"]}), "Table"),
            (json!({"Fn::GetAtt": ["Table", "StreamArn"]}), "Table.StreamArn"),
            (json!({"Fn::Sub": "${Table.Arn}/index/open"}), "Table/index/open"),
            (json!({"Fn::Sub": "a:${AWS::Region}:${Api}/*"}), "a:AWS::Region:Api/*"),
        ] {
            assert_eq!(name(&value), short);
        }
    }

    #[test]
    fn the_template_is_in_order() {
        let (template, table) = real();
        assert_eq!(problems_of(template, &table).expect("readable"), [""; 0]);
    }

    /// Each change makes the template or the table worse in one way. Each must be seen.
    #[test]
    fn whatever_gets_worse_is_seen() {
        let (template, table) = real();
        for (what, path, value, problem) in worse() {
            let mut changed = template.clone();
            let (parent, last) = path.rsplit_once('/').expect("a path");
            match changed.pointer_mut(parent).unwrap_or_else(|| panic!("{path} is gone")) {
                Value::Object(map) if value.is_null() => drop(map.remove(last).unwrap_or_else(|| panic!("{path}"))),
                Value::Object(map) => drop(map.insert(last.to_owned(), value)),
                Value::Array(items) => items.push(value),
                other => panic!("{path}: {other}"),
            }
            let problems = problems_of(changed, &table).expect("readable");
            assert!(problems.iter().any(|found| found.contains(problem)), "{what}: {problems:#?}");
        }
    }

    #[test]
    fn whatever_gets_worse_in_the_table_is_seen() {
        let (template, table) = real();
        for (what, old, new, problem) in [
            (
                "a right too few",
                "`dynamodb:GetItem` `dynamodb:BatchGetItem` `dynamodb:Query` | | shows",
                "`dynamodb:GetItem` | | shows",
                "may `dynamodb:Query` on `TasksTable`, which docs/rights.md does not know",
            ),
            (
                "a right too many",
                "| `s3:PutObject` | | signs",
                "| `s3:PutObject` `s3:GetObject` | | signs",
                "has no `s3:GetObject` on `UploadsBucket/*`, which docs/rights.md promises",
            ),
            (
                "another condition",
                "`dynamodb:LeadingKeys` `ACTIVE`",
                "`dynamodb:LeadingKeys` `OTHER`",
                "may `dynamodb:DeleteItem` on `TasksTable`, if",
            ),
            ("a condition that is not used", "| `closing` | `For", "| `other` | `For", "no condition `closing`"),
            (
                "a wildcard not explained",
                "| `UploadsBucket/*` | an",
                "| `OtherBucket/*` | an",
                "`UploadsBucket/*` has a wildcard that docs/rights.md does not explain",
            ),
            (
                "a wildcard that is not there",
                "| `UploadsBucket/*` | an",
                "| `OtherBucket/*` | an",
                "explains the wildcard `OtherBucket/*`, which no role has",
            ),
        ] {
            assert!(table.contains(old), "{what}: the table has changed");
            let problems = problems_of(template.clone(), &table.replacen(old, new, 1))
                .unwrap_or_else(|error| vec![format!("{error:#}")]);
            assert!(problems.iter().any(|found| found.contains(problem)), "{what}: {problems:#?}");
        }
    }

    /// What gets worse, where, how (null takes a property away, and what goes into a list is added), and how the
    /// problem is told.
    fn worse() -> Vec<(&'static str, &'static str, Value, &'static str)> {
        let statement = "/Resources/OperatorApiRole/Properties/Policies/0/PolicyDocument/Statement/-";
        let allow = |action: &str, resource: &str| json!({"Effect": "Allow", "Action": action, "Resource": {"Fn::GetAtt": [resource, "Arn"]}});
        vec![
            (
                "a right more",
                statement,
                allow("dynamodb:DeleteItem", "SubtasksTable"),
                "OperatorApi may `dynamodb:DeleteItem` on `SubtasksTable`",
            ),
            ("a wildcard action", statement, allow("dynamodb:*", "TasksTable"), "wildcard in the action `dynamodb:*`"),
            (
                "a wildcard resource",
                statement,
                json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}),
                "`*` has a wildcard",
            ),
            ("all but", statement, json!({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}), "NotAction"),
            (
                "a right fewer",
                "/Resources/OperatorApiRole/Properties/Policies/0/PolicyDocument/Statement",
                json!([]),
                "OperatorApi has no `dynamodb:Query`",
            ),
            (
                "a managed policy",
                "/Resources/TaskApiRole/Properties/ManagedPolicyArns",
                json!(["arn:aws:iam::aws:policy/AdministratorAccess"]),
                "managed policies",
            ),
            (
                "a shared role",
                "/Resources/TaskApi/Properties/Role",
                json!({"Fn::GetAtt": ["OperatorApiRole", "Arn"]}),
                "share the role",
            ),
            (
                "a role that others can take",
                "/Resources/TaskApiRole/Properties/AssumeRolePolicyDocument/Statement",
                json!([{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]),
                "TaskApiRole can be assumed by",
            ),
            (
                "a policy outside of roles",
                "/Resources/Extra",
                json!({"Type": "AWS::IAM::ManagedPolicy"}),
                "Extra: rights are given in roles only",
            ),
            (
                "a function URL",
                "/Resources/Extra",
                json!({"Type": "AWS::Lambda::Url"}),
                "Extra: a function has no address of its own",
            ),
            (
                "a call from anywhere",
                "/Resources/TaskApiPermission/Properties/SourceArn",
                json!(null),
                "TaskApiPermission: no SourceArn",
            ),
            (
                "a public bucket",
                "/Resources/UploadsBucket/Properties/PublicAccessBlockConfiguration/BlockPublicPolicy",
                json!(false),
                "UploadsBucket: public access",
            ),
            (
                "no encryption",
                "/Resources/PreviewsBucket/Properties/BucketEncryption",
                json!(null),
                "PreviewsBucket: not encrypted",
            ),
            (
                "access lists",
                "/Resources/PreviewsBucket/Properties/OwnershipControls",
                json!(null),
                "PreviewsBucket: access lists",
            ),
            (
                "no versions",
                "/Resources/UploadsBucket/Properties/VersioningConfiguration",
                json!(null),
                "UploadsBucket: no versions",
            ),
            (
                "uploads that expire",
                "/Resources/UploadsBucket/Properties/LifecycleConfiguration/Rules/-",
                json!({"Status": "Enabled", "ExpirationInDays": 30}),
                "UploadsBucket: files expire",
            ),
            (
                "unfinished uploads",
                "/Resources/UploadsBucket/Properties/LifecycleConfiguration",
                json!(null),
                "UploadsBucket: unfinished uploads",
            ),
            (
                "plain HTTP",
                "/Resources/UploadsBucketPolicy",
                json!(null),
                "UploadsBucket: no policy that refuses plain HTTP",
            ),
            (
                "pages of others",
                "/Resources/UploadsBucket/Properties/CorsConfiguration/CorsRules/0/AllowedOrigins",
                json!(["*"]),
                "UploadsBucket: CORS for",
            ),
            (
                "pages that delete",
                "/Resources/PreviewsBucket/Properties/CorsConfiguration/CorsRules/0/AllowedMethods",
                json!(["DELETE"]),
                "PreviewsBucket: CORS allows DELETE",
            ),
            (
                "a table that goes with the stack",
                "/Resources/TasksTable/DeletionPolicy",
                json!(null),
                "TasksTable: deleted with the stack",
            ),
            (
                "no recovery",
                "/Resources/TasksTable/Properties/PointInTimeRecoverySpecification",
                json!(null),
                "TasksTable: no point-in-time recovery",
            ),
            (
                "a queue in clear",
                "/Resources/UploadsQueue/Properties/SqsManagedSseEnabled",
                json!(false),
                "UploadsQueue: not encrypted",
            ),
            (
                "no dead letters",
                "/Resources/UploadsQueue/Properties/RedrivePolicy",
                json!(null),
                "UploadsQueue: no dead-letter queue",
            ),
            ("no alarm", "/Resources/UploadsAlarm", json!(null), "UploadsDeadLetters: no alarm"),
            (
                "dead letters that go soon",
                "/Resources/UploadsDeadLetters/Properties/MessageRetentionPeriod",
                json!(60),
                "UploadsDeadLetters: kept for",
            ),
            (
                "a stream without dead letters",
                "/Resources/EventPublisherTasks/Properties/DestinationConfig",
                json!(null),
                "EventPublisherTasks: no dead-letter queue",
            ),
            (
                "whole batches of a queue",
                "/Resources/ImageValidatorUploads/Properties/FunctionResponseTypes",
                json!(null),
                "ImageValidatorUploads: one bad message",
            ),
            (
                "a queue for everybody",
                "/Resources/UploadsQueuePolicy/Properties/PolicyDocument/Statement",
                json!([{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"}]),
                "UploadsQueuePolicy: for whatever account",
            ),
            (
                "a topic for everybody",
                "/Resources/TaskCompletedTopicPolicy",
                json!(null),
                "TaskCompletedTopic: no policy",
            ),
            ("logs for ever", "/Resources/ApiLogs/Properties/RetentionInDays", json!(null), "ApiLogs: kept for ever"),
            (
                "a function without its log",
                "/Resources/TaskApi/Properties/LoggingConfig",
                json!(null),
                "TaskApi: no log group of its own",
            ),
            (
                "a secret in the environment",
                "/Resources/TaskApi/Properties/Environment/Variables/API_SECRET",
                json!({"Ref": "LogLevel"}),
                "TaskApi: the variable API_SECRET",
            ),
            (
                "a plain value in the environment",
                "/Resources/TaskApi/Properties/Environment/Variables/OTHER",
                json!("hunter2"),
                "TaskApi: the variable OTHER",
            ),
            (
                "a secret output",
                "/Outputs/Extra",
                json!({"Value": {"Ref": "Key"}, "Description": "the password"}),
                "output Extra",
            ),
            (
                "an open route",
                "/Resources/TasksRoute/Properties/AuthorizationType",
                json!("NONE"),
                "TasksRoute: open to everybody",
            ),
            (
                "no limit of requests",
                "/Resources/ApiStage/Properties/DefaultRouteSettings",
                json!(null),
                "ApiStage: no limit",
            ),
            (
                "tokens in the log",
                "/Resources/ApiStage/Properties/AccessLogSettings/Format",
                json!("$context.authorizer.claims.sub $context.identity.sourceIp"),
                "ApiStage: logs $context.identity.sourceIp",
            ),
            (
                "sign-up by oneself",
                "/Resources/UserPool/Properties/AdminCreateUserConfig",
                json!(null),
                "UserPool: whoever comes",
            ),
            (
                "short passwords",
                "/Resources/UserPool/Properties/Policies/PasswordPolicy/MinimumLength",
                json!(6),
                "UserPool: short passwords",
            ),
        ]
    }
}
