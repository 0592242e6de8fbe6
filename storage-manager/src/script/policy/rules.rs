//! A policy made of rules.

use std::collections::BTreeMap;

use serde::Deserialize;
use storage_core::Glob;

use super::{AccessPolicy, AccessRequest, Action, Attributes};

/// A policy made of rules, usually from a configuration file: a call is allowed if a rule allows it and none denies it.
///
/// A rule concerns a call if one of its `actions`, one of its `resources`, and for each of its `attributes` one of the
/// patterns match. Patterns are those of [`Glob`]: `*` stands for anything, `\` takes the next character as it is. A rule
/// that asks for an attribute does not concern calls without it: a rule about `key` says nothing about `store.get`.
///
/// ```
/// use storage_manager::script::{AccessPolicy, AccessRequest, Action, Attributes, RulePolicy};
///
/// let policy: RulePolicy = serde_json::from_str(r#"[
///     {"effect": "allow", "actions": ["store.get", "store.key.*"], "resources": "app:*"},
///     {"effect": "deny", "actions": "store.key.*", "resources": "*", "attributes": {"key": "secret:*"}}
/// ]"#)?;
/// let attributes = Attributes { key: Some("secret:1"), ..Attributes::default() };
/// let request = AccessRequest { action: Action::KeyGet, resource: "app:cache", attributes };
/// assert!(!policy.allows(&request));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// When it is read: unknown fields, patterns that are none, actions and attributes that do not exist (a rule with a
/// slip of the pen would deny nothing), and rules that could concern no call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct RulePolicy {
    rules: Vec<Rule>,
}

impl AccessPolicy for RulePolicy {
    fn allows(&self, request: &AccessRequest<'_>) -> bool {
        let mut allowed = false;
        for rule in self.rules.iter().filter(|rule| rule.concerns(request)) {
            match rule.effect {
                Effect::Allow => allowed = true,
                Effect::Deny => return false,
            }
        }
        allowed
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RuleText")]
struct Rule {
    effect: Effect,
    actions: Vec<Glob>,
    resources: Vec<Glob>,
    attributes: Vec<(String, Vec<Glob>)>,
}

impl Rule {
    fn concerns(&self, request: &AccessRequest<'_>) -> bool {
        any(&self.actions, request.action.as_str())
            && any(&self.resources, request.resource)
            && self.attributes.iter().all(|(name, patterns)| {
                request.attributes.get(name).is_some_and(|value| any(patterns, value))
            })
    }
}

fn any(patterns: &[Glob], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Effect {
    Allow,
    Deny,
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    effect: Effect,
    actions: OneOrMany,
    resources: OneOrMany,
    #[serde(default)]
    attributes: BTreeMap<String, OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a pattern or a list of patterns")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn patterns(self, what: &str) -> Result<Vec<Glob>, String> {
        let texts = match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        };
        if texts.is_empty() {
            return Err(format!("{what} is empty: the rule could concern no call"));
        }
        let patterns = texts.iter().map(|text| Glob::new(text));
        patterns.collect::<Result<_, _>>().map_err(|error| format!("{what}: {}", error.message()))
    }
}

impl TryFrom<RuleText> for Rule {
    type Error = String;

    fn try_from(text: RuleText) -> Result<Self, String> {
        let attributes = text.attributes.into_iter().map(|(name, patterns)| {
            if !Attributes::NAMES.contains(&&*name) {
                let known = Attributes::NAMES.join(", ");
                return Err(format!("attributes: there is no attribute {name:?}, only {known}"));
            }
            let patterns = patterns.patterns(&format!("attributes.{name}"))?;
            Ok((name, patterns))
        });
        Ok(Self {
            effect: text.effect,
            actions: known_actions(text.actions.patterns("actions")?)?,
            resources: text.resources.patterns("resources")?,
            attributes: attributes.collect::<Result<_, _>>()?,
        })
    }
}

fn known_actions(patterns: Vec<Glob>) -> Result<Vec<Glob>, String> {
    let known = |pattern: &Glob| Action::ALL.iter().any(|action| pattern.matches(action.as_str()));
    match patterns.iter().position(|pattern| !known(pattern)) {
        Some(at) => Err(format!("actions: pattern {} matches no action", at + 1)),
        None => Ok(patterns),
    }
}
