//! `--name value` options, and nothing else.
//!
//! Every option takes exactly one value. A name that the program does not know, or a value that
//! does not parse, is an error with a message; the default applies when the option is absent.

use std::str::FromStr;

use crate::Outcome;

/// The options given on the command line.
#[derive(Debug, Default)]
pub struct Options {
    pairs: Vec<(String, String)>,
}

impl Options {
    /// Read `--name value` pairs, accepting only the names in `known`.
    pub fn read(args: impl Iterator<Item = String>, known: &[&str]) -> Outcome<Self> {
        let mut pairs = Vec::new();
        let mut args = args;
        while let Some(arg) = args.next() {
            let name = arg.strip_prefix("--").unwrap_or_default();
            if !known.contains(&name) {
                let names: Vec<String> = known.iter().map(|name| format!("--{name}")).collect();
                return Err(format!("unknown option {arg}; known: {}", names.join(" ")));
            }
            let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
            pairs.push((name.to_owned(), value));
        }
        Ok(Self { pairs })
    }

    /// The last value given for `name`, if any.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `name`, or `default` when it was not given.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Outcome<T> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("--{name}: cannot read {text:?}")),
        }
    }

    /// The value of `name` in seconds, within what a benchmark may last (an hour).
    pub fn seconds(&self, name: &str, default: f64) -> Outcome<std::time::Duration> {
        let seconds = self.value(name, default)?;
        if (0.0..=3600.0).contains(&seconds) {
            Ok(std::time::Duration::from_secs_f64(seconds))
        } else {
            Err(format!("--{name}: must be from 0 to 3600"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn read(args: &[&str]) -> Result<Options, String> {
        Options::read(args.iter().map(ToString::to_string), &["port", "seconds"])
    }

    #[test]
    fn last_value_wins_and_defaults_apply() {
        let options = read(&["--port", "1", "--port", "2"]).unwrap_or_default();
        assert_eq!(options.value("port", 0), Ok(2));
        assert_eq!(options.value("seconds", 3), Ok(3));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(read(&["--prot", "1"]).is_err());
        assert!(read(&["port", "1"]).is_err());
        assert!(read(&["--port"]).is_err());
        let options = read(&["--port", "x", "--seconds", "-1"]).unwrap_or_default();
        assert!(options.value("port", 0).is_err());
        assert!(options.seconds("seconds", 1.0).is_err());
    }
}
