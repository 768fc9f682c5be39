//! Reads policy files: parses them, names their rules, checks every rule against the schema, and reports every mistake
//! with its file and line. A rule is named by its `@id`, or else by file and line, because decisions are explained by
//! that name.

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use super::settings::PolicyFile;
use super::shape;

const SCHEMA: &str = include_str!("../../policies/sallygate.cedarschema");
const OPEN_ARGUMENTS: &str = "type Arguments = {};";

/// What is wrong with a policy, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct PolicyMistake {
    /// The file, or `configuration` for rules made of lists and switches.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, in the engine's words.
    pub message: String,
}

/// Stands in for the name of a file where lists and switches became rules.
const CONFIGURATION: &str = "configuration";

impl PolicyMistake {
    pub(super) fn of_configuration(message: String) -> Self {
        Self {
            file: CONFIGURATION.to_owned(),
            line: 1,
            message,
        }
    }

    /// Is it about rules made of lists and switches, rather than about a line of a file?
    pub fn is_of_configuration(&self) -> bool {
        self.file == CONFIGURATION
    }
}

/// The rules of a file with their lines, or every mistake in its grammar; whether they fit the schema is not asked.
pub(super) fn parse(file: &PolicyFile) -> Result<Vec<(Policy, usize)>, Vec<PolicyMistake>> {
    Ok(named(file, &set_of(file)?))
}

fn set_of(file: &PolicyFile) -> Result<PolicySet, Vec<PolicyMistake>> {
    file.text
        .parse()
        .map_err(|errors: cedar_policy::ParseErrors| {
            errors.iter().map(|error| file.mistake(error)).collect()
        })
}

/// The rules of a file with their lines, or every mistake in it. Warnings are what the engine finds odd but not wrong.
pub(super) fn read(
    file: &PolicyFile,
    warnings: &mut Vec<PolicyMistake>,
) -> Result<Vec<(Policy, usize)>, Vec<PolicyMistake>> {
    let set = set_of(file)?;
    let mut mistakes: Vec<PolicyMistake> = set
        .templates()
        .map(|template| {
            let line = file.line_of_text(&template.to_string(), &mut 0);
            file.at_line(line, "a template with slots: write the rule out".to_owned())
        })
        .collect();
    let mut rules = Vec::new();
    for (rule, line) in named(file, &set) {
        match check(file, &rule, line, warnings) {
            Ok(()) => rules.push((rule, line)),
            Err(found) => mistakes.extend(found),
        }
    }
    if mistakes.is_empty() {
        Ok(rules)
    } else {
        Err(mistakes)
    }
}

/// The rules in the order of the file, each with its name and line.
fn named(file: &PolicyFile, set: &PolicySet) -> Vec<(Policy, usize)> {
    let mut rules: Vec<&Policy> = set.policies().collect();
    rules.sort_by_key(|rule| {
        let id: &str = rule.id().as_ref();
        id.trim_start_matches("policy")
            .parse::<usize>()
            .unwrap_or(usize::MAX)
    });
    let mut from = 0;
    rules
        .into_iter()
        .map(|rule| {
            let line = file.line_of_text(&rule.to_string(), &mut from);
            let name = match rule.annotation("id").filter(|id| !id.is_empty()) {
                Some(id) => id.to_owned(),
                None => format!("{}:{line}", file.name),
            };
            (rule.new_id(PolicyId::new(name)), line)
        })
        .collect()
}

fn check(
    file: &PolicyFile,
    rule: &Policy,
    line: usize,
    warnings: &mut Vec<PolicyMistake>,
) -> Result<(), Vec<PolicyMistake>> {
    let here = |message: String| vec![file.at_line(line, message)];
    let tree = rule.to_json().map_err(|error| here(error.to_string()))?;
    let arguments = shape::of_arguments(&tree).map_err(|clash| {
        here(format!(
            "argument `{}` is used both as {} and as {}",
            clash.argument, clash.one, clash.other
        ))
    })?;
    let schema = schema(&arguments).map_err(here)?;
    let alone =
        PolicySet::from_policies([rule.clone()]).map_err(|error| here(error.to_string()))?;
    let result = Validator::new(schema).validate(&alone, ValidationMode::Strict);
    warnings.extend(
        result
            .validation_warnings()
            .map(|warning| file.mistake(warning)),
    );
    if result.validation_passed() {
        return Ok(());
    }
    Err(result
        .validation_errors()
        .map(|error| file.mistake(error))
        .collect())
}

