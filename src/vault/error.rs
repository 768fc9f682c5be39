//! What can go wrong in the vault, told apart by who has to act: the operator whose key is wrong, whoever runs the store,
//! and whoever has to find out who changed a record.

use crate::audit::{Refused, Severity};
use crate::random::NoRandomness;
use crate::store::StoreError;

use super::keychain::KeychainError;
use super::seal::{KeyId, SealError};

/// Why the vault did not do what it was asked for. No variant holds anything of a secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The store cannot be used now. Nothing may be concluded.
    #[error("the vault's store cannot be used")]
    Unavailable(#[source] StoreError),
    /// The keychain of this machine cannot be used.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// No line about it could be promised, so nothing was opened.
    #[error("the vault opens nothing that it cannot write down")]
    Unrecorded(#[from] Refused),
    /// There is no key, and this way of keeping needs one.
    #[error(
        "the vault has no key: set ENCRYPTION_KEY (`sallygate keys generate` makes one), or keep credentials in memory alone"
    )]
    NoKey,
    /// The key is too weak to be one.
    #[error("ENCRYPTION_KEY {0}")]
    WeakKey(#[from] WeakKey),
    /// The records are sealed under keys that were not given.
    #[error(
        "the vault is sealed under {needed}, and the keys given are {held}; nothing was changed"
    )]
    WrongKey {
        /// The names of keys that would open it.
        needed: String,
        /// The names of the keys that were given.
        held: String,
    },
    /// The key that is to seal from now on was retired.
    #[error("the key {0} was retired and seals nothing any more")]
    Retired(KeyId),
    /// A record is not what was written for this user and name.
    #[error("the secret `{name}` of user `{user}` was tampered with: {damage}")]
    Tampered {
        /// Whose it should be.
        user: String,
        /// Which it should be.
        name: String,
        /// What was found.
        damage: Damage,
    },
    /// A user or a name has a form that no record can have.
    #[error("{what} must have 1 to {most} bytes and no control characters")]
    BadName {
        /// `user` or `name`.
        what: &'static str,
        /// The most bytes it may have.
        most: usize,
    },
    /// The secret is larger than any may be.
    #[error("a secret may have {most} bytes, this one has {bytes}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
    /// Others wrote the same record again and again.
    #[error("the record was changed by others in every attempt to write it")]
    Contended,
    /// This way of keeping has no keys that could be replaced.
    #[error("credentials are kept in the {0}, which has no keys to rotate")]
    NothingToRotate(&'static str),
    /// A derivation setting that the store holds makes no sense.
    #[error("the key derivation written in the store cannot be used: {0}")]
    Derivation(&'static str),
    /// There is no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl VaultError {
    /// The reason code and the severity of the audit line that this deserves.
    pub const fn audit(&self) -> (&'static str, Severity) {
        match self {
            Self::Tampered { .. } => ("vault_tampered", Severity::Critical),
            Self::WrongKey { .. } => ("vault_wrong_key", Severity::High),
            Self::Retired(_) => ("vault_key_retired", Severity::High),
            Self::NoKey => ("vault_no_key", Severity::High),
            Self::WeakKey(_) => ("vault_weak_key", Severity::High),
            Self::Derivation(_) => ("vault_derivation", Severity::High),
            Self::Unavailable(_) => ("vault_unavailable", Severity::Medium),
            Self::Keychain(_) => ("vault_keychain", Severity::Medium),
            Self::Unrecorded(_) => ("vault_unrecorded", Severity::Medium),
            Self::Contended => ("vault_contended", Severity::Medium),
            Self::NoRandomness(_) => ("vault_no_randomness", Severity::Medium),
            Self::BadName { .. } => ("vault_bad_name", Severity::Low),
            Self::TooLarge { .. } => ("vault_too_large", Severity::Low),
            Self::NothingToRotate(_) => ("vault_nothing_to_rotate", Severity::Low),
        }
    }

    /// A damaged record of this user.
    pub(in crate::vault) fn tampered(user: &str, name: &str, damage: Damage) -> Self {
        Self::Tampered {
            user: user.to_owned(),
            name: name.to_owned(),
            damage,
        }
    }

    /// What the store said about a record of this user: one that cannot be understood was changed by somebody.
    pub(in crate::vault) fn of_record(user: &str, name: &str, error: StoreError) -> Self {
        match error {
            StoreError::Corrupt { .. } => Self::tampered(user, name, Damage::Unreadable),
            error => Self::Unavailable(error),
        }
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is no record, or one of another version.
    #[error("the record cannot be read")]
    Unreadable,
    /// What it says in the clear cannot be so.
    #[error("the metadata do not fit")]
    Metadata,
    /// It is sealed under a key that this user does not have.
    #[error("it is sealed under a key that is not this user's")]
    ForeignKey,
    /// The envelope does not open.
    #[error("{0}")]
    Envelope(#[from] SealError),
    /// It opened and is no text.
    #[error("the content is no text")]
    Content,
}

/// Why a key is refused. The key itself is never part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// Random bytes are too few.
    #[error("has {0} bytes, and a key needs 32")]
    Short(usize),
    /// A passphrase is too short.
    #[error("is a passphrase of {0} bytes, and one needs 16")]
    ShortPassphrase(usize),
    /// It consists of few different bytes.
    #[error("repeats itself")]
    Repeating,
}
