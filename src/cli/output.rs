//! How commands print results: lines for people, or one JSON object a line for programs. Without one place for it a program
//! that runs our commands has to read sentences.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde_json::{Value, json};

/// The form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line; errors stay lines on standard error.
    Json,
}

/// Where results go, and in which form.
pub struct Printer<'out> {
    out: &'out mut dyn Write,
    format: Format,
}

impl<'out> Printer<'out> {
    /// Prints to `out` in `format`.
    pub fn new(out: &'out mut dyn Write, format: Format) -> Self {
        Printer { out, format }
    }

    /// The form in which it prints.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints what was done or found: a line, or an object with that line as its `message`.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        let text = text.to_string();
        match self.format {
            Format::Text => self.write(&text),
            Format::Json => self.write(&json!({ "message": text })),
        }
    }

    /// Prints a result: `text` for people, `object` for programs.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn item(&mut self, text: impl Display, object: &Value) -> io::Result<()> {
        match self.format {
            Format::Text => self.write(&text),
            Format::Json => self.write(object),
        }
    }

    /// Prints lines that people read together; `object` is the whole of them for programs.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn items(&mut self, lines: &[String], object: &Value) -> io::Result<()> {
        match self.format {
            Format::Text => lines.iter().try_for_each(|line| self.write(line)),
            Format::Json => self.write(object),
        }
    }

    /// Prints `object` in either form, at once; false if nobody reads any more.
    ///
    /// # Errors
    /// The output cannot be written, although it is read.
    pub fn stream(&mut self, object: &Value) -> io::Result<bool> {
        match writeln!(self.out, "{object}").and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            done => done.map(|()| true).map_err(not_written),
        }
    }

    fn write(&mut self, line: &dyn Display) -> io::Result<()> {
        writeln!(self.out, "{line}").map_err(not_written)
    }
}

fn not_written(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to the output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, print: impl Fn(&mut Printer<'_>)) -> String {
        let mut out = Vec::new();
        print(&mut Printer::new(&mut out, format));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn people_read_lines_and_programs_read_an_object_a_line() {
        let print = |printer: &mut Printer<'_>| {
            printer.line("done").unwrap();
            printer.item("b-1 is done", &json!({"booking": "b-1"})).unwrap();
            printer.items(&["two".into(), "lines".into()], &json!({"lines": 2})).unwrap();
        };
        assert_eq!(printed(Format::Text, print), "done\nb-1 is done\ntwo\nlines\n");
        let json = "{\"message\":\"done\"}\n{\"booking\":\"b-1\"}\n{\"lines\":2}\n";
        assert_eq!(printed(Format::Json, print), json);
    }
}
