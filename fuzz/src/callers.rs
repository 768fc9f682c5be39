//! Tokens and principals, made the way the gateway makes them: a principal exists only where a token was verified.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use sallygate::auth::settings::{OwnKey, OwnSettings, Settings};
use sallygate::auth::{AuthError, Bearer, Grant, Mint, Principal, ResourceId, Verifier};
use sallygate::clock::{Clock, Timestamp};
use sallygate::secret::Secret;

/// The key of all tokens here. It protects nothing.
pub const KEY: &[u8] = b"canary-not-a-real-key-7Q2mXv9LzR4tKb8WcY3s";
/// Whose tokens they are.
pub const ISSUER: &str = "https://gateway.test";
/// What they are for.
pub const RESOURCE: &str = "https://gateway.test/mcp";
/// When all of this happens: a moment in 2033 that never passes.
pub const NOW: Timestamp = Timestamp::from_seconds(2_000_000_000);

fn own() -> OwnSettings {
    OwnSettings {
        issuer: ISSUER.into(),
        keys: vec![OwnKey {
            kid: "proof".into(),
            secret: Secret::new(KEY.to_vec()),
        }],
        ..OwnSettings::default()
    }
}

/// A verifier of the gateway's own tokens at [`NOW`].
pub fn verifier() -> Verifier {
    let settings = Settings {
        own: Some(own()),
        // Nothing is remembered: every input is judged.
        cache_capacity: 1,
        ..Settings::default()
    };
    Verifier::new(&settings, Clock::manual(NOW)).expect("these settings are usable")
}

/// The resource of all tokens here.
pub fn resource() -> ResourceId {
    ResourceId::parse(RESOURCE).expect("a resource")
}

/// What the verifier says about a token. Own keys are at hand, so nothing is awaited.
pub fn verify(verifier: &Verifier, token: &Bearer<'_>) -> Result<Arc<Principal>, AuthError> {
    verifier
        .verify(token, &resource())
        .now_or_never()
        .expect("own tokens are verified at once")
}

/// A token with this header and payload and a good signature.
pub fn signed(header: &[u8], payload: &[u8]) -> String {
    let input = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Whether the last part of a token is the HMAC of what stands before it.
pub fn is_signed(token: &str) -> bool {
    let Some((input, signature)) = token.rsplit_once('.') else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    let tag = hmac::sign(&key, input.as_bytes());
    URL_SAFE_NO_PAD.encode(tag) == signature
}

/// A caller of this name, tier and scopes.
pub fn principal(user: &str, tier: &str, scopes: &[&str]) -> Arc<Principal> {
    let grant = Grant {
        user: user.into(),
        team: "team-1".into(),
        tier: tier.into(),
        scopes: scopes.iter().map(|scope| (*scope).into()).collect(),
        audiences: vec![resource()],
        ..Grant::default()
    };
    let mint = Mint::new(&own(), Clock::manual(NOW)).expect("these settings are usable");
    let minted = mint.mint(&grant).expect("a token can be made");
    let token = Bearer::parse(minted.token.expose(), 8192).expect("well formed");
    verify(&verifier(), &token).expect("a good token")
}
