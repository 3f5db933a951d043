//! Flags, variables and the file as one table of texts, each with its place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::ArgMatches;
use toml::de::{DeTable, DeValue};

use super::options::{CONFIG_VARIABLE, OPTIONS, Opt, Takes};
use super::place::{Place, Sourced};
use super::{ConfigError, Files, ValueError};

/// What one layer says: option to values.
pub(super) type Layer = BTreeMap<&'static str, Vec<Sourced>>;

/// Our variables, and none that only begins like one.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) layer: Layer,
    /// The file that `HL_CONFIG` names.
    pub(super) config: Option<String>,
}

fn values(opt: &Opt, text: &str, place: &Place) -> Result<Vec<Sourced>, ConfigError> {
    let values = match opt.takes {
        Takes::List => Sourced::split(text, place),
        _ => vec![Sourced { text: text.trim().to_owned(), place: place.clone() }],
    };
    if values.iter().any(|value| value.text.is_empty()) {
        return Err(ConfigError::Value { place: place.clone(), problem: ValueError::Empty });
    }
    Ok(values)
}

/// What the command line says.
pub(super) fn flags(matches: &ArgMatches) -> Result<Layer, ConfigError> {
    let mut layer = Layer::new();
    for opt in &OPTIONS {
        let place = Place::Flag(opt.key);
        if opt.takes == Takes::Switch {
            if matches.get_flag(opt.key) {
                layer.insert(opt.key, vec![Sourced { text: "true".to_owned(), place }]);
            }
            continue;
        }
        for text in matches.get_many::<String>(opt.key).into_iter().flatten() {
            layer.entry(opt.key).or_default().extend(values(opt, text, &place)?);
        }
    }
    Ok(layer)
}

/// What the environment says.
pub(super) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Environment, ConfigError> {
    let mut found = Environment { layer: Layer::new(), config: None };
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("HL_")) else { continue };
        if name.starts_with("HL_TEST_") || name == "HL_CAPTURES_DIR" {
            continue;
        }
        let fail = |problem| ConfigError::Variable { name: name.to_owned(), problem };
        let text = value.to_str().ok_or_else(|| fail(ValueError::NotText))?;
        if name == CONFIG_VARIABLE {
            found.config = Some(text.to_owned());
        } else if let Some(opt) = OPTIONS.iter().find(|opt| opt.variable() == name) {
            found.layer.insert(opt.key, values(opt, text, &Place::Variable(name.to_owned()))?);
        } else {
            let mut names: Vec<_> = OPTIONS.iter().map(Opt::variable).collect();
            names.push(CONFIG_VARIABLE.to_owned());
            return Err(fail(ValueError::unknown("variable", name, names.iter().map(String::as_str))));
        }
    }
    Ok(found)
}

/// What the file at this path says.
pub(super) fn read(path: &Path, files: &dyn Files) -> Result<Layer, ConfigError> {
    let text = files.read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    file(path, &text)
}

fn file(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let place = |at: usize| Place::File {
        path: path.to_owned(),
        line: 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count(),
    };
    let table = DeTable::parse(text).map_err(|e| ConfigError::Syntax {
        place: place(e.span().map_or(0, |span| span.start)),
        message: e.message().replace('\n', ", "),
    })?;
    let mut layer = Layer::new();
    for (key, value) in table.get_ref() {
        let fail = |at: usize, problem| ConfigError::Value { place: place(at), problem };
        let Some(opt) = OPTIONS.iter().find(|opt| opt.key == key.get_ref().as_ref()) else {
            let unknown = ValueError::unknown("key", key.get_ref(), OPTIONS.iter().map(|opt| opt.key));
            return Err(fail(key.span().start, unknown));
        };
        let at = value.span().start;
        let mut all = Vec::new();
        match (value.get_ref(), opt.takes) {
            (DeValue::Array(items), Takes::List | Takes::Texts) => {
                for item in items {
                    let at = item.span().start;
                    let text = item.get_ref().as_str();
                    let text = text.ok_or_else(|| fail(at, wrong_type(opt, item.get_ref())))?;
                    all.extend(values(opt, text, &place(at))?);
                }
                if all.is_empty() {
                    return Err(fail(at, ValueError::Empty));
                }
            }
            (DeValue::String(text), Takes::Word | Takes::Address | Takes::List | Takes::Texts) => {
                all = values(opt, text, &place(at))?
            }
            // A seed may be larger than the integers of TOML: as a string it may be written all the same.
            (DeValue::String(text), Takes::Number) => all = values(opt, text, &place(at))?,
            (DeValue::Integer(number), Takes::Number) => all = values(opt, &number.to_string(), &place(at))?,
            (DeValue::Boolean(value), Takes::Switch) => all = values(opt, &value.to_string(), &place(at))?,
            (other, _) => return Err(fail(at, wrong_type(opt, other))),
        }
        layer.insert(opt.key, all);
    }
    Ok(layer)
}

fn wrong_type(opt: &Opt, found: &DeValue<'_>) -> ValueError {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    ValueError::Type { key: opt.key, expected: opt.takes.expected(), found }
}
