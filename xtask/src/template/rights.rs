//! The rights of the functions, compared with the table that explains them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Resource, Template, list, name};

/// Tests of a condition: operator, key, values.
type Condition = BTreeSet<(String, String, BTreeSet<String>)>;

/// One action on one resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    function: String,
    resource: String,
    action: String,
    condition: Condition,
}

impl Right {
    /// As a part of a sentence.
    fn told(&self) -> String {
        let Self { resource, action, condition, .. } = self;
        let tests = condition.iter().map(|(operator, key, values)| {
            format!("{operator} {key} {}", values.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
        });
        let only_if = match condition.is_empty() {
            true => String::new(),
            false => format!(", if {}", tests.collect::<Vec<_>>().join("; ")),
        };
        format!("`{action}` on `{resource}`{only_if}")
    }
}

/// What the table says.
struct Table {
    rights: BTreeSet<Right>,
    wildcards: BTreeSet<String>,
}

pub(super) fn problems(template: &Template, table: &str) -> Result<Vec<String>> {
    let table = read_table(table).context("docs/rights.md")?;
    let mut problems = Vec::new();
    let granted = granted(template, &mut problems);
    for right in granted.difference(&table.rights) {
        problems.push(format!("{} may {}, which docs/rights.md does not know", right.function, right.told()));
    }
    for right in table.rights.difference(&granted) {
        problems.push(format!("{} has no {}, which docs/rights.md promises", right.function, right.told()));
    }
    let wild: BTreeSet<String> =
        granted.into_iter().map(|right| right.resource).filter(|resource| resource.contains(['*', '?'])).collect();
    for resource in wild.difference(&table.wildcards) {
        problems.push(format!("`{resource}` has a wildcard that docs/rights.md does not explain"));
    }
    for resource in table.wildcards.difference(&wild) {
        problems.push(format!("docs/rights.md explains the wildcard `{resource}`, which no role has"));
    }
    callers(template, &mut problems);
    Ok(problems)
}

/// What the roles of the functions allow.
fn granted(template: &Template, problems: &mut Vec<String>) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let mut used = BTreeMap::new();
    for (function, resource) in template.all("AWS::Lambda::Function") {
        let role = name(resource.at("/Role"));
        if let Some(other) = used.insert(role.clone(), function) {
            problems.push(format!("{function} and {other} share the role {role}"));
        }
        match template.resources.get(&role) {
            Some(role_resource) => rights.extend(of_role(function, &role, role_resource, problems)),
            None => problems.push(format!("{function}: its role {role} is not in the template")),
        }
    }
    for (role, _) in template.all("AWS::IAM::Role").filter(|(role, _)| !used.contains_key(*role)) {
        // SAM makes such roles, with policies of AWS's making, where a template leaves a role out.
        problems.push(format!("{role} is no function's role"));
    }
    for (other, resource) in &template.resources {
        if resource.kind.starts_with("AWS::IAM::") && resource.kind != "AWS::IAM::Role" {
            problems.push(format!("{other}: rights are given in roles only"));
        }
    }
    rights
}

