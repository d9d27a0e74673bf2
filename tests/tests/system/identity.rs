//! Who somebody is, how they prove it, and how a right is taken away again.

use std::{
    process::Stdio,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_cognitoidentityprovider::types::{ExplicitAuthFlowsType, TimeUnitsType, TokenValidityUnitsType};
use hmac::{Hmac, KeyInit, Mac};
use lambel_client::{Client, ClientError, Machine, SignIn, SignInError, TokenSource};
use lambel_core::api::{Claim, PageQuery, PolicyFields, VoteOutcome};
use lambel_system_tests::{Cloud, TestMachine, User, pictures};
use reqwest::StatusCode;
use serde_json::Value;
use sha1::Sha1;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::cli::Terminal;

const NEW_PASSWORD: &str = "Another-password-2";

/// What an authenticator app shows at a time (RFC 6238): six digits, for half a minute.
fn totp(secret: &str, time: u64) -> Result<String> {
    let mut key = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in secret.trim_end_matches('=').bytes() {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|&other| other == letter);
        (bits, held) = (bits << 5 | value.context("base 32")? as u32, held + 5);
        if held >= 8 {
            held -= 8;
            key.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(&key)?;
    mac.update(&(time / 30).to_be_bytes());
    let mac = mac.finalize().into_bytes();
    let offset = usize::from(mac[19] & 15);
    let number = u32::from_be_bytes(mac[offset..offset + 4].try_into()?) & 0x7fff_ffff;
    Ok(format!("{:06}", number % 1_000_000))
}

#[test]
fn codes_are_those_of_the_standard() -> Result<()> {
    // RFC 6238, appendix B: the last six of its eight digits.
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    for (time, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
        assert_eq!(totp(secret, time)?, code);
    }
    Ok(())
}

fn code_now(secret: &str) -> Result<String> {
    totp(secret, SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())
}

fn is_not_allowed<T>(result: Result<T, ClientError>) -> bool {
    result.is_err_and(|error| error.is_problem("not-allowed") && error.status() == Some(403))
}

/// What the gate or the service answers to a token.
async fn status(cloud: &Cloud, token: &str) -> Result<StatusCode> {
    let request = reqwest::Client::new().get(format!("{}/api/tasks", cloud.api_url)).bearer_auth(token);
    Ok(request.send().await?.status())
}

async fn config(cloud: &Cloud) -> Result<lambel_core::api::PublicConfig> {
    Ok(Client::new(&cloud.api_url, TokenSource::none())?.config().await?)
}

#[tokio::test]
async fn machines_do_what_their_scopes_say_and_no_more() -> Result<()> {
    let cloud = Cloud::running()?;
    let pipeline = cloud.machine_user("pipeline").await?;
    assert_eq!(pipeline.subject, cloud.machine("pipeline")?.client_id);
    let task = pipeline.task(PolicyFields { quorum: Some(1), ..PolicyFields::default() }).await?;
    pipeline.fill(task, &pictures(1, 41)).await?;
    let claim = Claim { task: Some(task), count: 1 };
    assert!(is_not_allowed(pipeline.client.claim(&claim).await));

    let model = cloud.machine_user("model").await?;
    let images = model.claim_some(task, 1).await?;
    assert_eq!(model.vote(task, &images, "cat").await?, [VoteOutcome::Counted]);
    let refused = model.task(PolicyFields::default()).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
    assert!(is_not_allowed(model.client.results(task, &PageQuery::default()).await));
    pipeline.completed(task).await?;
    // Its task is the machine's own: other clients do not see it.
    let other = cloud.client().await?;
    assert_eq!(other.client.task(task).await.unwrap_err().status(), Some(404));

    // A token that ends is refused at the gate, and the client asks for another before that.
    let TestMachine { client_id, client_secret, .. } = cloud.machine("model")?;
    let pool = cloud.pool().await;
    let live = |count: i32, unit: TimeUnitsType| {
        let units = TokenValidityUnitsType::builder().access_token(unit).build();
        let update = pool.update_user_pool_client().user_pool_id(&cloud.user_pool_id).client_id(client_id);
        update.access_token_validity(count).token_validity_units(units).send()
    };
    let machine = Machine::new(&config(&cloud).await?, client_id, client_secret)?;
    live(2, TimeUnitsType::Seconds).await?;
    let short = machine.sign_in().await?;
    live(60, TimeUnitsType::Minutes).await?;
    assert_eq!(status(&cloud, short.bearer()).await?, StatusCode::FORBIDDEN, "good, but for labelling");
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    assert_eq!(status(&cloud, short.bearer()).await?, StatusCode::UNAUTHORIZED);
    let client = model.client.signed_in(TokenSource::session(machine, short));
    client.work().await?;
    Ok(())
}

#[tokio::test]
async fn a_machine_works_with_the_command_line() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    let TestMachine { client_id, client_secret, .. } = cloud.machine("pipeline")?;
    let login = ["login", "--machine", client_id];
    terminal.lambel_with(3, &login, &[("LAMBEL_CLIENT_SECRET", "wrong")]).await?;
    terminal.lambel(2, &login).await?;
    terminal.lambel(2, &[&login[..], &["--username", "ann"]].concat()).await?;
    let signed_in = &terminal.lambel_with(0, &login, &[("LAMBEL_CLIENT_SECRET", client_secret)]).await?[0];
    assert_eq!(signed_in["subject"], client_id.as_str());
    let file = terminal.home.join("profiles/default.json");
    assert!(!std::fs::read_to_string(&file)?.contains(client_secret), "the secret is not kept");

    let create = ["task", "create", "--name", "pipeline", "--label", "a", "--label", "b"];
    let task = terminal.lambel(0, &create).await?[0]["task"].as_str().context("an id")?.to_owned();
    terminal.lambel(3, &["work"]).await?;
    terminal.lambel(2, &["account", "totp", "disable"]).await?;

    // When the token has ended, the secret must be there again.
    let mut profile: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    profile["session"]["expires_at"] = "2026-01-01T00:00:00.000Z".into();
    std::fs::write(&file, profile.to_string())?;
    terminal.lambel(3, &["task", "show", &task]).await?;
    terminal.lambel_with(0, &["task", "show", &task], &[("LAMBEL_CLIENT_SECRET", client_secret)]).await?;
    terminal.lambel(0, &["task", "show", &task]).await?;
    terminal.lambel(0, &["logout"]).await?;
    terminal.lambel(3, &["task", "list"]).await?;
    Ok(())
}

#[tokio::test]
async fn an_admin_makes_and_removes_machines() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    let made = &terminal.lambel(0, &["admin", "machine", "add", "nightly", "--scope", "tasks"]).await?[0];
    let (id, secret) = (made["id"].as_str().context("an id")?, made["secret"].as_str().context("a secret")?);
    let listed = terminal.lambel(0, &["admin", "machine", "list"]).await?;
    let this = listed.iter().find(|machine| machine["id"] == id).context("it is listed")?;
    assert_eq!((&this["name"], &this["scopes"]), (&"nightly".into(), &serde_json::json!(["lambel/tasks"])));
    assert!(!listed.iter().any(|machine| machine["id"] == cloud.user_pool_client_id.as_str()));

    // It has its token. The gate lets it in after a deployment that names it, as the test machines show.
    let login = ["login", "--machine", id];
    terminal.lambel_with(0, &login, &[("LAMBEL_CLIENT_SECRET", secret)]).await?;
    terminal.lambel_with(3, &["task", "list"], &[("LAMBEL_CLIENT_SECRET", secret)]).await?;

    terminal.lambel(2, &["admin", "machine", "remove", &cloud.user_pool_client_id]).await?;
    terminal.lambel(0, &["admin", "machine", "remove", id]).await?;
    terminal.lambel(4, &["admin", "machine", "remove", id]).await?;
    terminal.lambel_with(3, &login, &[("LAMBEL_CLIENT_SECRET", secret)]).await?;
    Ok(())
}

