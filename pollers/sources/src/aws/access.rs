//! How an AWS service is reached: endpoint, region, credentials, timeouts. It does not know which service it is.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::{
    RetryConfig, SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig,
    TimeoutConfig,
};
use trine_proto::v1::AwsAccess;

use super::Arn;
use crate::{Problem, Secrets, SourceError};

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for one answer: the longest long poll, and as much again for the way.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// What a request that failed for no fault of its own is tried: enough for a connection that was closed while idle. More is for
/// the runner to decide.
const TRIES: u32 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
const TRY_AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

/// How one mapping reaches its service.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) region: String,
    endpoint_url: Option<String>,
    secrets: Secrets,
}

impl Access {
    /// Checked, without I/O.
    ///
    /// # Errors
    /// When the endpoint is no URL.
    pub(crate) fn new(
        access: Option<&AwsAccess>,
        arn: &Arn,
        secrets: &Secrets,
    ) -> Result<Self, SourceError> {
        let given = access.cloned().unwrap_or_default();
        let region = if given.region.is_empty() { arn.region.clone() } else { given.region };
        let endpoint_url = Some(given.endpoint_url).filter(|url| !url.is_empty());
        if let Some(url) = &endpoint_url
            && !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))
        {
            let says = format!(
                "endpoint_url is \"{url}\"; expected a URL like http://localhost:4566, or nothing for AWS itself"
            );
            return Err(SourceError::configuration(says));
        }
        Ok(Self { region, endpoint_url, secrets: secrets.clone() })
    }

    /// A new client's configuration, with connections of its own.
    ///
    /// # Errors
    /// [`Problem::Authentication`] when there are no credentials.
    pub(crate) fn sdk(&self) -> Result<SdkConfig, SourceError> {
        let retries = RetryConfig::standard()
            .with_max_attempts(TRIES)
            .with_initial_backoff(TRY_AGAIN_AFTER)
            .with_max_backoff(TRY_AGAIN_AFTER_MAX);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_MAX)
            .operation_attempt_timeout(ANSWER_MAX)
            .build();
        let mut config = SdkConfig::builder()
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials()?))
            .http_client(self.http_client())
            .retry_config(retries)
            .timeout_config(timeouts)
            // A long poll is a stream that has stalled, and the timeouts above bound the rest.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(self.endpoint_url.clone());
        Ok(config.build())
    }

    fn http_client(&self) -> SharedHttpClient {
        let plain = self.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
        if plain {
            Builder::new().build_http()
        } else {
            Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
        }
    }

    fn credentials(&self) -> Result<Credentials, SourceError> {
        let key = self.secret("aws-access-key-id", "AWS_ACCESS_KEY_ID");
        let secret = self.secret("aws-secret-access-key", "AWS_SECRET_ACCESS_KEY");
        let token = self.secret("aws-session-token", "AWS_SESSION_TOKEN");
        let (Some(key), Some(secret)) = (key, secret) else {
            let says = "there are no AWS credentials: this poller knows no secrets aws-access-key-id and aws-secret-access-key, \
                        and AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set in its environment";
            return Err(SourceError::new(Problem::Authentication, says));
        };
        Ok(Credentials::new(key, secret, token, None, "the poller's secrets or environment"))
    }

    fn secret(&self, name: &str, variable: &str) -> Option<String> {
        let known = self.secrets.get(name).ok().flatten();
        known.or_else(|| std::env::var(variable).ok()).filter(|text| !text.is_empty())
    }
}
