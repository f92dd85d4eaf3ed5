//! One Envoy process: started with a bootstrap, waited for until it serves, stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;

use super::admin::Admin;
use super::child::{Child, ChildCommand, ChildError};

/// How often a starting Envoy is asked whether it serves.
const READY_EVERY: Duration = Duration::from_millis(20);
/// How many of Envoy's last lines an error repeats.
const SHOWN_LINES: usize = 15;

/// How to start an Envoy.
#[derive(Clone, Debug)]
pub struct EnvoyOptions {
    /// What it is called in errors, and what its files are named after.
    pub name: String,
    /// The `outrigger` binary, which ties Envoy's life to this process's.
    pub guard: PathBuf,
    pub binary: PathBuf,
    /// Where its bootstrap and its log are written.
    pub folder: PathBuf,
    pub concurrency: u32,
    /// `info`, `debug`…: the value of `--log-level`.
    pub log_level: String,
    /// How long a listener that changes lets its connections go on; Envoy's own default is 600 s.
    pub drain: Duration,
}

/// A running Envoy. Dropped, it is killed.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    admin: Admin,
}

#[derive(Debug, Error)]
pub enum EnvoyError {
    #[error("cannot write the bootstrap `{path}`")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error("{name} ended ({status}); its last lines, of `{log}`:\n{lines}")]
    Ended {
        name: String,
        status: ExitStatus,
        log: PathBuf,
        lines: String,
    },
    #[error("{name} runs but does not serve after {} s: the control plane has not answered it; \
             its last lines, of `{log}`:\n{lines}", after.as_secs())]
    NotReady {
        name: String,
        after: Duration,
        log: PathBuf,
        lines: String,
    },
}

impl EnvoyOptions {
    /// One worker, Envoy's own default for the rest.
    pub fn new(name: impl Into<String>, guard: &Path, binary: &Path, folder: &Path) -> Self {
        Self {
            name: name.into(),
            guard: guard.to_owned(),
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            concurrency: 1,
            log_level: "info".to_owned(),
            drain: Duration::from_mins(10),
        }
    }
}

impl Envoy {
    /// Writes the bootstrap and starts Envoy with it; `admin` is the address that the bootstrap gives.
    ///
    /// # Errors
    /// [`EnvoyError`] when a file cannot be written or the process not be started.
    pub fn start(
        options: &EnvoyOptions,
        bootstrap: &Value,
        admin: SocketAddr,
    ) -> Result<Self, EnvoyError> {
        let config = options.folder.join(format!("{}.json", options.name));
        std::fs::write(&config, format!("{bootstrap:#}")).map_err(|source| EnvoyError::Write {
            path: config.clone(),
            source,
        })?;
        let log = options.folder.join(format!("{}.log", options.name));
        let child = ChildCommand::new(&options.guard, &options.binary)
            .arg("--config-path")
            .arg(&config)
            .args(["--concurrency", &options.concurrency.to_string()])
            .args(["--log-level", &options.log_level])
            .args(["--drain-time-s", &options.drain.as_secs().to_string()])
            // Many Envoys on one machine would share the memory that hot restart uses.
            .arg("--disable-hot-restart")
            .spawn(&options.name, &log)?;
        Ok(Self {
            child,
            admin: Admin::new(admin),
        })
    }

    pub fn name(&self) -> &str {
        self.child.name()
    }

    pub fn admin(&self) -> Admin {
        self.admin
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until Envoy has its first configuration and serves.
    ///
    /// # Errors
    /// [`EnvoyError`] with Envoy's last lines when it ends, or does not serve in time.
    pub async fn ready(&mut self, within: Duration) -> Result<(), EnvoyError> {
        let deadline = Instant::now() + within;
        let mut look = tokio::time::interval(READY_EVERY);
        while Instant::now() < deadline {
            look.tick().await;
            if let Some(status) = self.child.ended() {
                return Err(self.ended(status));
            }
            if self.admin.is_ready().await {
                return Ok(());
            }
        }
        Err(EnvoyError::NotReady {
            name: self.name().to_owned(),
            after: within,
            log: self.child.log().to_owned(),
            lines: self.lines(),
        })
    }

    /// Waits for Envoy to end, which it should not. Cancel-safe.
    pub async fn wait(&mut self) -> EnvoyError {
        match self.child.wait().await {
            Ok(status) => self.ended(status),
            Err(error) => error.into(),
        }
    }

    /// Asks Envoy to end, and kills it if it has not within `grace`.
    ///
    /// # Errors
    /// [`EnvoyError::Child`] when it cannot be waited for.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus, EnvoyError> {
        Ok(self.child.stop(grace).await?)
    }

    fn ended(&self, status: ExitStatus) -> EnvoyError {
        EnvoyError::Ended {
            name: self.name().to_owned(),
            status,
            log: self.child.log().to_owned(),
            lines: self.lines(),
        }
    }

    fn lines(&self) -> String {
        let lines = self.child.last_lines(SHOWN_LINES);
        format!("    {}", lines.join("\n    "))
    }
}
