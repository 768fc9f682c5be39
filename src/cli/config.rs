//! `sallygate config`: the schema for editors, and the settings in force with every secret hidden.

use clap::Subcommand;
use saphyr::{LoadableYamlNode, Yaml, YamlEmitter};
use serde_json::Value;

use super::{ConfigFile, Exit, Output};
use crate::config::{Environment, load, schema};

/// Explains and shows the configuration
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Prints the JSON Schema of the configuration file
    ///
    /// Editors with a YAML language server complete and explain settings with it.
    #[command(
        after_help = "Example:\n  sallygate config schema > sallygate.schema.json\n\nand as the first line of sallygate.yaml:\n  # yaml-language-server: $schema=./sallygate.schema.json"
    )]
    Schema,
    /// Prints the settings in force, with defaults and environment, and secrets hidden
    #[command(
        after_help = "Examples:\n  sallygate config show\n  sallygate config show --config /etc/sallygate/sallygate.yaml --json"
    )]
    Show {
        #[command(flatten)]
        config: ConfigFile,
        /// Print JSON instead of YAML
        #[arg(long)]
        json: bool,
    },
}

impl Config {
    pub(super) fn run(&self, env: &Environment, out: &mut Output<'_>) -> Exit {
        match self {
            Self::Schema => out.line(format_args!("{:#}", schema())),
            Self::Show { config, json } => match load(&config.file, env) {
                Err(mistakes) => {
                    out.trouble(mistakes);
                    return Exit::Failed;
                }
                Ok((config, _)) if *json => out.line(format_args!("{:#}", config.shown())),
                Ok((config, _)) => out.line(yaml(config.shown())),
            },
        }
        Exit::Done
    }
}

/// The same tree as YAML; every JSON text is a YAML text already.
fn yaml(value: &Value) -> String {
    let mut text = String::new();
    let documents = Yaml::load_from_str(&value.to_string()).unwrap_or_default();
    if let Some(document) = documents.first() {
        let _ = YamlEmitter::new(&mut text).dump(document);
    }
    text.trim_start_matches("---\n").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeefe";

    fn show(text: &str, json: bool) -> (Exit, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sallygate.yaml");
        std::fs::write(&file, text).unwrap();
        let env = [("JWT_SECRET", KEY), ("API", "canary-not-a-real-key")]
            .into_iter()
            .collect();
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let config = ConfigFile { file };
        let exit =
            Config::Show { config, json }.run(&env, &mut Output::new(&mut result, &mut trouble));
        (
            exit,
            String::from_utf8(result).unwrap(),
            String::from_utf8(trouble).unwrap(),
        )
    }

    #[test]
    fn a_wrong_configuration_is_not_shown() {
        let (exit, shown, trouble) = show("listem: 1\n", false);
        assert_eq!((exit, shown.as_str()), (Exit::Failed, ""));
        assert!(trouble.contains("line 1: listem: unknown setting"));
    }

    #[test]
    fn r085_r086_secrets_are_shown_by_name_only() {
        let text = "upstream: {url: http://127.0.0.1:3000/mcp, headers: {X-Api-Key: \"${API}\"}}\n";
        for json in [false, true] {
            let (exit, shown, _) = show(text, json);
            assert_eq!(exit, Exit::Done);
            assert!(
                shown.contains("X-Api-Key") && shown.contains("[REDACTED]"),
                "{shown}"
            );
            assert!(!shown.contains("canary") && !shown.contains(KEY), "{shown}");
        }
    }

    #[test]
    fn what_is_shown_as_yaml_is_what_is_in_force() {
        let (_, shown, _) = show("upstream: {url: http://127.0.0.1:3000/mcp}\n", false);
        for line in [
            "  address: \"127.0.0.1:8443\"",
            "  body_bytes: 1MiB",
            "  drain_timeout: 20s",
        ] {
            assert!(shown.lines().any(|one| one == line), "{line} in\n{shown}");
        }
    }

    #[test]
    fn the_schema_is_json() {
        let (mut result, mut trouble) = (Vec::new(), Vec::new());
        let env = Environment::default();
        assert_eq!(
            Config::Schema.run(&env, &mut Output::new(&mut result, &mut trouble)),
            Exit::Done
        );
        let schema: Value = serde_json::from_slice(&result).unwrap();
        assert_eq!(schema["title"], "Sallygate configuration");
    }
}
