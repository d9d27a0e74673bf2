//! Starting and stopping the emulator.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::instance::{Instance, root};
use crate::python::Venv;
use crate::step::{step, tail};

/// Open nothing but the emulator, which knows this key as its root's.
pub(crate) const ACCESS_KEY: &str = "local-access-key";
pub(crate) const SECRET_KEY: &str = "local-secret-key";
pub(crate) const REGION: &str = "us-east-1";

const DEFAULT_PORT: u16 = 4566;
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// A running emulator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cloud {
    pub(crate) port: u16,
    pub(crate) pid: u32,
}

impl Cloud {
    pub(crate) fn endpoint(self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a program needs to reach this cloud, and nothing by which it could reach a real one.
    pub(crate) fn apply_to(self, command: &mut Command) {
        apply_env(command, self.port);
    }
}

/// Whether the emulator ends with the process that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It stays until `down`.
    Free,
    /// It stops when the returned child's standard input is dropped, for whatever reason.
    Tethered,
}

/// Returns the instance's emulator, started if it is not running.
pub(crate) fn start(instance: &Instance, port: Option<u16>, life: Life) -> Result<(Cloud, Option<Child>)> {
    if let Some(cloud) = running(instance) {
        if port.is_some_and(|port| port != cloud.port) {
            bail!("it is running already, on port {}: stop it first with `cargo xtask down`", cloud.port);
        }
        return Ok((cloud, None));
    }
    let port = port.or_else(|| remembered_port(instance)).unwrap_or(DEFAULT_PORT);
    if TcpStream::connect_timeout(&local(port), Duration::from_secs(1)).is_ok() {
        bail!(
            "something else is listening on port {port}: stop it, or choose another with `cargo xtask up --port {}`",
            free_port()?
        );
    }
    step(&format!("starting the local cloud on port {port}"), || {
        for dir in [instance.data().join("state"), instance.data().join("s3"), instance.tmp()] {
            fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
        }
        let log = instance.log("cloud");
        let mut child = spawn(instance, port, life, &log)?;
        let cloud = Cloud { port, pid: child.id() };
        fs::write(instance.pid_file(), cloud.pid.to_string())?;
        fs::write(instance.port_file(), port.to_string())?;
        let deadline = Instant::now() + START_LIMIT;
        while !is_healthy(port) {
            if let Some(status) = child.try_wait()? {
                bail!("the local cloud ended at once with {status}; its last words:\n\n{}", tail(&log));
            }
            if Instant::now() > deadline {
                bail!(
                    "the local cloud does not answer after {} s; its last words:\n\n{}",
                    START_LIMIT.as_secs(),
                    tail(&log)
                );
            }
            sleep(Duration::from_millis(100));
        }
        Ok((cloud, Some(child)))
    })
}

fn spawn(instance: &Instance, port: u16, life: Life, log: &Path) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("failed to write {}", log.display()))?;
    let mut command = Command::new(Venv::Cloud.bin("python"));
    command.arg(start_script()).arg(instance.name);
    if life == Life::Tethered {
        command.arg("--tethered");
    }
    // These it hands on to the functions, which find the emulator by them.
    apply_env(&mut command, port);
    command
        .env("GATEWAY_PORT", port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        // Signatures and roles are checked, so that a missing permission is found here and not on AWS.
        .env("AUTH", "true")
        .env("PERSIST_STATE", "1")
        .env("STATE_DIR", instance.data().join("state"))
        .env("S3_PERSIST", "1")
        .env("S3_DATA_DIR", instance.data().join("s3"))
        .env("TMPDIR", instance.tmp())
        // It would open a port to the world, for a service that is not used.
        .env("IOT_MTLS_ENABLED", "0")
        .current_dir(&instance.dir)
        .stdin(if life == Life::Tethered { Stdio::piped() } else { Stdio::null() })
        .stdout(output.try_clone()?)
        .stderr(output)
        // Not in the terminal's group: Ctrl-C is for the command, not for the cloud.
        .process_group(0)
        .spawn()
        .context("failed to start the local cloud")
}

fn apply_env(command: &mut Command, port: u16) {
    for name in
        ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"]
    {
        command.env_remove(name);
    }
    command
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        // A developer's own settings and keys stay out of this.
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "")
        .env("SAM_CLI_TELEMETRY", "0");
}

/// Stops the emulators of this checkout, also those that were kept after tests.
pub(crate) fn down_all(wipe: bool) -> Result<()> {
    for instance in [Instance::dev()?, Instance::test()?, Instance::probe()?] {
        stop(&instance)?;
        if wipe {
            wipe_data(&instance)?;
        }
    }
    Ok(())
}

/// Stops the emulator and waits for it: what it writes late would be lost otherwise.
pub(crate) fn stop(instance: &Instance) -> Result<()> {
    if let Some(cloud) = running(instance) {
        step(&format!("stopping the local cloud ({})", instance.name), || {
            terminate(cloud.pid)?;
            let deadline = Instant::now() + STOP_LIMIT;
            while is_ours(cloud.pid, instance) {
                if Instant::now() > deadline {
                    bail!("process {} does not stop: look at it, then `kill -KILL {0}`", cloud.pid);
                }
                sleep(Duration::from_millis(50));
            }
            Ok(())
        })?;
    }
    remove_if_there(&instance.pid_file())?;
    remove_if_there(&instance.cloud_json())
}

/// Forgets what the instance's cloud held. Logs and packages stay.
pub(crate) fn wipe_data(instance: &Instance) -> Result<()> {
    for dir in [instance.data(), instance.tmp()] {
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("failed to delete {}", dir.display()))?;
        }
    }
    Ok(())
}

/// The instance's emulator, if it runs and is really that: process ids are used again.
pub(crate) fn running(instance: &Instance) -> Option<Cloud> {
    let pid = fs::read_to_string(instance.pid_file()).ok()?.trim().parse().ok()?;
    let port = remembered_port(instance)?;
    is_ours(pid, instance).then_some(Cloud { port, pid })
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(local(0)).context("failed to find a free port")?;
    Ok(listener.local_addr()?.port())
}

fn remembered_port(instance: &Instance) -> Option<u16> {
    fs::read_to_string(instance.port_file()).ok()?.trim().parse().ok()
}

fn start_script() -> std::path::PathBuf {
    root().join("localstack").join("start.py")
}

fn is_ours(pid: u32, instance: &Instance) -> bool {
    let words = command_line(pid);
    let script = start_script();
    words.windows(2).any(|pair| Path::new(&pair[0]) == script && pair[1] == instance.name)
}

/// The words of a process's command line; none if it is gone or a zombie.
fn command_line(pid: u32) -> Vec<String> {
    if let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) {
        return line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    }
    // No /proc on macOS.
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    let line = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&line).split_whitespace().map(str::to_owned).collect()
}

fn terminate(pid: u32) -> Result<()> {
    // Not every system has a kill program, but every shell has it built in.
    let status = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status()?;
    if !status.success() {
        bail!("failed to stop process {pid}");
    }
    Ok(())
}

fn is_healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&local(port), Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    };
    ask().is_ok_and(|head| head == "HTTP/1.1 200")
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_the_emulator_is_not_ours_to_stop() {
        let instance = Instance { name: "dev", dir: std::env::temp_dir() };
        let this = std::process::id();
        assert!(!command_line(this).is_empty());
        assert!(!is_ours(this, &instance));
    }

    #[test]
    fn a_port_that_nobody_listens_on_is_not_healthy() {
        let port = free_port().expect("there is a free port");
        assert!(!is_healthy(port));
    }
}
