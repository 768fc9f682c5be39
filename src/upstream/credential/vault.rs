//! The vault as the place where users' credentials come from.

use std::sync::Arc;

use super::keys::{Keys, KeysError, Later};
use crate::secret::Secret;
use crate::vault::Vault;

impl Keys for Vault {
    fn open<'a>(&'a self, user: &'a str, name: &'a str) -> Later<'a, Option<Arc<Secret<String>>>> {
        Box::pin(async move {
            let opened = self.open_secret(user, name).await;
            opened.map_err(KeysError::because)
        })
    }

    fn open_now<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
    ) -> Later<'a, Option<Arc<Secret<String>>>> {
        self.forget(user);
        self.open(user, name)
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        name: &'a str,
        old: &'a Secret<String>,
        new: Secret<String>,
    ) -> Later<'a, bool> {
        Box::pin(async move {
            let replaced = Self::replace(self, user, name, old, new).await;
            replaced.map_err(KeysError::because)
        })
    }
}
