//! What no client should send. It is refused with a problem document, and nothing of it is stored.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod good;
mod support;

use std::time::Duration;

use axum::http::Method;
use good::{
    AUDIENCE, CLAIMS, GOLD, Good, IMPORT, IMPORTS, LABELS, NOTE, PAUSE, PAUSE_IN_TASK, REDELIVERIES, RETURNS, SEAL,
    TASK_WEBHOOKS, TASKS, UPLOADS, VOTES, WEBHOOK, WEBHOOKS, bodies, the,
};
use lambel_core::{ImageId, OperatorId, limits};
use lambel_http::Caller;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use support::{Answer, World, admin, alice, operator};

/// The places of all values in a body, as JSON pointers.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| self::places(value, &format!("{at}/{key}"), places))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| self::places(item, &format!("{at}/{n}"), places))
        }
        _ => {}
    }
}

/// A world in which everything that `bodies` names is there, with a task of alice's.
async fn world() -> (World, String) {
    let world = World::new();
    let task = world.task().await;
    world.upload(&task, 3).await;
    let import = json!({"import": IMPORT, "source": "label-studio", "images": 1, "votes": 2});
    let path = format!("/api/tasks/{task}/imports");
    assert!(world.send(alice(), Method::POST, &path, Some(import)).await.status.is_success());
    world.webhook().await;
    (world, task)
}

fn refused(answer: &Answer, statuses: &[u16], what: &str) {
    assert!(statuses.contains(&answer.status.as_u16()), "{what}: {} {}", answer.status, answer.text);
    answer.problem();
}

