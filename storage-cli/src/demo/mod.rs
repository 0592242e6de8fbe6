//! `storage demo`: a guided tour on real files.

mod commands;
mod fill;
mod metrics;
mod samples;
mod scan;

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::Serialize;
use storage_manager::{
    CleanupReport, Clock, Glob, ItemKey, Order, SaveRequest, StorageQuery, SystemClock, Timestamp,
};

use self::{commands::Commands, fill::Filled, scan::Skipped};
use crate::{
    args::Demo,
    commands::{cleanup, search},
    duration,
    error::{Failure, Status},
    output::{Out, human},
    store::Store,
    target::{Access, Target},
};

/// Hits shown of each search.
const SHOWN: u64 = 5;
/// The keys of the items that are saved to expire.
const SHORT_LIVED: [&str; 3] = ["short-lived-1", "short-lived-2", "short-lived-3"];
const LIFETIME: Duration = Duration::from_secs(1);
const FALLBACK_LIFETIME: Duration = Duration::from_secs(3_600);

/// Saves the files below a directory, then searches, expires, cleans up, measures, and says what to try next.
pub(crate) async fn run(args: Demo, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    check_dir(&args.dir)?;
    let commands = Commands::new(target);
    target
        .with(Access::Create, async |store| {
            let mut tour =
                Tour { store, commands: &commands, out, story: Story::default(), has_begun: false };
            tour.guide(&args.dir, target).await?;
            if tour.out.is_json() { tour.out.document(&tour.story) } else { Ok(()) }
        })
        .await?;
    Ok(Status::Done)
}

fn check_dir(dir: &Path) -> Result<(), Failure> {
    let shown = dir.display();
    match dir.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Failure::invalid(format!("{shown} is not a directory"))),
        Err(error) => Err(Failure::invalid(format!("{shown} cannot be read")).with_cause(&error)),
    }
}

/// What happened, for programs.
#[derive(Debug, Default, Serialize)]
struct Story {
    store: String,
    saved: u64,
    bytes: u64,
    seconds: f64,
    samples: bool,
    skipped: BTreeMap<&'static str, u64>,
    searches: Vec<Searched>,
    expired: Expired,
    cleanup: CleanupReport,
    metrics: Vec<String>,
    next: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Searched {
    command: String,
    hits: u64,
}

/// How many of the short-lived items were found.
#[derive(Debug, Default, Serialize)]
struct Expired {
    saved: u64,
    found_before: u64,
    found_after: u64,
}

/// A tour under way.
struct Tour<'a> {
    store: &'a Store,
    commands: &'a Commands,
    out: &'a mut Out,
    story: Story,
    has_begun: bool,
}

