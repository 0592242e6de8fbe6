//! The grammar of the command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Parser, Subcommand};
#[cfg(any(feature = "lua54", feature = "luau"))]
use storage_manager::script::Ident;
use storage_manager::{Order, StorageQuery, Tags, Timestamp};

use crate::{duration, error::Failure};

/// Typed items with deadlines and tags, kept on disk, in memory, in Redis or in a SQL database.
#[derive(Debug, Parser)]
#[command(name = "storage", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Where the items are: fs:DIR (a directory), memory: (gone when the command ends), redis://HOST (also rediss:,
    /// redis+cluster:, redis+sentinel:), postgres://HOST/DATABASE, mysql://HOST/DATABASE or sqlite:FILE
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "URL",
        env = "STORAGE_URL",
        // A URL may hold a password.
        hide_env_values = true,
        default_value = DEFAULT_STORE
    )]
    pub(crate) store: String,
    /// Answer with one JSON document (search: one per line), errors included
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The store used unless another is named.
pub(crate) const DEFAULT_STORE: &str = "fs:./storage-data";

const GLOBAL: &str = "For every command";

const AFTER_HELP: &str = "\
Exit status: 0 done; 1 no such item or store; 2 usage or invalid input; 3 condition not met (exists, version);
4 backend unavailable, locked or outcome unknown; 5 corrupted data; 6 anything else.

Start with:  storage demo";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Save an item; it replaces the one under the same type and key
    Save(Save),
    /// Write the data of an item to standard output, byte for byte; what a script stored, as JSON
    Load(Load),
    /// Delete an item
    Delete(Delete),
    /// Give an item another deadline, or none
    Touch(Touch),
    /// List the items that match all filters
    Search(Search),
    /// Print how many items match all filters
    Count(Filters),
    /// Remove expired items and what interrupted work left behind
    Cleanup,
    /// Show what the store holds and offers
    Stats,
    /// Read everything back and name each damaged item
    Verify,
    /// Run a Lua script on the store
    #[cfg(any(feature = "lua54", feature = "luau"))]
    Lua(Lua),
    /// A guided tour on real files
    Demo(Demo),
}

/// The identity of an item.
#[derive(Debug, Args)]
pub(crate) struct Item {
    /// Content type: ASCII letters, digits and . _ + - / :
    #[arg(value_name = "TYPE")]
    pub(crate) content_type: String,
    /// Key: 1 to 1,024 bytes without control characters
    pub(crate) key: String,
}

#[derive(Debug, Args)]
pub(crate) struct Save {
    #[command(flatten)]
    pub(crate) item: Item,
    /// The data, stored as given; without it and --file, standard input is read
    #[arg(conflicts_with = "file", allow_negative_numbers = true)]
    pub(crate) data: Option<OsString>,
    /// Take the data from this file
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// The data must be JSON and is stored, as given, with encoding json
    #[arg(long)]
    pub(crate) as_json: bool,
    /// Expire after this time, such as 90s, 5m, 2h, 7d or 1h30m
    #[arg(long, value_name = "D", value_parser = duration::parse, allow_hyphen_values = true, conflicts_with = "expires_at")]
    pub(crate) ttl: Option<Duration>,
    /// Expire at this time, such as 2030-03-01T12:00:00Z
    #[arg(long, value_name = "RFC3339", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) expires_at: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) tags: TagArgs,
    /// Only if there is no such item yet
    #[arg(long, conflicts_with = "if_version")]
    pub(crate) if_absent: bool,
    /// Only if the stored item has this version
    #[arg(long, value_name = "N", value_parser = parse_number, allow_hyphen_values = true)]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) item: Item,
    /// Print the metadata instead of the data
    #[arg(long)]
    pub(crate) meta: bool,
    /// Byte for byte also what a script stored
    #[arg(long, conflicts_with_all = ["meta", "json"])]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) item: Item,
    /// Only if the stored item has this version
    #[arg(long, value_name = "N", value_parser = parse_number, allow_hyphen_values = true)]
    pub(crate) if_version: Option<u64>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("deadline").required(true).args(["ttl", "expires_at", "persist"]))]
pub(crate) struct Touch {
    #[command(flatten)]
    pub(crate) item: Item,
    /// Expire after this time, such as 90s, 5m, 2h, 7d or 1h30m
    #[arg(long, value_name = "D", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) ttl: Option<Duration>,
    /// Expire at this time, such as 2030-03-01T12:00:00Z
    #[arg(long, value_name = "T", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) expires_at: Option<Timestamp>,
    /// Never expire
    #[arg(long)]
    pub(crate) persist: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) filters: Filters,
    /// key, created or updated; with a leading - from the last to the first
    #[arg(long, value_name = "ORDER", value_parser = parse_order, allow_hyphen_values = true, default_value = "key")]
    pub(crate) order: Order,
    /// At most this many items
    #[arg(long, value_name = "N", value_parser = parse_number, allow_hyphen_values = true)]
    pub(crate) limit: Option<u64>,
    /// Show the data too
    #[arg(long)]
    pub(crate) data: bool,
}