#[tokio::test]
async fn the_good_ones_are_good() {
    let (world, task) = world().await;
    for good in bodies(&task) {
        let answer = good.with(&world, good.body.to_string()).await;
        // The task is not op-1's any more, and nor is op-1 one of its operators.
        let gone = || answer.problem().ends_with("-not-found");
        assert!(answer.status.is_success() || gone(), "{}: {}", good.name(), answer.text);
    }
    // What was asked for in the background can be done too.
    world.export().await;
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_name_wherever_it_stands() {
    let (world, task) = world().await;
    let before = world.stored();
    for good in bodies(&task) {
        let mut all = Vec::new();
        places(&good.body, "", &mut all);
        for place in all {
            let mut body = good.body.clone();
            let Some(fields) = body.pointer_mut(&place).unwrap().as_object_mut() else { continue };
            fields.insert("colour".to_owned(), json!(null));
            let answer = good.with(&world, body.to_string()).await;
            let what = format!("{} with a field too many at {place:?}", good.name());
            refused(&answer, &[400], &what);
            assert!(answer.text.contains("unknown field `colour`"), "{what}: {}", answer.text);
        }
    }
    assert_eq!(world.stored(), before);
}

#[tokio::test]
async fn a_value_of_another_type_is_refused_wherever_it_stands() {
    let (world, task) = world().await;
    let before = world.stored();
    let others = [json!(7), json!("7"), json!(true), json!([]), json!({}), json!([[null]]), json!({"0": 0})];
    let kind = |value: &Value| std::mem::discriminant(value);
    for good in bodies(&task) {
        let mut all = Vec::new();
        places(&good.body, "", &mut all);
        if good.template == NOTE {
            all.retain(|place| place != "/value");
        }
        for place in all {
            let is = good.body.pointer(&place).unwrap();
            let fields = is.as_object().map(|fields| Value::Array(fields.values().cloned().collect()));
            for other in others.iter().chain(&fields).filter(|other| kind(other) != kind(is)) {
                let mut body = good.body.clone();
                *body.pointer_mut(&place).unwrap() = other.clone();
                let answer = good.with(&world, body.to_string()).await;
                refused(&answer, &[400], &format!("{} with {other} at {place:?}", good.name()));
            }
        }
    }
    assert_eq!(world.stored(), before);
}

#[tokio::test]
async fn numbers_that_are_out_of_all_bounds_are_refused() {
    let (world, task) = world().await;
    let before = world.stored();
    // Also the largest that fit into a format, where no limit of ours is as high.
    let numbers = ["-1", "0.5", "1e999", "-1e999", "9223372036854775808", "18446744073709551616", "1e30", "-0.1"];
    let long = "9".repeat(900);
    for good in bodies(&task) {
        let mut all = Vec::new();
        places(&good.body, "", &mut all);
        for place in all.iter().filter(|place| good.body.pointer(place).unwrap().is_number()) {
            for number in numbers.iter().copied().chain([long.as_str()]) {
                let mut body = good.body.clone();
                *body.pointer_mut(place).unwrap() = json!("NUMBER");
                let answer = good.with(&world, body.to_string().replace("\"NUMBER\"", number)).await;
                refused(&answer, &[400], &format!("{} with {number} at {place:?}", good.name()));
            }
        }
    }
    assert_eq!(world.stored(), before);
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let (world, task) = world().await;
    let before = world.stored();
    let deep = |open: &str, close: &str, n: usize| open.repeat(n) + &close.repeat(n);
    for good in bodies(&task) {
        let text = good.body.to_string();
        let first = good.body.as_object().unwrap().keys().next().unwrap();
        let mut cases: Vec<Vec<u8>> = vec![
            Vec::new(),
            b" ".to_vec(),
            b"{".to_vec(),
            b"null".to_vec(),
            b"\"\"".to_vec(),
            b"[]".to_vec(),
            vec![0xff; 20],
            vec![0; 20],
            deep("[", "]", 100_000).into(),
            "[".repeat(900_000).into(),
            deep("{\"a\":", "}", 100_000).into(),
            format!("{{\"{first}\":{}}}", deep("[", "]", 100_000)).into(),
            format!("{{\"colour\":{}}}", deep("[", "]", 100_000)).into(),
            format!("\u{feff}{text}").into(),
            format!("{text}{text}").into(),
            format!("{text},").into(),
            text.replacen(':', "=", 1).into(),
            // The same field twice: which one would count?
            text.replacen('{', &format!("{{\"{first}\":{},", good.body[first]), 1).into(),
            // UTF-16.
            text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ];
        // A name that is no UTF-8, an escape that is half a character, a control character as it is.
        for bad in [&b"\xc3\x28"[..], b"\xed\xa0\x80", b"\\ud800", b"\x00", b"\n", b"\\x41"] {
            let at = text.find('"').unwrap() + 1;
            cases.push([&text.as_bytes()[..at], bad, &text.as_bytes()[at..]].concat());
        }
        for case in cases {
            let what = format!("{} with {:?}", good.name(), String::from_utf8_lossy(&case[..case.len().min(60)]));
            refused(&good.with(&world, case).await, &[400], &what);
        }
        for end in 0..text.len() {
            let answer = good.with(&world, text[..end].to_owned()).await;
            refused(&answer, &[400], &format!("{} cut after {end} bytes", good.name()));
        }
    }
    assert_eq!(world.stored(), before);
}

#[tokio::test]
async fn a_body_has_so_many_bytes_and_no_more() {
    let (world, task) = world().await;
    for good in bodies(&task) {
        let text = good.body.to_string();
        let padded = |bytes: usize| format!("{text}{}", " ".repeat(bytes - text.len()));
        let before = world.stored();
        for bytes in [limits::BODY_BYTES + 1, 10 * limits::BODY_BYTES] {
            let answer = good.with(&world, padded(bytes)).await;
            refused(&answer, &[413], &good.name());
        }
        assert_eq!(world.stored(), before);
        let answer = good.with(&world, padded(limits::BODY_BYTES)).await;
        assert_ne!(answer.status.as_u16(), 413, "{}", good.name());
    }
}

#[tokio::test]
async fn texts_that_are_too_long_or_untidy_are_refused() {
    let (world, task) = world().await;
    let before = world.stored();
    let bodies = bodies(&task);
    let long = "x".repeat(30_000);
    let many = |n: usize| Value::Array((0..n).map(|n| json!(format!("l{n}"))).collect());
    for (name, place, value, says) in [
        (TASKS, "/name", json!("a\u{0}b"), "name"),
        (TASKS, "/name", json!("\u{a0}\u{2003} "), "name"),
        (TASKS, "/name", json!(long), "name"),
        (TASKS, "/instructions", json!(long), "instructions"),
        (TASKS, "/labels", json!(["cat", "cat\n"]), "labels"),
        (TASKS, "/labels", json!(["cat", " cat"]), "labels"),
        (TASKS, "/labels", json!(["cat", long]), "labels"),
        (TASKS, "/labels", many(20_000), "labels"),
        (TASKS, "/expected_images", json!(9_223_372_036_854_775_807_u64), "expected_images"),
        (TASKS, "/policy/quorum", json!(2_147_483_647), "policy"),
        (TASKS, "/policy/lease_seconds", json!(0), "policy"),
        (TASKS, "/audience/teams", json!(["../../etc"]), "audience"),
        (TASKS, "/audience/operators", many(201), "audience"),
        (UPLOADS, "/files", json!([]), "files"),
        (UPLOADS, "/files", Value::Array(vec![the(&bodies, UPLOADS).body["files"][0].clone(); 1_001]), "files"),
        (SEAL, "/images", json!(0), "images"),
        (SEAL, "/images", json!(9_223_372_036_854_775_807_u64), "images"),
        (AUDIENCE, "/operators", json!(["a b"]), "audience"),
        (CLAIMS, "/count", json!(0), "count"),
        (CLAIMS, "/count", json!(2_147_483_647), "count"),
        (RETURNS, "/subtasks", json!([]), "subtasks"),
        (RETURNS, "/subtasks", Value::Array(vec![the(&bodies, RETURNS).body["subtasks"][0].clone(); 101]), "subtasks"),
        (LABELS, "/votes", json!([]), "votes"),
        (LABELS, "/votes", Value::Array(vec![the(&bodies, LABELS).body["votes"][0].clone(); 101]), "votes"),
        (PAUSE, "/reason", json!(long), "reason"),
        (IMPORTS, "/images", json!(9_223_372_036_854_775_807_u64), "images"),
        (IMPORTS, "/votes", json!(9_223_372_036_854_775_807_u64), "votes"),
        (VOTES, "/votes", json!([]), "votes"),
        (VOTES, "/votes", Value::Array(vec![the(&bodies, VOTES).body["votes"][0].clone(); 101]), "votes"),
        (WEBHOOKS, "/kinds", json!([]), "kinds"),
        (WEBHOOKS, "/kinds", json!(vec!["task.complete"; 8]), "kinds"),
        (WEBHOOKS, "/url", json!(""), "url"),
        (WEBHOOKS, "/url", json!(format!("https://hooks.example.org/{long}")), "url"),
        (WEBHOOKS, "/url", json!("http://hooks.example.org/"), "url"),
        (WEBHOOKS, "/url", json!("https://169.254.169.254/latest/meta-data/"), "url"),
        (TASK_WEBHOOKS, "/url", json!("https://[::ffff:10.0.0.1]/"), "url"),
        (TASK_WEBHOOKS, "/url", json!("https://0x7f.1/"), "url"),
        (WEBHOOK, "/url", json!("https://user:password@hooks.example.org/"), "url"),
        (WEBHOOK, "/url", json!("https://hooks.example.org:6379/"), "url"),
        (WEBHOOK, "/kinds", json!([]), "kinds"),
        (REDELIVERIES, "/cursor", json!(long), "cursor"),
        (REDELIVERIES, "/cursor", json!("msg_"), "cursor"),
        (PAUSE_IN_TASK, "/reason", json!(long), "reason"),
        (GOLD, "/gold", json!([]), "gold"),
        (GOLD, "/gold", Value::Array(vec![the(&bodies, GOLD).body["gold"][0].clone(); 101]), "gold"),
    ] {
        let good = the(&bodies, name);
        let mut body = good.body.clone();
        *body.pointer_mut(place).unwrap() = value;
        let answer = good.with(&world, body.to_string()).await;
        refused(&answer, &[422], &format!("{} at {place}", good.name()));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(&format!("{says}: ")), "the detail names the field: {detail}");
        assert!(detail.len() < 1_000, "and does not repeat all that was sent");
    }
    assert_eq!(world.stored(), before);
}

