//! Raw bytes on a socket, for requests that no decent client would send.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::tls_config;
use super::wait;

/// Bytes in both directions.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Sends bytes and reads until the other side closes. A server that would keep the connection has to be told
/// `Connection: close`.
pub(crate) async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut connection = Connection::open(address).await;
    connection.send(bytes).await;
    connection.rest().await
}

/// The same over TLS, as a client that trusts the authority in `ca_file` and wants `localhost`.
pub(crate) async fn exchange_tls(
    address: SocketAddr,
    ca_file: &Path,
    bytes: impl AsRef<[u8]>,
) -> Vec<u8> {
    let mut connection = Connection::open_tls(address, ca_file).await;
    connection.send(bytes).await;
    connection.rest().await
}

/// The status of a raw HTTP/1 answer.
pub(crate) fn status(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.unwrap_or_else(|| panic!("no status line in {text:?}"))
}

/// One connection.
pub(crate) struct Connection {
    wire: Box<dyn Wire>,
    read: Vec<u8>,
}

impl Connection {
    /// Plain TCP.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = wait::soon("a connection", TcpStream::connect(address))
            .await
            .unwrap();
        Self {
            wire: Box::new(stream),
            read: Vec::new(),
        }
    }

    /// TLS for `localhost` with HTTP/1.1.
    pub(crate) async fn open_tls(address: SocketAddr, ca_file: &Path) -> Self {
        let stream = wait::soon("a connection", TcpStream::connect(address)).await;
        Self::tls_over(stream.unwrap(), ca_file).await
    }

    /// The same over a socket that a test has prepared.
    pub(crate) async fn tls_over(stream: TcpStream, ca_file: &Path) -> Self {
        let mut config = tls_config(ca_file);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        Self {
            wire: Box::new(wait::soon("a TLS handshake", handshake).await.unwrap()),
            read: Vec::new(),
        }
    }

    /// Sends bytes. That the other side has already hung up is seen when reading.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.write_all(bytes.as_ref()).await;
        let _ = self.wire.flush().await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        let _ = self.wire.shutdown().await;
    }

    /// Takes one byte, and says whether there was one.
    pub(crate) async fn take_one(&mut self) -> bool {
        self.wire.read_u8().await.is_ok()
    }

    /// Reads until the text has come, and answers everything up to its end.
    pub(crate) async fn read_to(&mut self, text: &str) -> String {
        loop {
            let found = self
                .read
                .windows(text.len())
                .position(|part| part == text.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + text.len());
                let read = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(read).unwrap();
            }
            let more = wait::soon(text, self.wire.read_buf(&mut self.read)).await;
            let soso = String::from_utf8_lossy(&self.read);
            assert!(
                more.unwrap_or(0) > 0,
                "closed before {text:?}, after {soso:?}"
            );
        }
    }

    /// Reads until the other side closes, also by a reset.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        let end = self.wire.read_to_end(&mut self.read);
        let _ = wait::soon("the connection to be closed", end).await;
        self.read
    }
}