/// What decides whether an item is a hit.
#[derive(Debug, Args)]
pub(crate) struct Filters {
    /// Of this content type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Whose key matches: * any characters, ? one, [a-z] a set, \ takes the next literally
    #[arg(long, value_name = "GLOB")]
    pub(crate) pattern: Option<String>,
    #[command(flatten)]
    pub(crate) tags: TagArgs,
    /// Created at this time or later
    #[arg(long, value_name = "T", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) created_after: Option<Timestamp>,
    /// Created before this time
    #[arg(long, value_name = "T", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) created_before: Option<Timestamp>,
    /// Saved or touched at this time or later
    #[arg(long, value_name = "T", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) updated_after: Option<Timestamp>,
    /// Last saved or touched before this time
    #[arg(long, value_name = "T", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) updated_before: Option<Timestamp>,
    /// That expires at this time or later
    #[arg(long, value_name = "T", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) expires_after: Option<Timestamp>,
    /// That expires before this time
    #[arg(long, value_name = "T", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) expires_before: Option<Timestamp>,
}

impl Filters {
    /// The query for these filters, checked.
    ///
    /// # Errors
    /// A filter outside its limits.
    pub(crate) fn query(self) -> Result<StorageQuery, Failure> {
        let mut query = StorageQuery::new();
        if let Some(content_type) = self.content_type {
            query = query.content_type(content_type);
        }
        if let Some(pattern) = self.pattern {
            query = query.pattern(pattern);
        }
        for (name, value) in self.tags.collect()?.iter() {
            query = query.tag(name, value);
        }
        type Filter = fn(StorageQuery, Timestamp) -> StorageQuery;
        let times: [(Option<Timestamp>, Filter); 6] = [
            (self.created_after, StorageQuery::created_after),
            (self.created_before, StorageQuery::created_before),
            (self.updated_after, StorageQuery::updated_after),
            (self.updated_before, StorageQuery::updated_before),
            (self.expires_after, StorageQuery::expires_after),
            (self.expires_before, StorageQuery::expires_before),
        ];
        for (time, filter) in times {
            query = time.into_iter().fold(query, filter);
        }
        query.compile()?;
        Ok(query)
    }
}

/// Tags of an item to save, or tags that a hit has.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// A tag, for example tier=gold; may be given several times
    #[arg(long = "tag", value_name = "K=V", value_parser = parse_tag)]
    tags: Vec<(String, String)>,
}

impl TagArgs {
    /// All tags.
    ///
    /// # Errors
    /// One name with two values (what was meant cannot be known), or a tag outside its limits.
    pub(crate) fn collect(self) -> Result<Tags, Failure> {
        let mut tags = Tags::new();
        for (name, value) in self.tags {
            match tags.get(&name) {
                Some(other) if other != value => {
                    let message = format!("tag {name:?} is given twice, as {other:?} and as {value:?}");
                    return Err(Failure::invalid(message));
                }
                _ => tags.insert(name, value),
            }
        }
        tags.validate()?;
        Ok(tags)
    }
}

#[cfg(any(feature = "lua54", feature = "luau"))]
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 done; 1 the script raised an error; 2 usage; 4 stopped at its limits; otherwise as for every command.
Options stand before SCRIPT.")]
pub(crate) struct Lua {
    /// The file of the script; - is standard input
    pub(crate) script: PathBuf,
    /// What the script sees as ..., whatever it looks like
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
    /// agent: globals store and registry; key-value: require("store") with the store under the id default
    #[arg(long, value_name = "MODULES", value_enum, default_value = "agent")]
    pub(crate) modules: Modules,
    /// Further stores for key-value scripts: a YAML or TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The identity of the script, whose keys of the module store are its own
    #[arg(long, value_name = "NAME", value_parser = parse_ident)]
    pub(crate) ident: Option<Ident>,
    /// Without --ident, fail instead of using the global keys
    #[arg(long)]
    pub(crate) require_ident: bool,
    /// Which calls are allowed: the policy of this YAML or TOML file. Default: that of --config, else all
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Stop the script after this time
    #[arg(long, value_name = "D", value_parser = duration::parse, allow_hyphen_values = true, default_value = "130s")]
    pub(crate) timeout: Duration,
    /// Stop the script when it wants more than this many bytes
    #[arg(long, value_name = "BYTES", value_parser = parse_number, allow_hyphen_values = true, default_value_t = 32 << 20)]
    pub(crate) memory: u64,
}

/// What a script is given.
#[cfg(any(feature = "lua54", feature = "luau"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Modules {
    Agent,
    KeyValue,
}

#[cfg(any(feature = "lua54", feature = "luau"))]
fn parse_ident(text: &str) -> Result<Ident, String> {
    text.parse().map_err(|error: storage_manager::script::ScriptError| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The directory whose files are saved
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write an RFC 3339 time with its offset, such as 2030-03-01T12:00:00Z".into())
}

fn parse_order(text: &str) -> Result<Order, String> {
    text.parse().map_err(|_| "write key, created or updated, with a leading - for the reverse".into())
}

fn parse_number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("write a whole number from 0 to {}", u64::MAX))
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the name in front of the = is empty".into()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("write NAME=VALUE, such as tier=gold; the value may be empty".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