/// Files and votes are judged one by one: bad ones are refused in an answer that is 200.
#[tokio::test]
async fn files_and_votes_that_cannot_be_are_refused_each_alone() {
    let (world, task) = world().await;
    let before = world.stored();
    let bodies = bodies(&task);
    let mut files = Vec::new();
    for (place, value) in [
        ("/name", json!("")),
        ("/name", json!("../up")),
        ("/name", json!("a\u{0}b")),
        ("/name", json!("x".repeat(1_000))),
        ("/bytes", json!(0)),
        ("/bytes", json!(9_223_372_036_854_775_807_u64)),
        ("/media_type", json!("text/html")),
        ("/media_type", json!("image/png\r\nx: y")),
        ("/sha256", json!("")),
        ("/sha256", json!("F".repeat(64))),
        ("/sha256", json!("../../etc/passwd")),
    ] {
        let mut file = the(&bodies, UPLOADS).body["files"][0].clone();
        *file.pointer_mut(place).unwrap() = value;
        files.push(file);
    }
    let answer = the(&bodies, UPLOADS).with(&world, json!({ "files": files }).to_string()).await.json();
    for (file, grant) in files.iter().zip(answer["files"].as_array().unwrap()) {
        assert_eq!(grant["status"], "refused", "{file}: {grant}");
    }
    let vote = |field: &str, value: Value| {
        let mut vote = the(&bodies, LABELS).body["votes"][0].clone();
        vote[field] = value;
        vote
    };
    let images: Vec<_> = (0..5_u8).map(|n| ImageId::of(&[n, 9])).collect();
    let mut votes = vec![vote("label", json!("x".repeat(100_000))), vote("task", json!(task.replace('0', "1")))];
    votes.extend(images.iter().map(|image| vote("image", json!(image))));
    let answer = the(&bodies, LABELS).with(&world, json!({ "votes": votes }).to_string()).await.json();
    for receipt in answer["votes"].as_array().unwrap() {
        assert_eq!(receipt["outcome"], "refused", "{receipt}");
        assert!(receipt["detail"].as_str().is_none_or(|detail| detail.len() < 1_000), "{receipt}");
    }
    // Votes from outside: in the name of an account, for a label that is none, on an image that is not there.
    let mut votes = vec![];
    for (field, value) in [
        ("operator", json!("op-1")),
        ("operator", json!("import:x")),
        ("operator", json!("model:x")),
        ("label", json!("x".repeat(100_000))),
        ("image", json!(ImageId::of(b"nowhere"))),
    ] {
        let mut vote = the(&bodies, VOTES).body["votes"][0].clone();
        vote[field] = value;
        votes.push(vote);
    }
    let body = json!({"import": IMPORT, "votes": votes});
    let answer = the(&bodies, VOTES).with(&world, body.to_string()).await.json();
    for receipt in answer["votes"].as_array().unwrap() {
        assert_eq!(receipt["outcome"], "refused", "{receipt}");
    }
    assert_eq!(world.stored(), before);
}