impl Tour<'_> {
    async fn guide(&mut self, dir: &Path, target: &Target) -> Result<(), Failure> {
        let begin = SystemClock.now();
        self.story.store = target.to_string();
        let filled = self.save(dir, target).await?;
        self.find(&filled, begin).await?;
        self.expire().await?;
        self.clean_up().await?;
        self.measure().await?;
        self.say_goodbye(&filled)
    }

    async fn save(&mut self, dir: &Path, target: &Target) -> Result<Filled, Failure> {
        let words = format!("Saving every file below {} in {target}", dir.display());
        self.heading(human::safe(&words))?;
        let filled = fill::fill(self.store, dir, target.dir(), !self.out.is_json()).await?;
        self.line(summary(&filled, self.store.info().capabilities.durable))?;
        if !filled.skipped.is_empty() {
            let name =
                |(reason, count): (&Skipped, &u64)| format!("{} ({})", reason.name(), human::grouped(*count));
            let names: Vec<_> = filled.skipped.iter().map(name).collect();
            self.line(format_args!("Left out: {}.", names.join(", ")))?;
        }
        self.story.saved = filled.items;
        self.story.bytes = filled.bytes;
        self.story.seconds = filled.elapsed.as_secs_f64();
        self.story.samples = filled.are_samples;
        self.story.skipped = filled.skipped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        Ok(filled)
    }

    async fn find(&mut self, filled: &Filled, begin: Timestamp) -> Result<(), Failure> {
        if let Some(extension) = filled.main_content_type() {
            let query = StorageQuery::new().tag("ext", extension);
            self.search("By tag", query, &["--tag", &format!("ext={extension}")]).await?;
        }
        let pattern = filled.main_folder().map_or("*".to_owned(), |folder| Glob::escape(folder) + "/*");
        let query = StorageQuery::new().pattern(&*pattern);
        // A folder may be named like an option.
        let joined = format!("--pattern={pattern}");
        let words = if pattern.starts_with('-') { vec![&*joined] } else { vec!["--pattern", &pattern] };
        self.search("By pattern", query, &words).await?;
        let query = StorageQuery::new().updated_after(begin).order(Order::UPDATED.descending());
        let words = ["--updated-after", &begin.to_string(), "--order=-updated"];
        self.search("By time, last saved first", query, &words).await
    }

    async fn search(&mut self, title: &str, query: StorageQuery, words: &[&str]) -> Result<(), Failure> {
        let limit = SHOWN.to_string();
        let words: Vec<_> = ["search"].iter().chain(words).copied().chain(["--limit", &limit]).collect();
        let command = self.commands.line(&words);
        let hits = self.store.count(&query).await?;
        self.heading(title)?;
        self.line(format_args!("$ {command}"))?;
        if !self.out.is_json() {
            search::list(self.store, query.limit(SHOWN).metadata_only(), false, self.out).await?;
            if hits > SHOWN {
                self.line(format_args!("… {} in all", human::items(hits)))?;
            }
        }
        self.story.searches.push(Searched { command, hits });
        Ok(())
    }

    /// Gives a few items a short time to live, and looks for them before and after.
    async fn expire(&mut self) -> Result<(), Failure> {
        self.heading("Expiry")?;
        let mut keys = Vec::new();
        for key in SHORT_LIVED {
            keys.push(ItemKey::new("demo", key)?);
        }
        // Should the tour be interrupted here, they go all the same.
        let later = SystemClock.now().saturating_add(FALLBACK_LIFETIME);
        let request = |key: &_| SaveRequest::new(*key, &b"gone in a moment"[..]).expires_at(later);
        for saved in self.store.save_many(keys.iter().map(request).collect()).await {
            saved?;
        }
        let found_before = self.found(&keys).await?;
        let mut last = SystemClock.now();
        for key in &keys {
            last = SystemClock.now().saturating_add(LIFETIME);
            self.store.touch(*key, Some(last)).await?;
        }
        let (items, lifetime) = (human::items(keys.len() as u64), duration::humane(LIFETIME));
        self.line(format_args!("Saved {items}: {found_before} found. Now they expire in {lifetime} …"))?;
        self.out.flush()?;
        while SystemClock.now() < last {
            tokio::time::sleep(last.saturating_since(SystemClock.now())).await;
        }
        let found_after = self.found(&keys).await?;
        self.line(format_args!("… and before any cleanup: {found_after} found."))?;
        self.story.expired = Expired { saved: keys.len() as u64, found_before, found_after };
        Ok(())
    }

    async fn found(&self, keys: &[ItemKey<'_>]) -> Result<u64, Failure> {
        let mut found = 0;
        for key in keys {
            found += u64::from(self.store.load(*key).await?.is_some());
        }
        Ok(found)
    }

    async fn clean_up(&mut self) -> Result<(), Failure> {
        let report = self.store.cleanup().await?;
        self.line(format_args!("$ {}", self.commands.line(&["cleanup"])))?;
        self.line(cleanup::sentence(&report))?;
        self.story.cleanup = report;
        Ok(())
    }

    async fn measure(&mut self) -> Result<(), Failure> {
        // Brings the metrics of size up to date.
        self.store.usage().await?;
        self.heading("Metrics of this tour, as Prometheus reads them")?;
        self.story.metrics = metrics::abridged(&self.store.metrics());
        for line in self.story.metrics.clone() {
            self.line(line)?;
        }
        Ok(())
    }

    fn say_goodbye(&mut self, filled: &Filled) -> Result<(), Failure> {
        self.story.next = self.commands.next(filled);
        self.heading("Try next")?;
        for command in self.story.next.clone() {
            self.line(format_args!("  {command}"))?;
        }
        Ok(())
    }

    fn heading(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        let gap = if std::mem::replace(&mut self.has_begun, true) { "\n" } else { "" };
        self.line(format_args!("{gap}== {text}"))?;
        self.out.flush()
    }

    /// A line for people.
    fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        if self.out.is_json() { Ok(()) } else { self.out.line(text) }
    }
}

fn summary(filled: &Filled, durable: bool) -> String {
    let size = human::bytes(filled.bytes);
    if filled.are_samples {
        return format!(
            "There are no files, so the tour saved {} of its own ({size}).",
            human::items(filled.items)
        );
    }
    let files = human::counted(filled.items, "file", "files");
    let durable = if durable { ", all of them durable" } else { "" };
    format!("Saved {files} ({size}) in {}{durable}.", duration::humane(filled.elapsed))
}
