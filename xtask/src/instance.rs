//! Where things lie: `.lambel/venv/` is shared, and each local cloud, an *instance*, has a folder.
//!
//! ```text
//! .lambel/venv/{cloud,tools,scan} the Python environments
//! .lambel/tools                 programs built by cargo
//! .lambel/<instance>/data       tables, objects and queues of the local cloud
//!                   /logs       what the emulator and every tool printed
//!                   /package    template and functions as they were deployed
//!                   /tmp        the emulator's temporary files
//!                   /cloud.json addresses, names and accounts, for programs
//!                   /pid, /port the running emulator
//! ```

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs};

use anyhow::{Context, Result};

/// One local cloud of this checkout.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
}

impl Instance {
    /// The one that `up` and `demo` use.
    pub(crate) fn dev() -> Result<Self> {
        Self::named("dev")
    }

    /// The one that `test` starts afresh.
    pub(crate) fn test() -> Result<Self> {
        Self::named("test")
    }

    fn named(name: &'static str) -> Result<Self> {
        let dir = home().join(name);
        fs::create_dir_all(dir.join("logs")).with_context(|| format!("failed to create {}", dir.display()))?;
        Ok(Self { name, dir })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    pub(crate) fn package(&self) -> PathBuf {
        self.dir.join("package")
    }

    pub(crate) fn cloud_json(&self) -> PathBuf {
        self.dir.join("cloud.json")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    pub(crate) fn port_file(&self) -> PathBuf {
        self.dir.join("port")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }
}

/// The checkout that `cargo xtask` was called in. Cargo says which when it runs the program; the one that it was
/// built in may be another, where checkouts share a target folder.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        package.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
    })
}

/// The ignored folder that holds all that these commands make.
pub(crate) fn home() -> PathBuf {
    root().join(".lambel")
}
