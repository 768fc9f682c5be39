//! What operators do about users, sessions, clients and tokens. The same functions serve the socket and the command line of a
//! gateway that does not run.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::verbs::{Call, Outcome, Refusal, Verbs};
use super::{records, secrets};
use crate::audit::Sink;
use crate::auth::{Mark, UserId};
use crate::clock::{Clock, Timestamp};
use crate::grants::Grants;
use crate::oauth;
use crate::revocation::Revocations;
use crate::store::{Key, SCAN_MAX, Store, StoreError, Table, record};
use crate::users::{self, User};
use crate::vault::Vault;

/// No access token lives longer (C04).
const LONGEST_TOKEN: Duration = Duration::from_secs(86_400);
/// How many users one answer lists unless it is said.
const PAGE: usize = 100;
/// What users leave in tables whose ids begin with theirs.
const TRACES: [Table; 2] = [Table::Consent, Table::UserGrant];

/// What is needed to act on users, and on what is kept.
#[derive(Clone)]
pub struct People {
    /// Where records are kept.
    pub store: Arc<dyn Store>,
    /// What ends before its time.
    pub revocations: Arc<Revocations>,
    /// The sessions.
    pub grants: Option<Arc<Grants>>,
    /// The credentials.
    pub vault: Option<Arc<Vault>>,
    /// The time.
    pub clock: Clock,
}

/// The verbs about users, sessions, clients, tokens, the vault and the store.
pub fn verbs(people: &People, audit: Sink) -> Verbs {
    let (get, post) = (Method::GET, Method::POST);
    let verbs = Verbs::new(audit, people.clock.clone())
        .on(get.clone(), "/users", "user_list", on(people, list))
        .on(get, "/users/{}", "user_show", on(people, show))
        .on(
            post.clone(),
            "/users/{}/disable",
            "user_disable",
            on(people, disable),
        )
        .on(
            post.clone(),
            "/users/{}/enable",
            "user_enable",
            on(people, enable),
        )
        .on(
            post.clone(),
            "/users/{}/logout",
            "user_logout",
            on(people, logout),
        )
        .on(
            post.clone(),
            "/users/{}/erase",
            "user_erase",
            on(people, erase),
        )
        .on(
            post.clone(),
            "/sessions/{}/revoke",
            "session_revoke",
            on(people, session),
        )
        .on(
            post.clone(),
            "/clients/{}/revoke",
            "client_revoke",
            on(people, client),
        )
        .on(post, "/tokens/{}/revoke", "token_revoke", on(people, token));
    secrets::add(records::add(verbs, people), people)
}

/// The canonical id: `user_12345`, as tokens have it, is `12345` (C19).
fn canonical(call: &Call) -> String {
    UserId::own(call.name()).as_str().to_owned()
}

/// An async function over the people, as a verb.
pub(super) fn on<F, Fut>(people: &People, act: F) -> impl Fn(Call) -> Fut + Send + Sync + 'static
where
    F: Fn(People, Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let people = people.clone();
    move |call| act(people.clone(), call)
}

async fn list(people: People, call: Call) -> Outcome {
    let after = call.param("after");
    let limit = call.param("limit").and_then(|limit| limit.parse().ok());
    let limit = limit.unwrap_or(PAGE).clamp(1, SCAN_MAX);
    let found = record::scan::<User>(&*people.store, "", after.as_deref(), limit).await;
    let found = found.map_err(Refusal::failed)?;
    let next = (found.len() == limit)
        .then(|| found.last().map(|(id, _)| id.clone()))
        .flatten();
    let users: Vec<_> = found
        .iter()
        .map(|(_, held)| described(&held.record))
        .collect();
    Ok(json!({ "users": users, "next": next }))
}

async fn show(people: People, call: Call) -> Outcome {
    let user = known(&people, &call).await?;
    let mut document = described(&user);
    let sessions = match &people.grants {
        Some(grants) => grants.of_user(&user.id).await.map_err(Refusal::failed)?,
        None => Vec::new(),
    };
    let sessions: Vec<_> = sessions
        .iter()
        .map(|grant| {
            json!({
                "id": grant.id,
                "client_id": grant.client,
                "scopes": grant.scopes,
                "created_at": moment(grant.created_at),
                "used_at": moment(grant.used_at),
            })
        })
        .collect();
    if let Some(members) = document.as_object_mut() {
        members.insert("sessions".into(), sessions.into());
    }
    Ok(document)
}

async fn disable(people: People, call: Call) -> Outcome {
    let user = people.revocations.disable(&canonical(&call)).await;
    let user = user.map_err(Refusal::failed)?;
    let sessions = people.end_sessions(&user.id).await?;
    Ok(changed(&user, sessions))
}

