//! Webhooks, from an event to a target on this machine.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lambel_core::{api::PolicyFields, webhook::signature::Secret};
use lambel_system_tests::{Cloud, Terminal, pictures, wait_for};

/// How long the target waits for a call.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call as the target gets it: the head and the body.
type Call = (String, String);

/// A target that answers 503 once and then takes everything.
fn target() -> Result<(String, Receiver<Call>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/hook", listener.local_addr()?);
    let (calls, got) = channel();
    std::thread::spawn(move || -> Result<()> {
        let mut status = 503;
        for stream in listener.incoming() {
            let mut stream = stream?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let (mut bytes, mut some) = (Vec::new(), [0; 4_096]);
            loop {
                let n = stream.read(&mut some)?;
                bytes.extend_from_slice(&some[..n]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = header(head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
                if n == 0 || body.len() >= length {
                    calls.send((head.to_owned(), body.to_owned()))?;
                    break;
                }
            }
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 6\r\nconnection: close\r\n\r\nthanks")?;
            status = 200;
        }
        Ok(())
    });
    Ok((url, got))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn the_end_of_a_task_reaches_a_target_that_can_verify_it() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    // No private address is taken, but for this machine, which the local cloud allows.
    terminal.lambel(2, &["webhook", "add", "http://169.254.169.254/latest/meta-data/"]).await?;
    let (url, calls) = target()?;
    let made = terminal.lambel(0, &["webhook", "add", &url]).await?.remove(0);
    let id = made["webhook"].as_str().context("an id")?;
    let secret: Secret = made["secret"].as_str().context("a secret")?.parse()?;

    let task = client.task(PolicyFields { quorum: Some(1), ..PolicyFields::default() }).await?;
    client.fill(task, &pictures(2, 77)).await?;
    let operator = cloud.operators(1).await?.remove(0);
    operator.work(task, 10, |_| "cat".to_owned()).await?;

    let mut ids = Vec::new();
    for _ in 0..2 {
        let (head, body) = calls.recv_timeout(PATIENCE).context("the target is called")?;
        let (id, at) = (header(&head, "webhook-id").context("an id")?, header(&head, "webhook-timestamp"));
        let at: i64 = at.context("a time")?.parse()?;
        let signature = secret.sign(id, at, &body);
        ensure!(header(&head, "webhook-signature") == Some(signature.as_str()), "{head}");
        let event: serde_json::Value = serde_json::from_str(&body)?;
        assert_eq!(
            (&event["type"], &event["data"]["task"]),
            (&"lambel.task.complete".into(), &task.to_string().into())
        );
        ids.push(id.to_owned());
    }
    assert_eq!(ids[0], ids[1], "the second time it is the same");
    // The test goes through the same queue; its answer is in the log, and so are the two before.
    let tested = terminal.lambel(0, &["webhook", "test", id]).await?.remove(0);
    assert_eq!((&tested["outcome"], &tested["answer"]), (&"delivered".into(), &"thanks".into()));
    let log = wait_for("the log has all three", || async {
        let log = terminal.lambel(0, &["webhook", "deliveries", id]).await?;
        Ok((log.len() == 3).then_some(log))
    })
    .await?;
    let said: Vec<_> = log.iter().map(|entry| (entry["kind"].as_str(), entry["status"].as_u64())).collect();
    assert_eq!(
        said,
        [(Some("webhook.test"), Some(200)), (Some("task.complete"), Some(200)), (Some("task.complete"), Some(503)),]
    );
    let delivery = log[1]["delivery"].as_str().context("a delivery")?;
    terminal.lambel(0, &["webhook", "redeliver", id, delivery]).await?;
    let again = loop {
        let (head, _) = calls.recv_timeout(PATIENCE).context("it is sent again")?;
        let found = header(&head, "webhook-id").context("an id")?.to_owned();
        if !found.is_empty() && Some(found.as_str()) != tested["delivery"].as_str() {
            break found;
        }
    };
    assert_eq!(again, ids[0]);
    terminal.lambel(0, &["webhook", "remove", id]).await?;
    terminal.lambel(4, &["webhook", "show", id]).await?;
    Ok(())
}
