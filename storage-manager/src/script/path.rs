//! Where in a value something stands.

use std::fmt::{self, Write};

use super::{ScriptKey, error::shown};

/// The way from a value to a part of it. Collected from the inside out, shown from the outside in:
/// `value.servers[3].name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValuePath {
    steps: Vec<ScriptKey>,
}

impl ValuePath {
    /// The value itself.
    pub const fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// The same place seen from one table further out, where the part before stands under `key`.
    #[must_use]
    pub fn within(mut self, key: ScriptKey) -> Self {
        self.steps.push(key);
        self
    }
}

/// At most this many steps are shown of either end: a deep path is as long as the nesting that is complained about.
const SHOWN_STEPS: usize = 8;

impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value")?;
        let hidden = self.steps.len().saturating_sub(2 * SHOWN_STEPS);
        for (at, step) in self.steps.iter().rev().enumerate() {
            if hidden == 0 || at < SHOWN_STEPS || at >= SHOWN_STEPS + hidden {
                write_step(f, step)?;
            } else if at == SHOWN_STEPS {
                f.write_char('…')?;
            }
        }
        Ok(())
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &ScriptKey) -> fmt::Result {
    match step {
        ScriptKey::Boolean(key) => write!(f, "[{key}]"),
        ScriptKey::Integer(key) => write!(f, "[{key}]"),
        ScriptKey::Float(key) => write!(f, "[{:?}]", key.get()),
        ScriptKey::String(key) => match str::from_utf8(key) {
            Ok(name) if is_name(name) => write!(f, ".{name}"),
            _ => write!(f, "[{}]", shown(&String::from_utf8_lossy(key))),
        },
    }
}

/// Whether a script could write `table.name`.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_a_script_would_write_them() {
        let path = ValuePath::new()
            .within("name".into())
            .within(3.into())
            .within("a b\n".into())
            .within(true.into())
            .within(ScriptKey::from_float(0.5).unwrap());
        assert_eq!(path.to_string(), "value[0.5][true][\"a b\\n\"][3].name");
        assert_eq!(ValuePath::new().to_string(), "value");
    }

    #[test]
    fn a_deep_path_is_shown_by_its_ends() {
        let path = (1..=1_000).fold(ValuePath::new(), |path, step| path.within(step.into()));
        let text = path.to_string();
        assert!(text.starts_with("value[1000][999]") && text.ends_with("[2][1]"), "{text}");
        assert!(text.contains("[993]…[8]"), "{text}");
    }
}
