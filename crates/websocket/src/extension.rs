//! `Sec-WebSocket-Extensions` (RFC 6455 section 9.1): a list of extensions with parameters.

/// One extension of the list, with lower-case names; names are compared without regard to case.
#[derive(Debug, PartialEq, Eq)]
pub struct Extension {
    pub name: String,
    pub parameters: Vec<(String, Option<String>)>,
}

/// Splits the value of the header. What is empty is skipped, as lists in HTTP allow.
pub fn parse(header: &str) -> Vec<Extension> {
    split(header, ',')
        .filter_map(|item| {
            let mut parts = split(item, ';');
            let name = parts.next()?.to_ascii_lowercase();
            let parameters = parts.map(parameter).collect();
            Some(Extension { name, parameters })
        })
        .collect()
}

fn parameter(part: &str) -> (String, Option<String>) {
    match part.split_once('=') {
        None => (part.to_ascii_lowercase(), None),
        Some((name, value)) => {
            let value = value.trim();
            let unquoted = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'))
                .unwrap_or(value);
            let name = name.trim().to_ascii_lowercase();
            (name, Some(unquoted.replace('\\', "")))
        }
    }
}

/// The parts between separators that are not in quotes, without white space around them.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let mut escaped = false;
        let end = text.char_indices().find_map(|(index, character)| {
            if escaped {
                escaped = false;
            } else if quoted && character == '\\' {
                escaped = true;
            } else if character == '"' {
                quoted = !quoted;
            } else if character == separator && !quoted {
                return Some(index);
            }
            None
        });
        rest = end.map(|end| &text[end + separator.len_utf8()..]);
        Some(text[..end.unwrap_or(text.len())].trim())
    })
    .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists_parameters_and_quotes() {
        let found = parse(r#" A;x=1 ; Y , ,b; q="1, 2\";3";, c"#);
        let names: Vec<&str> = found.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let parameters = &found[0].parameters;
        assert_eq!(
            parameters,
            &[("x".into(), Some("1".into())), ("y".into(), None)]
        );
        assert_eq!(
            found[1].parameters,
            [("q".into(), Some(r#"1, 2";3"#.into()))]
        );
    }
}
