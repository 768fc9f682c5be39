//! The one place where verbs print: results on standard output, what went wrong on standard error. Somebody who stops
//! reading (`sallygate config schema | head`) is no failure.

use std::fmt::Display;
use std::io::Write;

/// Where a verb prints.
pub struct Output<'a> {
    result: &'a mut dyn Write,
    trouble: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    /// Prints results and trouble to these.
    pub fn new(result: &'a mut dyn Write, trouble: &'a mut dyn Write) -> Self {
        Self { result, trouble }
    }

    /// Prints a line of the result.
    pub fn line(&mut self, text: impl Display) {
        let _ = writeln!(self.result, "{text}");
    }

    /// Prints a line about what went wrong.
    pub fn trouble(&mut self, text: impl Display) {
        let _ = writeln!(self.trouble, "{text}");
    }
}