#[tokio::test]
async fn tokens_that_give_no_right_are_refused() -> Result<()> {
    let cloud = Cloud::running()?;
    // A person's access token has a scope of its own, which is none of ours.
    let nobody = cloud.account(&[]).await?;
    assert_eq!(status(&cloud, &nobody.session.access_token).await?, StatusCode::FORBIDDEN);
    assert_eq!(status(&cloud, &nobody.id_token).await?, StatusCode::FORBIDDEN);
    assert!(is_not_allowed(nobody.client.tasks(&PageQuery::default()).await));

    // Another pool of the same region, with the same names.
    let pool = cloud.pool().await;
    let other = pool.create_user_pool().pool_name("foreign").send().await?.user_pool.context("a pool")?;
    let other = other.id.context("an id")?;
    let app = pool.create_user_pool_client().user_pool_id(&other).client_name("people");
    let app = app.explicit_auth_flows(ExplicitAuthFlowsType::AllowUserPasswordAuth).send().await?;
    let app = app.user_pool_client.and_then(|client| client.client_id).context("an app client")?;
    pool.create_group().user_pool_id(&other).group_name("clients").send().await?;
    pool.admin_create_user().user_pool_id(&other).username("eve").send().await?;
    let set = pool.admin_set_user_password().user_pool_id(&other).username("eve").permanent(true);
    set.password("Foreign-password-1").send().await?;
    pool.admin_add_user_to_group().user_pool_id(&other).username("eve").group_name("clients").send().await?;
    let elsewhere = lambel_core::api::PublicConfig { user_pool_client_id: app, ..config(&cloud).await? };
    let eve = SignIn::new(&elsewhere)?.with_password("eve", "Foreign-password-1").await?;
    assert_eq!(status(&cloud, eve.bearer()).await?, StatusCode::UNAUTHORIZED);
    assert_eq!(status(&cloud, &eve.access_token).await?, StatusCode::UNAUTHORIZED);
    Ok(())
}

