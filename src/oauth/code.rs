//! Authorization codes: good once, for a minute, for one client (RFC 6749 section 4.1.2). A code that comes again ends what was
//! granted for it: one of the two that had it was a thief.

use serde::{Deserialize, Serialize};

use super::Server;
use super::error::{OauthError, Refusal};
use super::pending::Pending;
use super::settings::Settings;
use crate::auth::settings::OwnSettings;
use crate::grants::{self, Grant, Grants, opaque};
use crate::secret::Secret;
use crate::store::{Held, Record, Revision, Table, record};
use crate::users::User;

/// Random bytes of a code.
const BYTES: usize = 32;

/// A code as it is kept, under its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Code {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) redirect_named: bool,
    pub(super) challenge: String,
    pub(super) scopes: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) user: String,
    /// The generation of the user's tokens when they allowed it.
    #[serde(default)]
    pub(super) generation: u64,
    /// When the user proved who they are, in milliseconds since the epoch.
    pub(super) authenticated_at: i64,
    pub(super) state: State,
}

/// What has become of a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Nothing yet.
    Issued,
    /// It is being exchanged for this grant.
    Claimed(String),
    /// It was exchanged for this grant.
    Spent(String),
    /// It was presented wrongly, or came again.
    Burnt,
}

impl Record for Code {
    const TABLE: Table = Table::Code;
    const VERSION: u16 = 1;
}

/// A code that was claimed by this exchange, and by no other.
pub(super) struct Claimed {
    pub(super) code: Code,
    pub(super) grant: String,
    place: String,
    revision: Revision,
}

impl Server {
    /// Makes a code for what a user has allowed.
    pub(super) async fn issue_code(
        &self,
        pending: &Pending,
        user: &User,
        authenticated_at: i64,
    ) -> Result<Secret<String>, OauthError> {
        let text = opaque::draw::<BYTES>(opaque::CODE)?;
        let code = Code {
            client: pending.client.clone(),
            redirect_uri: pending.redirect_uri.clone(),
            redirect_named: pending.redirect_named,
            challenge: pending.challenge.clone(),
            scopes: pending.scopes.clone(),
            resources: pending.resources.clone(),
            user: user.id.clone(),
            generation: user.generation,
            authenticated_at,
            state: State::Issued,
        };
        let lifetime = self.settings.code_lifetime.min(Settings::CODE_LIFETIME_MAX);
        let end = self.clock.now().plus(lifetime);
        let place = opaque::hash(text.expose());
        if record::create(&*self.store, &place, &code, Some(end)).await? {
            Ok(text)
        } else {
            Err(OauthError::Server)
        }
    }

    /// Claims a code for one exchange. `fits` looks at it first; a code that does not fit is burnt, since whoever has it
    /// should not.
    pub(super) async fn claim_code(
        &self,
        text: &str,
        fits: impl FnOnce(&Code) -> Result<(), OauthError>,
    ) -> Result<Claimed, Refusal> {
        let unknown = || OauthError::Grant("the authorization code is not valid");
        if opaque::read(opaque::CODE, text, BYTES).is_none() {
            return Err(unknown().into());
        }
        let place = opaque::hash(text);
        let held = record::get::<Code>(&*self.store, &place)
            .await
            .map_err(OauthError::from)?;
        let Some(held) = held else {
            return Err(unknown().into());
        };
        match &held.record.state {
            State::Issued => {}
            State::Claimed(grant) | State::Spent(grant) => {
                let grant = grant.clone();
                return Err(self.replayed(&place, held, &grant).await);
            }
            State::Burnt => return Err(unknown().into()),
        }
        if let Err(error) = fits(&held.record) {
            let user = held.record.user.clone();
            self.become_state(&place, held.revision, &held.record, State::Burnt)
                .await?;
            return Err(Refusal::from(error).of_user(&user));
        }
        let grant = Grants::draw_id().map_err(OauthError::from)?;
        let claimed = State::Claimed(grant.clone());
        let written = self
            .become_state(&place, held.revision, &held.record, claimed)
            .await?;
        match written {
            Some(revision) => Ok(Claimed {
                code: held.record,
                grant,
                place,
                revision,
            }),
            // Somebody else presented it in the same moment: this is the second time.
            None => match record::get::<Code>(&*self.store, &place).await {
                Ok(Some(held)) => match held.record.state.clone() {
                    State::Claimed(grant) | State::Spent(grant) => {
                        Err(self.replayed(&place, held, &grant).await)
                    }
                    State::Issued | State::Burnt => Err(unknown().into()),
                },
                Ok(None) => Err(unknown().into()),
                Err(error) => Err(OauthError::from(error).into()),
            },
        }
    }

    /// Opens the grant of a claimed code. Where the code came again in between, nothing is granted.
    pub(super) async fn open_grant(
        &self,
        claimed: Claimed,
        user: &User,
    ) -> Result<(Grant, Secret<String>), Refusal> {
        let Claimed {
            code,
            grant: id,
            place,
            revision,
        } = claimed;
        let new = grants::New {
            id: Some(id.clone()),
            user: code.user.clone(),
            generation: user.generation,
            client: Some(code.client.clone()),
            scopes: code.scopes.clone(),
            resources: code.resources.clone(),
            authenticated_at: Some(crate::clock::Timestamp::from_millis(code.authenticated_at)),
        };
        let opened = self.grants.open(new).await.map_err(OauthError::from)?;
        let spent = State::Spent(id.clone());
        let settled = self.become_state(&place, revision, &code, spent).await;
        match settled {
            Ok(Some(_)) => Ok(opened),
            Ok(None) => {
                self.grants.revoke(&id).await.map_err(OauthError::from)?;
                let error = OauthError::Grant("the authorization code was used before");
                Err(Refusal::from(error).suspicious("code_reused"))
            }
            Err(error) => {
                // Nobody will get this grant's token: it must not wait for anybody.
                let _ = self.grants.revoke(&id).await;
                Err(error.into())
            }
        }
    }

    /// A code that came again: what it was exchanged for ends.
    async fn replayed(&self, place: &str, held: Held<Code>, grant: &str) -> Refusal {
        let error = OauthError::Grant("the authorization code was used before");
        let refusal = Refusal::from(error)
            .of_user(&held.record.user)
            .suspicious("code_reused");
        // First the code, so that an exchange which is under way sees it, then what was granted.
        let burnt = self
            .become_state(place, held.revision, &held.record, State::Burnt)
            .await;
        let revoked = self.grants.revoke(grant).await.map_err(OauthError::from);
        match burnt.map(drop).and(revoked.map(drop)) {
            Ok(()) => refusal,
            Err(error) => error.into(),
        }
    }

    /// Writes what has become of a code. It is remembered for as long as any token that was made for it.
    async fn become_state(
        &self,
        place: &str,
        revision: Revision,
        code: &Code,
        state: State,
    ) -> Result<Option<Revision>, OauthError> {
        let code = Code {
            state,
            ..code.clone()
        };
        let end = self.clock.now().plus(OwnSettings::LIFETIME_MAX);
        Ok(record::replace(&*self.store, place, revision, &code, Some(end)).await?)
    }
}