#[tokio::test]
async fn ids_that_are_none_stand_for_nothing() {
    let (world, task) = world().await;
    let before = world.stored();
    let long = "0".repeat(5_000);
    let upper = task.to_uppercase();
    let braced = format!("%7B{task}%7D");
    let plain = task.replace('-', "");
    let ids = [
        "nonsense",
        "0",
        "%00",
        "%ff",
        "%C3%28",
        "%2e%2e",
        "..%2f..",
        "a%2Faudit",
        "%20",
        "%0d%0a",
        "TASK%23x",
        "*",
        "-1",
        "%F0%9F%A6%89",
        "null",
        "undefined",
        "$where",
        "'%20or%201=1",
        "%25s%25n",
        ";",
        "@%23",
        "%3Fa=b",
        &long,
        &upper,
        &braced,
        &plain,
    ];
    let document = serde_json::to_value(lambel_http::openapi()).unwrap();
    for (template, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let named = ["{task}", "{image}", "{operator}", "{webhook}", "{export}"]
                .into_iter()
                .filter(|name| template.contains(name));
            for (name, id) in named.flat_map(|name| ids.map(|id| (name, id))) {
                // Much can be the id of an operator, even dots.
                let text = percent_decode_str(id).decode_utf8_lossy();
                if name == "{operator}" && text.parse::<OperatorId>().is_ok() {
                    continue;
                }
                let path = template.replace(name, id).replace("{task}", &task);
                let body = operation.get("requestBody").map(|_| body_of(&bodies(&task), &method, template));
                world.clock.pass(Duration::from_secs(limits::REQUEST_WINDOW_SECONDS.into()));
                let answer = world.send(admin(), method.clone(), &path, body).await;
                let what = format!("{method} {template} with {name} = {id:.60}");
                refused(&answer, if name == "{operator}" { &[422, 404] } else { &[404] }, &what);
            }
        }
    }
    assert_eq!(world.stored(), before);
}

