//! The keychain of the machine, for a gateway on a desk: Keychain Services, Credential Manager or the Secret Service of the
//! desktop holds the values, and the store holds their names and dates. Where there is none the gateway says so and does not
//! start; it never falls back to a file (R571).

#[cfg(feature = "keychain")]
use std::sync::Arc;

use super::error::VaultError;
#[cfg(feature = "keychain")]
use super::names;
#[cfg(feature = "keychain")]
use super::v1::text_of;
use crate::secret::Secret;

/// The service under which items are kept, unless the operator names another (R563).
pub const SERVICE: &str = "mcp-service-token";

/// Why the keychain did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KeychainError {
    /// There is none, or it does not let us in.
    #[error(
        "the keychain of this machine cannot be used ({0}); unlock it, start a desktop session, or keep credentials in the \
         vault or in memory"
    )]
    Unusable(String),
    /// This program was built without it.
    #[error(
        "this build has no keychain (feature `keychain`); keep credentials in the vault or in memory"
    )]
    NotBuilt,
    /// An item is no text.
    #[error("the keychain item of user `{user}` and name `{name}` is no text")]
    NotText {
        /// Whose it is.
        user: String,
        /// Which it is.
        name: String,
    },
}

/// The items of one service in a keychain.
#[derive(Clone, Debug)]
pub(in crate::vault) struct Keychain {
    #[cfg(feature = "keychain")]
    items: Arc<keyring_core::CredentialStore>,
    #[cfg(feature = "keychain")]
    service: Arc<str>,
}

#[cfg(feature = "keychain")]
/// Runs what waits for other programs, and perhaps for a person who types a password, away from the requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeychainError> + Send + 'static,
) -> Result<T, KeychainError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(KeychainError::Unusable(error.to_string())))
}

#[cfg(feature = "keychain")]
impl Keychain {
    /// The keychain of this machine, proved to be there.
    pub(in crate::vault) async fn of_system(service: &str) -> Result<Self, KeychainError> {
        let items = blocking(|| match keyring::Entry::store_status() {
            Err(error) => Err(unusable(error)),
            Ok(()) => keyring_core::get_default_store()
                .ok_or_else(|| KeychainError::Unusable("it is gone".into())),
        });
        Self::over(items.await?, service).await
    }

    /// Any keychain; it has to answer before anybody trusts it with something.
    pub(in crate::vault) async fn over(
        items: Arc<keyring_core::CredentialStore>,
        service: &str,
    ) -> Result<Self, KeychainError> {
        let keychain = Self {
            items,
            service: service.into(),
        };
        keychain.read("sallygate".into()).await?;
        Ok(keychain)
    }

    /// Puts a value in, in place of an older one (R564).
    pub(in crate::vault) async fn set(
        &self,
        user: &str,
        name: &str,
        value: Secret<String>,
    ) -> Result<(), VaultError> {
        let (keychain, account) = (self.clone(), names::secret_id(user, name)?);
        let set = blocking(move || {
            let item = keychain.item(&account)?;
            item.set_password(value.expose())
                .map_err(|error| unusable(&error))
        });
        Ok(set.await?)
    }

    /// The value, if it is there.
    pub(in crate::vault) async fn value(
        &self,
        user: &str,
        name: &str,
    ) -> Result<Option<Secret<String>>, VaultError> {
        let Some(bytes) = self.read(names::secret_id(user, name)?).await? else {
            return Ok(None);
        };
        let not_text = || KeychainError::NotText {
            user: user.into(),
            name: name.into(),
        };
        Ok(Some(text_of(bytes).ok_or_else(not_text)?))
    }

    /// Takes the value out, if it is there.
    pub(in crate::vault) async fn remove(&self, user: &str, name: &str) -> Result<(), VaultError> {
        let (keychain, account) = (self.clone(), names::secret_id(user, name)?);
        let removed = blocking(move || match keychain.item(&account)?.delete_credential() {
            Ok(()) | Err(keyring_core::Error::NoEntry) => Ok(()),
            Err(error) => Err(unusable(&error)),
        });
        Ok(removed.await?)
    }

    async fn read(&self, account: String) -> Result<Option<Secret<Vec<u8>>>, KeychainError> {
        let keychain = self.clone();
        blocking(move || match keychain.item(&account)?.get_secret() {
            Ok(bytes) => Ok(Some(Secret::new(bytes))),
            Err(keyring_core::Error::NoEntry) => Ok(None),
            Err(error) => Err(unusable(&error)),
        })
        .await
    }

    fn item(&self, account: &str) -> Result<keyring_core::Entry, KeychainError> {
        self.items
            .build(&self.service, account, None)
            .map_err(|error| unusable(&error))
    }
}

/// The cause in the keychain's words; none of them holds a value, which two variants of the error itself do.
#[cfg(feature = "keychain")]
fn unusable(error: &keyring_core::Error) -> KeychainError {
    KeychainError::Unusable(error.to_string())
}

#[cfg(not(feature = "keychain"))]
impl Keychain {
    pub(in crate::vault) async fn of_system(_service: &str) -> Result<Self, KeychainError> {
        Err(KeychainError::NotBuilt)
    }

    pub(in crate::vault) async fn set(
        &self,
        _user: &str,
        _name: &str,
        _value: Secret<String>,
    ) -> Result<(), VaultError> {
        Err(KeychainError::NotBuilt.into())
    }

    pub(in crate::vault) async fn value(
        &self,
        _user: &str,
        _name: &str,
    ) -> Result<Option<Secret<String>>, VaultError> {
        Err(KeychainError::NotBuilt.into())
    }

    pub(in crate::vault) async fn remove(
        &self,
        _user: &str,
        _name: &str,
    ) -> Result<(), VaultError> {
        Err(KeychainError::NotBuilt.into())
    }
}