fn schema(arguments: &shape::Shape) -> Result<Schema, String> {
    let text = SCHEMA.replace(OPEN_ARGUMENTS, &format!("type Arguments = {arguments};"));
    Schema::from_cedarschema_str(&text)
        .map(|(schema, _)| schema)
        .map_err(|error| error.to_string())
}

impl PolicyFile {
    fn mistake(&self, found: &(impl Diagnostic + ?Sized)) -> PolicyMistake {
        let offset = found
            .labels()
            .and_then(|mut labels| labels.next())
            .map_or(0, |label| label.offset());
        let mut message = found.to_string();
        if let Some(help) = found.help() {
            message.push_str("; ");
            message.push_str(&help.to_string());
        }
        self.at_line(self.line_at(offset), message)
    }

    fn at_line(&self, line: usize, message: String) -> PolicyMistake {
        PolicyMistake {
            file: self.name.clone(),
            line,
            message,
        }
    }

    fn line_at(&self, offset: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
    }

    /// The line of the next occurrence of `text`, counting from the byte `from`, which moves past it.
    fn line_of_text(&self, text: &str, from: &mut usize) -> usize {
        let found = self.text.get(*from..).and_then(|rest| rest.find(text));
        let start = *from + found.unwrap_or(0);
        *from = start + found.map_or(0, |_| text.len());
        self.line_at(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> PolicyFile {
        PolicyFile {
            name: "a.cedar".to_owned(),
            text: text.to_owned(),
        }
    }

    fn mistakes(text: &str) -> Vec<PolicyMistake> {
        read(&file(text), &mut Vec::new()).err().unwrap_or_default()
    }

    #[test]
    fn every_mistake_is_reported_with_its_line() {
        let text = "permit (principal, action, resource)\nwhen { principal.teir == \"free\" };\n\n\
                    permit (principal, action == Action::\"call_toll\", resource);\n\n\
                    permit (principal, action == Action::\"call_tool\", resource)\nwhen {\n  context.arguments.n > 1 };";
        let lines: Vec<usize> = mistakes(text).iter().map(|mistake| mistake.line).collect();
        for line in [2, 4, 8] {
            assert!(lines.contains(&line), "line {line} of {:?}", mistakes(text));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_mistake() {
        for (text, line, word) in [
            ("\npermit (principal, action, resource", 2, "unexpected"),
            (
                "permit (principal, action, resource) when { resource.nmae == \"x\" };",
                1,
                "nmae",
            ),
            (
                "permit (principal == ?principal, action, resource);",
                1,
                "template",
            ),
            (
                "permit (principal, action, resource == Tol::\"x\");",
                1,
                "Tol",
            ),
            (
                "permit (principal, action, resource) when { principal.team == \"x\" };",
                1,
                "team",
            ),
            (
                "permit (principal, action, resource) when { principal.tier == 1 };",
                1,
                "type",
            ),
            (
                "permit (principal, action == Action::\"get_prompt\", resource) when { context.arguments has x };",
                1,
                "arguments",
            ),
            (
                "forbid (principal, action == Action::\"call_tool\", resource)\nwhen { context.arguments has a && context.arguments.a == 1 && context.arguments.a like \"x\" };",
                1,
                "both",
            ),
        ] {
            let found = mistakes(text);
            assert!(
                found
                    .iter()
                    .any(|it| it.line == line && it.message.contains(word)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn a_rule_is_named_by_its_id_or_else_by_its_place() {
        let text = "@id(\"first\")\npermit (principal, action, resource);\n\n\
                    forbid (principal, action, resource);\n\nforbid (principal, action, resource);\n";
        let rules = read(&file(text), &mut Vec::new()).unwrap();
        let names: Vec<String> = rules
            .iter()
            .map(|(rule, _)| rule.id().to_string())
            .collect();
        assert_eq!(names, ["first", "a.cedar:4", "a.cedar:6"]);
    }

    #[test]
    fn the_built_in_rules_fit_the_schema_so_that_no_start_has_to_prove_it() {
        for text in [
            include_str!("../../policies/base.cedar"),
            include_str!("../../policies/allow-all.cedar"),
            include_str!("../../policies/listed-tools.cedar"),
        ] {
            let mut warnings = Vec::new();
            assert!(!read(&file(text), &mut warnings).unwrap().is_empty());
            assert_eq!(warnings, []);
        }
    }

    #[test]
    fn the_shipped_schema_leaves_the_arguments_open_in_one_place() {
        assert_eq!(SCHEMA.matches(OPEN_ARGUMENTS).count(), 1);
        assert!(schema(&shape::Shape::Record([].into())).is_ok());
    }
}