/// Runs `lambel account totp enable`, and is its authenticator app. The secret, and whether it went well.
async fn enable_totp(terminal: &Terminal, code: impl Fn(&str) -> Result<String>) -> Result<(String, bool)> {
    let mut command = terminal.command(&["account", "totp", "enable"])?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut output = BufReader::new(child.stdout.take().context("output")?);
    let mut line = String::new();
    output.read_line(&mut line).await?;
    let shown: Value = serde_json::from_str(&line)?;
    let secret = shown["secret"].as_str().context("a secret")?.to_owned();
    ensure!(
        shown["uri"].as_str().is_some_and(|uri| uri.starts_with("otpauth://totp/Lambel:") && uri.contains(&secret))
    );
    let mut input = child.stdin.take().context("input")?;
    input.write_all(format!("{}\n", code(&secret)?).as_bytes()).await?;
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).await?;
    let status = child.wait().await?;
    ensure!(rest.contains("enabled") == status.success() && !rest.contains(&secret), "{rest}");
    Ok((secret, status.success()))
}

#[tokio::test]
async fn a_second_factor_is_asked_for_once_it_is_there() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    let user = cloud.client().await?;
    let login = ["login", "--username", user.name.as_str()];
    let password = ("LAMBEL_PASSWORD", user.password.as_str());
    terminal.lambel_with(0, &login, &[password]).await?;

    // A wrong first code changes nothing.
    let wrong = |secret: &str| Ok(if code_now(secret)? == "000000" { "000001" } else { "000000" }.to_owned());
    assert!(!enable_totp(&terminal, wrong).await?.1);
    terminal.lambel_with(0, &login, &[password]).await?;

    let (secret, enabled) = enable_totp(&terminal, code_now).await?;
    assert!(enabled);
    terminal.lambel_with(2, &login, &[password]).await?;
    terminal.lambel_with(3, &login, &[password, ("LAMBEL_TOTP", &wrong(&secret)?)]).await?;
    let spaced = code_now(&secret)?;
    let spaced = format!("{} {}", &spaced[..3], &spaced[3..]);
    terminal.lambel_with(0, &login, &[password, ("LAMBEL_TOTP", &spaced)]).await?;
    terminal.lambel(0, &["task", "list"]).await?;
    let error = SignIn::new(&config(&cloud).await?)?.with_password(&user.name, &user.password).await.unwrap_err();
    assert!(matches!(error, ClientError::SignIn(SignInError::CodeRequired)), "{error}");

    terminal.lambel(0, &["account", "totp", "disable"]).await?;
    terminal.lambel_with(0, &login, &[password]).await?;
    // Who has lost their device asks an admin.
    assert!(enable_totp(&terminal, code_now).await?.1);
    terminal.lambel(0, &["admin", "user", "reset-totp", &user.name]).await?;
    terminal.lambel_with(0, &login, &[password]).await?;
    Ok(())
}

