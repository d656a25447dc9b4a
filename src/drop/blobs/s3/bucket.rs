//! The bucket: how it is reached, and what its objects are called.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use object_store::{
    BackoffConfig, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsCredential, Checksum},
    client::HttpClient,
    path::Path as Name,
};
use reqwest::Client;
use tokio::runtime::{Builder, Handle, Runtime};
use zeroize::Zeroizing;

use super::{
    super::{DropError, RecordId, Result},
    failure::Failure,
    names,
    service::Service,
};
use crate::{
    config::{PublicUrl, S3Config},
    credentials, outbound, threads,
};

/// Number of times that a request is tried again.
const RETRIES_MAX: usize = 3;
/// Time before a request is tried again, at first and at most; it grows in between, and is random.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Number of threads that talk to the service: they encrypt for TLS, and sum up what is uploaded.
const THREADS: usize = 1;

/// A bucket of a service that speaks S3.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) objects: AmazonS3,
    /// For requests that `objects` does not make.
    pub(super) client: HttpClient,
    pub(super) credential: AwsCredential,
    pub(super) region: String,
    /// Its address, without a final slash.
    pub(super) url: String,
    /// Its name, for messages.
    bucket: String,
    /// The beginning of all names; with a final slash, or empty.
    pub(super) prefix: String,
    /// Longest time for which the service may do nothing.
    pub(super) patience: Duration,
    /// The threads that talk to the service; `None` once it is dropped.
    threads: Option<Runtime>,
}

impl Bucket {
    pub(super) fn open(config: &S3Config) -> Result<Self> {
        let key = config.secret_key_file.as_deref().unwrap_or(Path::new(""));
        let secret = credentials::secret(key, "key")?;
        let service = Service(client(config)?);
        let url = config.bucket_url();
        let prefix = match config.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };

        Ok(Self {
            objects: objects(config, service.clone(), &secret)
                .map_err(|e| DropError::io("prepare", Path::new(&url), io::Error::other(e)))?,
            client: HttpClient::new(service),
            credential: AwsCredential {
                key_id: config.access_key_id.clone(),
                secret_key: secret.to_string(),
                token: None,
            },
            region: config.region.clone(),
            threads: Some(
                runtime().map_err(|e| DropError::io("start threads for", Path::new(&url), e))?,
            ),
            url,
            bucket: config.bucket.clone(),
            prefix,
            patience: config.timeout,
        })
    }

    /// Returns the threads that talk to the service.
    pub(super) fn threads(&self) -> &Handle {
        self.threads
            .as_ref()
            .expect("only a drop takes them")
            .handle()
    }

    /// Waits for a request, on a thread that may wait.
    pub(super) fn wait<T>(
        &self,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> io::Result<T> {
        let answered = self.threads().block_on(request);
        answered.map_err(|error| self.failure(&error))
    }

    /// Returns the cause of an error.
    pub(super) fn failure(&self, error: &(dyn std::error::Error + 'static)) -> io::Error {
        Failure::of(error, self.patience).into()
    }

    /// Says of a failure what was attempted on which object.
    pub(super) fn named<T>(
        &self,
        action: &'static str,
        name: &Name,
        result: io::Result<T>,
    ) -> Result<T> {
        result.map_err(|e| DropError::io(action, &self.path(name), e))
    }

    /// Returns an object's path, for messages.
    pub(super) fn path(&self, name: &Name) -> PathBuf {
        self.shown(name.as_ref()).into()
    }

    /// Returns the place of a name in the bucket, for messages.
    pub(super) fn shown(&self, name: &str) -> String {
        format!("s3://{}/{name}", self.bucket)
    }

    /// Returns the name of a blob.
    pub(super) fn name(&self, id: RecordId, number: u32) -> Name {
        Name::from(format!("{}{}", self.prefix, names::of_blob(id, number)))
    }

    /// Returns the beginning of the names of all blobs whose id begins with this byte.
    pub(super) fn slice(&self, slice: u8) -> String {
        format!("{}{slice:02x}/", self.prefix)
    }

    /// Returns the package to which an object of this name belongs, and its number there.
    pub(super) fn owner(&self, name: &str) -> Option<(RecordId, u32)> {
        names::owner(name.strip_prefix(&self.prefix)?)
    }
}

impl Drop for Bucket {
    /// The last holder may be a task, which must not wait for threads to end.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    let mut s3 = Builder::new_multi_thread();
    s3.worker_threads(THREADS).enable_all();
    threads::start(&mut s3, "s3", THREADS)
}

fn client(config: &S3Config) -> Result<Client> {
    let is_secure = config.endpoint.as_ref().is_some_and(PublicUrl::is_secure);
    let ca_file = config.ca_file.as_deref();
    let client = outbound::client(is_secure, config.connect_timeout, ca_file)?;
    client.read_timeout(config.timeout).build().map_err(|e| {
        let url = config.bucket_url();
        DropError::io("prepare TLS for", Path::new(&url), io::Error::other(e))
    })
}

/// Each part is sent with its SHA-256, which the service compares and keeps.
fn objects(
    config: &S3Config,
    service: Service,
    secret: &Zeroizing<String>,
) -> object_store::Result<AmazonS3> {
    let endpoint = if config.path_style {
        config
            .endpoint
            .as_ref()
            .map_or_else(String::new, ToString::to_string)
    } else {
        config.bucket_url()
    };
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_virtual_hosted_style_request(!config.path_style)
        .with_region(&config.region)
        .with_bucket_name(&config.bucket)
        .with_access_key_id(&config.access_key_id)
        .with_secret_access_key(secret.as_str())
        .with_allow_http(true)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: BACKOFF.0,
                max_backoff: BACKOFF.1,
                ..BackoffConfig::default()
            },
            max_retries: RETRIES_MAX,
            retry_timeout: config.timeout,
        })
        .with_http_connector(service)
        .build()
}
