//! The one place where a request body is read: whole, under the armed size and time limits. A body that comes in one
//! piece is handed on without a copy.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{Armed, LimitsError, Settings};

/// Reads a body to its end.
///
/// # Errors
/// [`LimitsError::BodyBytes`] as soon as the size is known to be over the limit, which for a declared length is before the
/// first byte; [`LimitsError::BodyTimeout`] and [`LimitsError::BodyBroken`] as named.
pub async fn read<B>(body: B, headers: &HeaderMap, armed: &Armed) -> Result<Bytes, LimitsError>
where
    B: Body<Data = Bytes, Error: Error> + Unpin,
{
    if declared(headers).is_some_and(|length| length > armed.body_bytes as u64) {
        return Err(LimitsError::BodyBytes);
    }
    timeout(armed.body_timeout, collect(body, armed.body_bytes))
        .await
        .unwrap_or(Err(LimitsError::BodyTimeout))
}

/// Reads what is left of a refused body and forgets it, so that a caller who is still sending gets to read the refusal
/// instead of a broken connection. Little more than an acceptable body is worth that, and little time.
pub async fn discard<B>(body: &mut B, settings: &Settings)
where
    B: Body<Data = Bytes> + Unpin,
{
    let limit = settings.body_bytes.as_usize().saturating_mul(2);
    let reading = async {
        let mut seen = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            seen = seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if seen > limit {
                break;
            }
        }
    };
    let _ = timeout(DISCARD_TIME, reading).await;
}

/// How long a refused caller may go on sending.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Whether a caller waits to be asked for its body and has not been: whoever sends `Expect: 100-continue` wants to hear a
/// refusal before it sends anything (RFC 9110 section 10.1.1), and reading is what asks it. `begun` says whether somebody
/// may have begun to read; of a declared body we can see that nobody did.
pub fn is_unasked<B: Body>(body: &B, headers: &HeaderMap, begun: bool) -> bool {
    let waits = headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let untouched = || declared(headers).is_some_and(|all| body.size_hint().exact() == Some(all));
    waits && (!begun || untouched())
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why a body ended before its end: the guard of the connection says so, or the peer went away.
fn broken(error: &impl Error) -> LimitsError {
    let mut source = error.source();
    while let Some(error) = source {
        let io = error.downcast_ref::<io::Error>();
        if let Some(fault) = io.and_then(|io| io.get_ref()?.downcast_ref()) {
            return LimitsError::BodyMalformed(*fault);
        }
        source = error.source();
    }
    LimitsError::BodyBroken
}

async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, LimitsError>
where
    B: Body<Data = Bytes, Error: Error> + Unpin,
{
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        // No MCP client sends trailers; the HTTP/2 library keeps from us whether they are well-formed.
        let data = frame.into_data().map_err(|_| LimitsError::Framing)?;
        if first.len() + rest.len() + data.len() > limit {
            return Err(LimitsError::BodyBytes);
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn armed(body_bytes: usize) -> Armed {
        Armed {
            origin: None,
            body_bytes,
            body_timeout: Duration::from_secs(5),
        }
    }

    fn chunks(parts: &[&'static [u8]]) -> impl Body<Data = Bytes, Error = io::Error> + Unpin {
        let frames: Vec<_> = parts
            .iter()
            .map(|part| Ok(Frame::data(Bytes::from_static(part))))
            .collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn r501_one_byte_over_the_limit_is_refused_declared_or_not() {
        let mut declared = HeaderMap::new();
        declared.insert(CONTENT_LENGTH, 9.into());
        assert_eq!(
            read(chunks(&[b"12345678"]), &declared, &armed(8)).await,
            Err(LimitsError::BodyBytes)
        );
        assert_eq!(
            read(chunks(&[b"1234", b"56789"]), &HeaderMap::new(), &armed(8)).await,
            Err(LimitsError::BodyBytes)
        );
        assert_eq!(
            read(chunks(&[b"1234", b"5678"]), &HeaderMap::new(), &armed(8))
                .await
                .unwrap(),
            "12345678"
        );
    }

    #[tokio::test]
    async fn a_body_with_trailers_is_refused_even_if_they_are_empty() {
        let frames = vec![
            Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"{}"))),
            Ok(Frame::trailers(HeaderMap::new())),
        ];
        let body = StreamBody::new(stream::iter(frames));
        assert_eq!(
            read(body, &HeaderMap::new(), &armed(8)).await,
            Err(LimitsError::Framing)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, io::Error>>());
        assert_eq!(
            read(endless, &HeaderMap::new(), &armed(8)).await,
            Err(LimitsError::BodyTimeout)
        );
    }

    #[test]
    fn rfc9110_s10_1_1_only_an_untouched_body_is_still_unasked() {
        let body = http_body_util::Full::new(Bytes::from_static(b"12345678"));
        let headers = |lines: &[(http::HeaderName, &'static str)]| -> HeaderMap {
            let value = |text| http::HeaderValue::from_static(text);
            lines.iter().cloned().map(|(n, v)| (n, value(v))).collect()
        };
        let waits = (EXPECT, "100-Continue");
        let (whole, longer) = ((CONTENT_LENGTH, "8"), (CONTENT_LENGTH, "9"));
        for (lines, begun, unasked) in [
            (vec![whole.clone()], false, false),
            (vec![waits.clone()], false, true),
            (vec![waits.clone()], true, false),
            (vec![waits.clone(), whole], true, true),
            (vec![waits, longer], true, false),
        ] {
            assert_eq!(
                is_unasked(&body, &headers(&lines), begun),
                unasked,
                "{lines:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused() {
        let broken = StreamBody::new(stream::iter(vec![
            Ok(Frame::data(Bytes::from_static(b"{"))),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        ]));
        assert_eq!(
            read(broken, &HeaderMap::new(), &armed(8)).await,
            Err(LimitsError::BodyBroken)
        );
    }
}
