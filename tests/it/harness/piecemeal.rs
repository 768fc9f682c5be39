//! A POST whose body goes out piece by piece, declared or not, over either HTTP: what [`Client`](super::client::Client)
//! cannot do, since it knows its bodies.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::{Http, tls_config};
use super::gateway::{PUBLIC, Rig};
use super::{mcp, wait};

/// What is sent.
pub(crate) struct Piecemeal<'a> {
    pub(crate) token: &'a str,
    /// The length that is declared, if any.
    pub(crate) declared: Option<usize>,
    pub(crate) pieces: Vec<Bytes>,
    /// Whether the body ends after its pieces, or just goes silent.
    pub(crate) ends: bool,
}

impl Piecemeal<'_> {
    /// Sends it on a connection of its own, and reads the whole answer.
    pub(crate) async fn post(self, rig: &Rig, http: Http) -> (StatusCode, Value) {
        let mut config = tls_config(&rig.ca_file);
        config.alpn_protocols = vec![match http {
            Http::One => b"http/1.1".to_vec(),
            Http::Two => b"h2".to_vec(),
        }];
        let tcp = TcpStream::connect(rig.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let io = TokioIo::new(wait::soon("a handshake", connecting).await.unwrap());
        let request = self.request(http);
        let response = match http {
            Http::One => {
                let (mut sender, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                wait::soon("an answer", sender.send_request(request)).await
            }
            Http::Two => {
                let shaken = http2::handshake(TokioExecutor::new(), io).await;
                let (mut sender, connection) = shaken.unwrap();
                tokio::spawn(connection);
                wait::soon("an answer", sender.send_request(request)).await
            }
        };
        whole(response.unwrap()).await
    }

    fn request(self, http: Http) -> Request<impl Body<Data = Bytes, Error = Infallible> + 'static> {
        let mut request = Request::post(match http {
            Http::One => "/mcp".to_owned(),
            Http::Two => format!("{PUBLIC}/mcp"),
        })
        .header("authorization", format!("Bearer {}", self.token))
        .header("mcp-protocol-version", mcp::LEGACY)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
        if http == Http::One {
            request = request.header("host", "localhost");
        }
        if let Some(length) = self.declared {
            request = request.header("content-length", length);
        }
        let pieces = stream::iter(self.pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
        let body = if self.ends {
            StreamBody::new(pieces.left_stream())
        } else {
            StreamBody::new(pieces.chain(stream::pending()).right_stream())
        };
        request.body(body).unwrap()
    }
}

async fn whole(response: Response<hyper::body::Incoming>) -> (StatusCode, Value) {
    let (head, body) = response.into_parts();
    let body = wait::soon("the rest of an answer", body.collect()).await;
    let body = body.expect("a whole answer").to_bytes();
    let read = serde_json::from_slice(&body);
    (
        head.status,
        read.unwrap_or_else(|error| panic!("{error} in {body:?}")),
    )
}