fn of_role(function: &str, role: &str, resource: &Resource, problems: &mut Vec<String>) -> Vec<Right> {
    if !resource.at("/ManagedPolicyArns").is_null() {
        problems.push(format!("{role}: managed policies give more than is needed"));
    }
    let trust = list(resource.at("/AssumeRolePolicyDocument/Statement"));
    let lambda =
        json!({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"});
    if trust != [&lambda] {
        problems.push(format!("{role} can be assumed by others than Lambda"));
    }
    let mut rights = Vec::new();
    let policies = list(resource.at("/Policies")).into_iter();
    for statement in policies.flat_map(|policy| list(&policy["PolicyDocument"]["Statement"])) {
        let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
        let keys = statement.as_object().into_iter().flat_map(|object| object.keys());
        for key in keys.filter(|key| !known.contains(&key.as_str())) {
            problems.push(format!("{role}: a statement has {key}: name what is allowed"));
        }
        if statement["Effect"] != "Allow" {
            problems.push(format!("{role}: a statement does not allow: what is not allowed is refused anyway"));
        }
        let condition = condition_of(&statement["Condition"]);
        for action in list(&statement["Action"]) {
            let action = name(action);
            if action.contains(['*', '?']) {
                problems.push(format!("{role}: wildcard in the action `{action}`"));
            }
            rights.extend(list(&statement["Resource"]).into_iter().map(|resource| Right {
                function: function.to_owned(),
                resource: name(resource),
                action: action.clone(),
                condition: condition.clone(),
            }));
        }
    }
    rights
}

fn condition_of(condition: &Value) -> Condition {
    let operators = condition.as_object().into_iter().flatten();
    let tests = operators.flat_map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, values)| {
            (operator.clone(), key.clone(), list(values).into_iter().map(name).collect::<BTreeSet<_>>())
        })
    });
    tests.collect()
}

/// Who may call functions.
fn callers(template: &Template, problems: &mut Vec<String>) {
    for (permission, resource) in template.all("AWS::Lambda::Permission") {
        if resource.at("/SourceArn").is_null() {
            problems
                .push(format!("{permission}: no SourceArn, so anybody's {} may call", name(resource.at("/Principal"))));
        }
        if resource.at("/Action") != "lambda:InvokeFunction" {
            problems.push(format!("{permission}: more than a call"));
        }
    }
    for (url, _) in template.all("AWS::Lambda::Url") {
        problems.push(format!("{url}: a function has no address of its own"));
    }
}

fn read_table(text: &str) -> Result<Table> {
    let mut conditions: BTreeMap<String, Condition> = BTreeMap::new();
    for row in rows(text, "Conditions") {
        let [condition, tests, _] = cells(row)?;
        let test = |test: &str| match &words(test)[..] {
            [operator, key, values @ ..] => {
                let values = values.iter().map(|value| (*value).to_owned()).collect();
                Ok(((*operator).to_owned(), (*key).to_owned(), values))
            }
            _ => bail!("a condition is an operator, a key and values: {row}"),
        };
        conditions.insert(one_word(condition)?, tests.split(';').map(test).collect::<Result<_>>()?);
    }
    let mut rights = BTreeSet::new();
    let mut used = BTreeSet::new();
    for row in rows(text, "Functions") {
        let [function, resource, actions, only_if, _] = cells(row)?;
        let condition = match words(only_if)[..] {
            [] => Condition::new(),
            [condition] => {
                used.insert(condition);
                conditions.get(condition).cloned().with_context(|| format!("there is no condition `{condition}`"))?
            }
            _ => bail!("more than one condition: {row}"),
        };
        for action in words(actions) {
            let right = Right {
                function: one_word(function)?,
                resource: one_word(resource)?,
                action: action.to_owned(),
                condition: condition.clone(),
            };
            if !rights.insert(right) {
                bail!("`{action}` stands there twice: {row}");
            }
        }
    }
    if let Some(condition) = conditions.keys().find(|condition| !used.contains(condition.as_str())) {
        bail!("the condition `{condition}` is not used");
    }
    let wildcards = rows(text, "Wildcards").map(|row| one_word(cells::<2>(row)?[0])).collect::<Result<_>>()?;
    Ok(Table { rights, wildcards })
}

/// The rows of the table under a heading, without its head.
fn rows<'a>(text: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let section = text.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap_or_default();
    section.lines().filter(|line| line.starts_with('|')).skip(2)
}

fn cells<const N: usize>(row: &str) -> Result<[&str; N]> {
    let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
    cells.try_into().ok().with_context(|| format!("not {N} columns: {row}"))
}

/// What stands in backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn one_word(cell: &str) -> Result<String> {
    match words(cell)[..] {
        [word] => Ok(word.to_owned()),
        _ => bail!("not one name in backticks: {cell}"),
    }
}