/// A good body for an operation.
fn body_of(bodies: &[Good], method: &Method, template: &str) -> Value {
    the(bodies, &format!("{method} {template}")).body.clone()
}

#[tokio::test]
async fn parameters_that_no_page_has_are_refused() {
    let (world, task) = world().await;
    let before = world.stored();
    let long = format!("cursor={}", "a".repeat(9_000));
    let queries = [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1.5",
        "limit=4294967296",
        "limit=99999999999999999999999999",
        "limit=",
        "limit=ten",
        "limit=%00",
        "limit=1&limit=2",
        "limit[]=1",
        "colour=red",
        "Limit=1",
        "cursor=a&cursor=b",
        "cursor=",
        "cursor=%ff",
        "cursor=%",
        "cursor=..",
        "cursor=%00",
        "cursor=-1",
        "cursor=null",
        "cursor=18446744073709551616",
        &long,
    ];
    let of_task = ["images", "results", "audit", "operators", "dataset/log"]
        .map(|what| (alice(), format!("/api/tasks/{task}/{what}")));
    let of_all = [
        (alice(), "/api/tasks".to_owned()),
        (admin(), "/api/operators/op-1/audit".to_owned()),
        (alice(), format!("/api/webhooks/{}/deliveries", world.hook.get().unwrap())),
    ];
    for (caller, path) in of_task.into_iter().chain(of_all) {
        for query in queries {
            world.clock.pass(Duration::from_secs(limits::REQUEST_WINDOW_SECONDS.into()));
            let answer = world.send(caller.clone(), Method::GET, &format!("{path}?{query}"), None).await;
            refused(&answer, &[400, 422], &format!("{path}?{query:.40}"));
            let field = query.split(['=', '[']).next().unwrap();
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(field), "{path}?{query:.40}: the detail names the parameter: {detail}");
        }
    }
    assert_eq!(world.stored(), before);
}

/// A page of rows, as each kind of page calls them.
struct Pages {
    caller: Option<Caller>,
    path: String,
    rows: &'static str,
    all: Vec<Value>,
}