#[tokio::test]
async fn passwords_are_chosen_and_changed_by_whom_they_belong_to() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    let name = format!("test-{}", uuid::Uuid::now_v7());
    let add = ["admin", "user", "add", &name, "--group", "clients"];
    let there = || async {
        let listed = terminal.lambel(0, &["admin", "user", "list"]).await?;
        anyhow::Ok(listed.into_iter().find(|account| account["name"] == name.as_str()))
    };
    // A weak password leaves no account behind.
    terminal.lambel_with(2, &add, &[("LAMBEL_PASSWORD", "weak")]).await?;
    assert_eq!(there().await?, None);

    let made = &terminal.lambel(0, &[&add[..], &["--temporary"]].concat()).await?[0];
    let temporary = made["temporary_password"].as_str().context("a password")?;
    let account = there().await?.context("an account")?;
    assert_eq!((&account["temporary"], &account["groups"]), (&true.into(), &serde_json::json!(["clients"])));
    let login = ["login", "--username", name.as_str()];
    terminal.lambel_with(2, &login, &[("LAMBEL_PASSWORD", temporary)]).await?;
    let chosen = [("LAMBEL_PASSWORD", temporary), ("LAMBEL_NEW_PASSWORD", NEW_PASSWORD)];
    terminal.lambel_with(0, &login, &chosen).await?;
    terminal.lambel_with(3, &login, &chosen).await?;
    terminal.lambel_with(0, &login, &[("LAMBEL_PASSWORD", NEW_PASSWORD)]).await?;

    let change = ["account", "password"];
    let to = |old, new| [("LAMBEL_PASSWORD", old), ("LAMBEL_NEW_PASSWORD", new)];
    terminal.lambel_with(3, &change, &to("Wrong-password-1", "Third-password-3")).await?;
    terminal.lambel_with(2, &change, &to(NEW_PASSWORD, "weak")).await?;
    terminal.lambel_with(0, &change, &to(NEW_PASSWORD, "Third-password-3")).await?;
    terminal.lambel_with(3, &login, &[("LAMBEL_PASSWORD", NEW_PASSWORD)]).await?;
    terminal.lambel_with(0, &login, &[("LAMBEL_PASSWORD", "Third-password-3")]).await?;
    Ok(())
}

#[tokio::test]
async fn rights_can_be_taken_away() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    let user = cloud.account(&["operators", "clients"]).await?;
    let sign_in = SignIn::new(&config(&cloud).await?)?;
    let again = || sign_in.with_password(&user.name, &user.password);
    let as_before = sign_in.renew(&user.session).await?;
    assert_eq!(status(&cloud, as_before.bearer()).await?, StatusCode::OK);

    terminal.lambel(0, &["admin", "user", "revoke", &user.name, "--group", "clients"]).await?;
    let ended = sign_in.renew(&user.session).await.unwrap_err();
    assert!(matches!(ended, ClientError::SignIn(SignInError::Ended)), "{ended}");
    let without = user.client.signed_in(TokenSource::session(sign_in.clone(), again().await?));
    assert!(is_not_allowed(without.tasks(&PageQuery::default()).await));
    without.work().await?;
    // What was given out stays good until it ends. The docs say so.
    assert_eq!(status(&cloud, &user.id_token).await?, StatusCode::OK);

    let refused = |error: ClientError| matches!(error, ClientError::SignIn(SignInError::WrongPassword));
    let session = again().await?;
    terminal.lambel(0, &["admin", "user", "disable", &user.name]).await?;
    assert!(refused(again().await.unwrap_err()) && sign_in.renew(&session).await.is_err());
    terminal.lambel(0, &["admin", "user", "enable", &user.name]).await?;
    let session = again().await?;
    terminal.lambel(0, &["admin", "user", "sign-out", &user.name]).await?;
    assert!(sign_in.renew(&session).await.is_err());
    terminal.lambel(0, &["admin", "user", "remove", &user.name]).await?;
    assert!(refused(again().await.unwrap_err()));
    terminal.lambel(4, &["admin", "user", "remove", &user.name]).await?;
    Ok(())
}

#[tokio::test]
async fn a_revoked_refresh_token_buys_nothing() -> Result<()> {
    let cloud = Cloud::running()?;
    let User { session, .. } = cloud.client().await?;
    let sign_in = SignIn::new(&config(&cloud).await?)?;
    let renewed = sign_in.renew(&session).await?;
    assert_eq!(renewed.refresh_token, session.refresh_token);
    assert_eq!(status(&cloud, renewed.bearer()).await?, StatusCode::OK);
    sign_in.revoke(&renewed).await?;
    let error = sign_in.renew(&session).await.unwrap_err();
    assert!(matches!(error, ClientError::SignIn(SignInError::Ended)), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_admin_without_credentials_is_told_so() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    for command in [["admin", "user", "list"], ["admin", "machine", "list"]] {
        let mut command = terminal.command(&command)?;
        let output = command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").output().await?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(3) && said.contains("AWS_PROFILE"), "{said}");
        ensure!(!said.contains("Error") && !said.contains("{ "), "Rust's own words: {said}");
    }
    Ok(())
}

#[test]
fn nobody_can_make_an_account_for_themselves() {
    // The local cloud lets everybody sign up whatever the template says; AWS does not.
    let template = include_str!("../../../template.yaml");
    for line in [
        "AdminCreateUserConfig: {AllowAdminCreateUserOnly: true}",
        "AccountRecoverySetting: {RecoveryMechanisms: [{Name: admin_only, Priority: 1}]}",
        "PreventUserExistenceErrors: ENABLED",
        "EnableTokenRevocation: true",
    ] {
        assert!(template.contains(line), "{line}");
    }
}
