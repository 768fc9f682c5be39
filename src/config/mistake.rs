//! What is wrong with a configuration, said so that it can be put right: where it stands, what is wrong, what to do.
//! Mistakes are collected, never thrown one by one: one restart, not ten.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The least length of a value that is worth hiding, in bytes; the shortest password that standards allow has as many.
const SHORTEST: usize = 8;

/// Where a value was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the value is a default, or is missing.
    #[default]
    Default,
    /// On this line of the file, counted from 1.
    Line(usize),
    /// In this environment variable.
    Variable(Arc<str>),
    /// In this command line option.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Line(line) => write!(f, "line {line}: "),
            Self::Variable(name) => write!(f, "variable {name}: "),
            Self::Option(name) => write!(f, "option {name}: "),
        }
    }
}

/// One thing that is wrong, or (as a [`Warning`]) allowed but unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting, such as `routes[0].upstream.url`; empty when the file as a whole is meant.
    pub path: String,
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong; never contains the value of a secret.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Something that works and should still be looked at; `check --strict` fails on it (R595).
pub type Warning = Mistake;

impl Mistake {
    /// A mistake about the setting at `path`, not yet placed.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            origin: Origin::Default,
            message: message.into(),
            help: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says where it was written.
    #[must_use]
    pub fn at(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Shows the names of variables where their values would stand: what a setting refers to may be a secret, also in a
    /// setting that is none. Values of less than [`SHORTEST`] characters stay, for they stand in common words too.
    pub(in crate::config) fn veil<'a>(&mut self, values: impl Iterator<Item = (&'a str, &'a str)>) {
        for (name, value) in values.filter(|(_, value)| value.len() >= SHORTEST) {
            for text in [Some(&mut self.message), self.help.as_mut()] {
                if let Some(text) = text.filter(|text| text.contains(value)) {
                    *text = text.replace(value, &format!("${{{name}}}"));
                }
            }
        }
    }

    /// The line in the file, where there is one.
    pub const fn line(&self) -> Option<usize> {
        match self.origin {
            Origin::Line(line) => Some(line),
            Origin::Default | Origin::Variable(_) | Origin::Option(_) => None,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// Every mistake that was found, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// The file that was read, where there was one.
    pub file: Option<PathBuf>,
    /// The mistakes.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            if let Some(file) = &self.file {
                write!(f, "{}: ", file.display())?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// The nearest of the known words, if one is near enough to be meant.
pub(in crate::config) fn nearest<'a>(
    word: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
