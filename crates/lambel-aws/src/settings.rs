//! What a function reads from its environment, once, when it starts.

use std::{env, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use lambel_core::webhook::target::TargetRules;

/// An environment variable that a function needs and has not.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is not set")]
pub struct MissingSetting(&'static str);

/// Reads a setting.
pub fn setting(name: &'static str) -> Result<String, MissingSetting> {
    env::var(name).ok().filter(|value| !value.is_empty()).ok_or(MissingSetting(name))
}

/// What the targets of webhooks may be. `WEBHOOKS_ALLOW_LOOPBACK=1` lets them be on this machine: only the local cloud
/// sets it.
pub fn target_rules() -> TargetRules {
    TargetRules { loopback: setting("WEBHOOKS_ALLOW_LOOPBACK").is_ok_and(|value| value == "1") }
}

/// What the clients of all services share.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// Reads region, credentials and endpoint as every AWS program does.
    ///
    /// One try of a call takes 4 seconds at most and all its tries together 12: below the time-out of every
    /// function, so that a function hears of the failure before it is stopped.
    pub async fn from_env() -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(4))
            .operation_timeout(Duration::from_secs(12))
            .build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .timeout_config(timeouts)
            .load()
            .await;
        Self { config }
    }

    /// With a configuration of one's own.
    pub fn of(config: SdkConfig) -> Self {
        Self { config }
    }

    /// The shared configuration.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The region.
    pub fn region(&self) -> String {
        self.config.region().map_or_else(String::new, ToString::to_string)
    }

    /// Where the user pool answers.
    pub fn sign_in_endpoint(&self) -> String {
        match self.config.endpoint_url() {
            Some(local) => local.to_owned(),
            None => format!("https://cognito-idp.{}.amazonaws.com", self.region()),
        }
    }

    /// Where machines get their tokens: at an address of the pool's own. The local cloud has one for all pools.
    pub fn token_endpoint(&self, of_pool: String) -> String {
        match self.config.endpoint_url() {
            Some(local) => format!("{}/oauth2/token", local.trim_end_matches('/')),
            None => of_pool,
        }
    }

    /// Whether an endpoint of one's own is set: the local cloud. It has one host name for all buckets.
    pub fn is_local(&self) -> bool {
        self.config.endpoint_url().is_some()
    }
}