/// Cursors that were made by hand, out of good ones: they name a place in the task of the address, or nothing.
#[test]
fn altered_cursors_show_nothing_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (world, pages, cursors) = runtime.block_on(async {
        let (world, task) = world().await;
        let other = world.task().await;
        world.upload(&other, 5).await;
        for n in 0..4 {
            let body = Some(json!({"reason": format!("{n}")}));
            world.send(admin(), Method::PUT, "/api/operators/op-9/pause", body).await;
            world.send(admin(), Method::DELETE, "/api/operators/op-9/pause", None).await;
        }
        for n in 0..3 {
            let claim = Some(json!({"task": task, "count": 1}));
            world.send(operator(n), Method::POST, "/api/subtasks/claims", claim).await;
            let path = format!("/api/tasks/{task}/operators/op-{n}/pause");
            world.send(alice(), Method::PUT, &path, Some(json!({}))).await;
        }
        let seal = Some(json!({"images": 3}));
        world.send(alice(), Method::POST, &format!("/api/tasks/{task}/seal"), seal).await;
        let (mut pages, mut cursors) = (Vec::new(), Vec::new());
        for (caller, path, rows) in [
            (alice(), format!("/api/tasks/{task}/images"), "images"),
            (alice(), format!("/api/tasks/{task}/results"), "rows"),
            (alice(), format!("/api/tasks/{task}/audit"), "entries"),
            (alice(), format!("/api/tasks/{task}/operators"), "operators"),
            (alice(), format!("/api/tasks/{other}/images"), "images"),
            (alice(), format!("/api/tasks/{other}/results"), "rows"),
            (alice(), "/api/tasks".to_owned(), "tasks"),
            (admin(), "/api/operators/op-9/audit".to_owned(), "entries"),
            (alice(), world.deliveries_of_some_events().await, "attempts"),
        ] {
            let page = async |query: String| {
                let answer = world.send(caller.clone(), Method::GET, &format!("{path}?{query}"), None).await;
                assert!(answer.status.is_success(), "{}", answer.text);
                answer.json()
            };
            let all = page("limit=1000".to_owned()).await[rows].as_array().unwrap().clone();
            let mut next = page("limit=1".to_owned()).await["next"].as_str().map(ToOwned::to_owned);
            assert!(next.is_some(), "{path} has more than one row");
            while let Some(cursor) = next {
                let encoded = utf8_percent_encode(&cursor, NON_ALPHANUMERIC);
                next = page(format!("limit=1&cursor={encoded}")).await["next"].as_str().map(ToOwned::to_owned);
                cursors.push(cursor);
            }
            pages.push(Pages { caller, path, rows, all });
        }
        (world, pages, cursors)
    });
    let before = world.stored();

    // Of another page or task: as they are, cut, with a character changed, put in or left out, and some of no origin at all.
    let altered = (prop::sample::select(cursors), 0..5_u8, any::<prop::sample::Index>(), any::<char>()).prop_map(
        |(cursor, how, at, with)| {
            let mut letters: Vec<char> = cursor.chars().collect();
            let at = at.index(letters.len());
            match how {
                0 => letters.truncate(at),
                1 => letters[at] = with,
                2 => letters.insert(at, with),
                3 => drop(letters.remove(at)),
                _ => {}
            }
            letters.into_iter().collect::<String>()
        },
    );
    let cursor = prop_oneof![6 => altered, 1 => any::<String>(), 1 => "[0-9a-f]{64}(/.{0,9})?", 1 => "[0-9]{1,25}"];
    let cases = (0..pages.len(), cursor);
    let mut runner = TestRunner::new(ProptestConfig { cases: 3_000, failure_persistence: None, ..Default::default() });
    let taken = std::cell::Cell::new(0);
    let result = runner.run(&cases, |(page, cursor)| {
        let page = &pages[page];
        let cursor_text = utf8_percent_encode(&cursor, NON_ALPHANUMERIC);
        let path = format!("{}?limit=1000&cursor={cursor_text}", page.path);
        world.clock.pass(Duration::from_secs(limits::REQUEST_WINDOW_SECONDS.into()));
        let answer = runtime.block_on(world.send(page.caller.clone(), Method::GET, &path, None));
        if answer.status == 200 {
            taken.set(taken.get() + 1);
            let rows = answer.json()[page.rows].as_array().unwrap().clone();
            prop_assert!(page.all.ends_with(&rows), "{} from {cursor:?} is no end of the list", page.path);
        } else {
            prop_assert_eq!(answer.status.as_u16(), 422);
            prop_assert_eq!(answer.problem(), "invalid");
            prop_assert_eq!(&answer.json()["detail"], "cursor: this is not a cursor");
        }
        Ok(())
    });
    result.unwrap();
    let taken = taken.get();
    assert!((100..2_700).contains(&taken), "{taken} of 3,000 were taken: both kinds are tried");
    assert_eq!(world.stored(), before);
}
