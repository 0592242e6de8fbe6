//! The parent: starts children on a store, crashes them at random moments, and lets the next one look at what is left.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use fastrand::Rng;

use crate::{
    model::Model,
    process::Child,
    protocol::{Job, Line, Plan},
    store::Settings,
};

/// A store that is crashed again and again.
#[derive(Debug)]
pub struct Crash {
    program: String,
    directory: PathBuf,
    // Beside the store, not in it: the store's disk may be the one that loses its power.
    scratch: PathBuf,
    settings: Settings,
    model: Model,
    rng: Rng,
    figures: Figures,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Times that the store was crashed.
    pub cycles: u64,
    /// How many of them were while it was being opened and compared.
    pub while_opening: u64,
    /// Times that the store was closed in order in between.
    pub closed: u64,
    /// Calls that were acknowledged.
    pub acknowledged: u64,
    /// Calls that had not returned when the store was crashed.
    pub in_flight: u64,
}

/// How a cycle ends.
enum End {
    /// After this many lines and a moment more.
    Lines(u32, Duration),
    /// This long after the start of the process, which is opening the store then.
    Opening(Duration),
    /// In order.
    Close(u32),
}

impl Crash {
    /// Crashes of the store in `directory` by children that run `program`; `scratch` is a folder for notes.
    pub fn new(program: &str, directory: &Path, scratch: &Path, settings: Settings, seed: u64) -> Self {
        Self {
            program: program.to_owned(),
            directory: directory.to_owned(),
            scratch: scratch.to_owned(),
            settings,
            model: Model::default(),
            rng: Rng::with_seed(seed),
            figures: Figures::default(),
        }
    }

    /// Allows calls to fail while the store is crashed, because its disk goes away before its process.
    #[must_use]
    pub fn failures_allowed(mut self) -> Self {
        self.model = self.model.failures_allowed();
        self
    }

    /// What was seen so far.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Kills the process of the store `cycles` times, each time comparing what is left.
    ///
    /// # Errors
    /// The first difference.
    pub fn kill(&mut self, cycles: u64) -> Result<(), String> {
        while self.figures.cycles < cycles {
            self.cycle(Child::kill)?;
        }
        self.finish()
    }

    /// One crash by `crash`, which must leave the process dead.
    ///
    /// # Errors
    /// What was wrong with the store when it was opened, or with an answer before the crash.
    pub fn cycle(&mut self, crash: impl FnOnce(&mut Child)) -> Result<(), String> {
        let end = self.draw_end();
        let seed = self.rng.u64(..);
        let plan = Plan::Torture { model: self.write_model(), seed };
        let mut child = Child::start(&self.program, &self.job(plan));
        if let End::Opening(delay) = end {
            thread::sleep(delay);
            self.figures.while_opening += 1;
            return self.crash_now(child, crash);
        }
        self.expect_agreement(&mut child)?;
        match end {
            End::Lines(lines, delay) => {
                self.listen(&mut child, lines)?;
                thread::sleep(delay);
                self.crash_now(child, crash)
            }
            End::Close(lines) => {
                self.listen(&mut child, lines)?;
                self.close(&mut child)
            }
            End::Opening(_) => Ok(()),
        }
    }

    /// Opens the store two more times in order, so that the last crash counts too.
    ///
    /// # Errors
    /// The difference that was found.
    pub fn finish(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            let plan = Plan::Check { model: self.write_model() };
            let mut child = Child::start(&self.program, &self.job(plan));
            self.expect_agreement(&mut child)?;
            self.close(&mut child)?;
        }
        Ok(())
    }

    fn draw_end(&mut self) -> End {
        let rng = &mut self.rng;
        match rng.u32(0..100) {
            0..20 => End::Opening(Duration::from_micros(rng.u64(500..25_000))),
            20..28 => End::Close(rng.u32(0..400)),
            _ => End::Lines(rng.u32(1..600), Duration::from_micros(rng.u64(0..3_000))),
        }
    }

    fn job(&self, plan: Plan) -> Job {
        Job { directory: self.directory.clone(), settings: self.settings.clone(), plan }
    }

    fn write_model(&self) -> PathBuf {
        let path = self.scratch.join("model.json");
        let text = serde_json::to_vec(&self.model).expect("the model is JSON");
        fs::write(&path, text).expect("the model can be written");
        path
    }

    fn expect_agreement(&mut self, child: &mut Child) -> Result<(), String> {
        loop {
            match child.line() {
                Some(Line::Opened) => {}
                Some(Line::Agrees(items)) => {
                    self.model.adopt(items);
                    return Ok(());
                }
                other => return Err(self.report(child, &format!("the store did not open whole: {other:?}"))),
            }
        }
    }

    fn listen(&mut self, child: &mut Child, lines: u32) -> Result<(), String> {
        for _ in 0..lines {
            match child.line() {
                Some(line) => self.note(line).map_err(|why| self.report(child, &why))?,
                None => return Err(self.report(child, "the child ended by itself")),
            }
        }
        Ok(())
    }

    fn crash_now(&mut self, mut child: Child, crash: impl FnOnce(&mut Child)) -> Result<(), String> {
        if self.model.are_failures_allowed() {
            self.hear_all(&mut child)?;
        }
        crash(&mut child);
        self.figures.cycles += 1;
        // What had left a killed child counts, however long it takes to read it. A child whose disk went away goes on for
        // a moment, which no machine without power does: what it says then of its calls is no acknowledgement.
        while let Some(line) = child.line() {
            match line {
                Line::Answer(task, _) if self.model.are_failures_allowed() => self.model.doubt(task),
                line => self.note(line).map_err(|why| self.report(&mut child, &why))?,
            }
        }
        self.figures.in_flight += self.model.in_flight() as u64;
        let errors = child.errors();
        if errors.contains("panicked") { Err(format!("the child panicked: {errors}")) } else { Ok(()) }
    }

    /// Reads the lines that have come so far.
    fn hear_all(&mut self, child: &mut Child) -> Result<(), String> {
        while let Some(Ok(line)) = child.line_within(Duration::ZERO) {
            self.note(line).map_err(|why| self.report(child, &why))?;
        }
        Ok(())
    }

    fn close(&mut self, child: &mut Child) -> Result<(), String> {
        child.end_input();
        let mut is_closed = false;
        while let Some(line) = child.line() {
            is_closed |= matches!(line, Line::Closed);
            self.note(line).map_err(|why| self.report(child, &why))?;
        }
        self.figures.closed += 1;
        if is_closed && child.wait().success() {
            Ok(())
        } else {
            Err(self.report(child, "the store was not closed in order"))
        }
    }

    fn note(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Intent(task, entries) => self.model.intend(task, entries),
            Line::Answer(task, outcomes) => {
                self.figures.acknowledged += outcomes.len() as u64;
                self.model.acknowledge(task, outcomes)?;
            }
            // Reads may fail too while the disk goes away.
            Line::Disagrees(_) | Line::NotOpened(..) if self.model.are_failures_allowed() => {}
            // A child that was crashed after it compared, and before its parent looked.
            Line::Agrees(items) => self.model.adopt(items),
            Line::Opened | Line::Closed => {}
            other => return Err(format!("{other:?}")),
        }
        Ok(())
    }

    fn report(&self, child: &mut Child, why: &str) -> String {
        child.kill();
        format!("{why}\nafter {:?}; standard error of the child:\n{}", self.figures, child.errors())
    }
}
