//! The connection to a Redis: one, shared by all, made when it is needed and made anew when it breaks. Connecting and
//! answering have their time; after a failure everybody is refused at once until a pause is over, so that a Redis that is
//! away costs its callers nothing but the refusal. TLS is set up as for every other outgoing connection.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, FromRedisValue, Pipeline, RedisError, ScriptInvocation};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::Settings;
use super::address::Address;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::trust;

/// Answers that may be under way at the same time; more callers wait for their turn, up to the time for an answer.
const UNDER_WAY_MAX: usize = 1024;

/// A connection to one Redis. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: Address,
    tls: Option<Tls>,
    connect_timeout: Duration,
    response_timeout: Duration,
    retry_pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    wire: Option<(MultiplexedConnection, JoinHandle<()>)>,
    /// Until when nobody tries again, and why not.
    down: Option<(Instant, String)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("is_up", &self.wire.is_some())
            .finish_non_exhaustive()
    }
}

struct Tls(TlsConnector, ServerName<'static>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tls").field(&self.1).finish()
    }
}

impl Tls {
    fn new(host: &str, settings: &Settings) -> Result<Self, StoreError> {
        let unusable = |why: &dyn std::fmt::Display| {
            StoreError::Unusable(format!("TLS to the store cannot be set up: {why}"))
        };
        let (only, extra) = (&settings.ca_file, &settings.extra_ca_file);
        let config = trust::client_config(only.as_deref(), extra.as_deref())
            .map_err(|error| unusable(&error))?
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| unusable(&error))?;
        Ok(Self(TlsConnector::from(Arc::new(config)), name))
    }
}

impl Link {
    /// Prepares a connection; none is made yet.
    pub(crate) fn new(url: &Secret<String>, settings: &Settings) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let tls = address
            .is_tls
            .then(|| Tls::new(&address.host, settings))
            .transpose()?;
        Ok(Self(Arc::new(Inner {
            address,
            tls,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            retry_pause: settings.retry_pause,
            state: Mutex::default(),
        })))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// Runs a script. It is not run again when its answer is lost: nobody knows what it did.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let mut wire = self.wire().await?;
        match script.invoke_async(&mut wire).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(&error).await),
        }
    }

    /// Sends commands that only read. A connection that breaks meanwhile costs another try.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, StoreError> {
        let mut wire = self.wire().await?;
        let error = match commands.query_async(&mut wire).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let failed = self.failed(&error).await;
        if !error.is_connection_dropped() {
            return Err(failed);
        }
        let mut wire = self.wire().await?;
        match commands.query_async(&mut wire).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(&error).await),
        }
    }

    async fn failed(&self, error: &RedisError) -> StoreError {
        // A server that became a replica, or is still loading, is not the one to stay with.
        let elsewhere = matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "LOADING"));
        if elsewhere || error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error()
        {
            self.0.state.lock().await.wire = None;
        }
        unavailable(error)
    }

    async fn wire(&self) -> Result<impl ConnectionLike + Send + use<>, StoreError> {
        let mut state = self.0.state.lock().await;
        if let Some((connection, driver)) = &state.wire
            && !driver.is_finished()
        {
            return Ok(connection.clone());
        }
        state.wire = None;
        if let Some((until, why)) = &state.down
            && Instant::now() < *until
        {
            return Err(StoreError::Unavailable(why.clone()));
        }
        let connected = tokio::time::timeout(self.0.connect_timeout, self.connect()).await;
        let why = match connected {
            Ok(Ok((connection, driver))) => {
                state.wire = Some((connection.clone(), driver));
                state.down = None;
                return Ok(connection);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it takes too long to connect".to_owned(),
        };
        tracing::warn!(store = %self.0.address, error = %why, "the store cannot be reached");
        state.down = Some((Instant::now() + self.0.retry_pause, why.clone()));
        Err(StoreError::Unavailable(why))
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, JoinHandle<()>), RedisError> {
        let Inner { address, tls, .. } = &*self.0;
        let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        match tls {
            Some(Tls(connector, name)) => {
                self.speak(connector.connect(name.clone(), stream).await?)
                    .await
            }
            None => self.speak(stream).await,
        }
    }

    /// Logs in, and leaves the rest to a task that ends with the connection.
    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(MultiplexedConnection, JoinHandle<()>), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.0.response_timeout))
            .set_concurrency_limit(UNDER_WAY_MAX);
        let login = &self.0.address.login;
        let (connection, driver) =
            MultiplexedConnection::new_with_config(login, stream, config).await?;
        Ok((connection, tokio::spawn(driver)))
    }
}

pub(super) fn unavailable(error: &RedisError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
