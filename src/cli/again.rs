//! The configuration of a gateway that runs, read again as it was read when it started, and looked at as `sallygate check`
//! looks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::examine_again;
use super::start::{NO_FILE, Source, with_key};
use crate::clock::Clock;
use crate::config::{Config, Environment, Mistake, Warning};
use crate::gateway::reload::{self, Unfit};

/// Where the configuration came from, and how strictly it is taken.
pub(super) struct Again {
    source: Source,
    env: Environment,
    strict: bool,
}

impl Again {
    /// The same place, the same environment.
    pub(super) fn new(source: Source, env: &Environment, strict: bool) -> Self {
        Self {
            source,
            env: env.clone(),
            strict,
        }
    }
}

/// The configuration in a file, for whoever starts a gateway without a command line.
pub fn source(file: &Path, env: &Environment) -> Arc<dyn reload::Source> {
    let source = Source::of_file(file.to_owned());
    Arc::new(Again::new(source, env, false))
}

impl reload::Source for Again {
    fn file(&self) -> Option<PathBuf> {
        self.source.file()
    }

    fn read(&self) -> Result<(Config, Vec<Warning>), Unfit> {
        let file = self.file();
        let report = |severity: &str, list: &[Mistake]| -> Vec<String> {
            let place = file.as_deref().map(|file| format!("{}: ", file.display()));
            let place = place.unwrap_or_default();
            list.iter()
                .map(|one| format!("{severity}: {place}{one}"))
                .collect()
        };
        let read = self
            .source
            .read(&self.env)
            .ok_or_else(|| Unfit(vec![NO_FILE.to_owned()]))?;
        let (mut config, warnings) =
            read.map_err(|mistakes| Unfit(report("error", &mistakes.list)))?;
        with_key(&mut config).map_err(|error| Unfit(vec![error.to_string()]))?;
        let findings = examine_again(&config, warnings, file.as_deref(), &Clock::system());
        if findings.are_fine(self.strict || config.strict) {
            return Ok((config, findings.warnings));
        }
        let mut lines = report("error", &findings.errors);
        if self.strict || config.strict {
            lines.extend(report("warning", &findings.warnings));
        }
        Err(Unfit(lines))
    }
}