/// Only of users who are known: a misspelt name must not look like a success.
async fn enable(people: People, call: Call) -> Outcome {
    let user = known(&people, &call).await?;
    let user = people.revocations.enable(&user.id).await;
    Ok(changed(&user.map_err(Refusal::failed)?, 0))
}

async fn logout(people: People, call: Call) -> Outcome {
    let user = people.revocations.bump_generation(&canonical(&call)).await;
    let user = user.map_err(Refusal::failed)?;
    let sessions = people.end_sessions(&user.id).await?;
    Ok(changed(&user, sessions))
}

/// Every step can be taken again, so an order that failed half-way is given again.
async fn erase(people: People, call: Call) -> Outcome {
    let user = &canonical(&call);
    let was_known = people.revocations.forget(user).await;
    let was_known = was_known.map_err(Refusal::failed)?;
    let sessions = people.end_sessions(user).await?;
    let secrets = match &people.vault {
        Some(vault) => vault.remove_all(user).await.map_err(Refusal::failed)?,
        None => 0,
    };
    let traces = people.wipe(user).await.map_err(Refusal::failed)?;
    Ok(json!({
        "id": user,
        "was_known": was_known,
        "sessions_ended": sessions,
        "secrets_removed": secrets,
        "records_removed": traces,
    }))
}

async fn session(people: People, call: Call) -> Outcome {
    people.revoke(Mark::Session(call.name().to_owned())).await?;
    let was_known = match &people.grants {
        Some(grants) => grants.revoke(call.name()).await.map_err(Refusal::failed)?,
        None => false,
    };
    Ok(json!({ "revoked": true, "was_known": was_known }))
}

/// The mark outlives every access token of the client, but not its refresh tokens: those end with their sessions. One that
/// registered itself is forgotten.
async fn client(people: People, call: Call) -> Outcome {
    people.revoke(Mark::Client(call.name().to_owned())).await?;
    let registered = oauth::unregister(&*people.store, call.name()).await;
    let registered = registered.map_err(Refusal::failed)?;
    let ended = match &people.grants {
        Some(grants) => grants.revoke_client(call.name()).await,
        None => Ok(0),
    };
    let ended = ended.map_err(Refusal::failed)?;
    Ok(json!({ "revoked": true, "was_registered": registered, "sessions_ended": ended }))
}

async fn token(people: People, call: Call) -> Outcome {
    people.revoke(Mark::Token(call.name().to_owned())).await
}

impl People {
    /// Ends something for as long as any token of it could live.
    async fn revoke(&self, mark: Mark) -> Outcome {
        let until = self.clock.now().plus(LONGEST_TOKEN);
        let revoked = self.revocations.revoke(&mark, until).await;
        revoked.map_err(Refusal::failed)?;
        Ok(json!({ "revoked": true }))
    }

    async fn end_sessions(&self, user: &str) -> Result<usize, Refusal> {
        match &self.grants {
            Some(grants) => grants.revoke_user(user).await.map_err(Refusal::failed),
            None => Ok(0),
        }
    }

    /// Removes what other tables hold under the user's id.
    async fn wipe(&self, user: &str) -> Result<usize, StoreError> {
        let (prefix, mut count) = (format!("{user}/"), 0);
        for table in TRACES {
            loop {
                let page = self.store.scan(table, &prefix, None, SCAN_MAX).await?;
                if page.is_empty() {
                    break;
                }
                for (id, _) in page {
                    self.store.delete(&Key::new(table, id)).await?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}

async fn known(people: &People, call: &Call) -> Result<User, Refusal> {
    let user = users::find(&*people.store, &canonical(call)).await;
    match user.map_err(Refusal::failed)? {
        Some(user) => Ok(user.record),
        None => Err(Refusal::unknown(format!(
            "no user `{}` is known",
            call.name()
        ))),
    }
}

fn changed(user: &User, sessions: usize) -> Value {
    let mut document = described(user);
    if let Some(members) = document.as_object_mut() {
        members.insert("sessions_ended".into(), sessions.into());
    }
    document
}

fn described(user: &User) -> Value {
    json!({
        "id": user.id,
        "provider": user.provider,
        "name": user.name,
        "email": user.email,
        "tier": user.tier,
        "roles": user.roles,
        "teams": user.teams,
        "disabled": user.disabled,
        "generation": user.generation,
        "created_at": moment(user.created_at),
        "signed_in_at": user.signed_in_at.map(moment),
    })
}

fn moment(millis: i64) -> String {
    Timestamp::from_millis(millis).rfc3339_seconds()
}
