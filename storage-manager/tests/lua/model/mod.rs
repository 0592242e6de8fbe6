//! Random scripts against plain models of what they do: maps, and a clock that the scripts move.
//!
//! A round is a store that is empty at first and a number of machines, each of which runs many short scripts one after
//! the other. What a script has to find follows from all scripts before it.

mod agent;
mod key_value;
pub(crate) mod literal;
mod script;

use std::{
    env, iter,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use fastrand::Rng;
use storage_manager::{
    Clock,
    lua::{Outcome, Script, ScriptVm},
};

use crate::support::Host;
use agent::{Agent, IDENTS};
use key_value::KeyValue;
use script::Steps;

const PRELUDE: &str = include_str!("prelude.lua");

/// Scripts of one machine.
const PER_MACHINE: u64 = 100;
/// Scripts of one round: what is replayed.
const PER_ROUND: u64 = 1_000;
/// Scripts of one run, unless `LUA_MODEL_SCRIPTS` says otherwise.
const SCRIPTS: u64 = 100_000;

/// `LUA_MODEL_SEED=… LUA_MODEL_SCRIPTS=1000` replays a round, whose seed a failure prints.
#[test]
fn random_scripts_find_what_the_model_says() {
    let seed = number("LUA_MODEL_SEED").unwrap_or_else(|| fastrand::u64(..));
    let rounds = number("LUA_MODEL_SCRIPTS").unwrap_or(SCRIPTS).div_ceil(PER_ROUND);
    println!("LUA_MODEL_SEED={seed}");
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let numbers = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                for round in numbers.take_while(|round| *round < rounds) {
                    run_round(seed.wrapping_add(round));
                }
            });
        }
    });
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn run_round(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut round = Round {
        seed,
        random: Rng::with_seed(seed),
        host: Host::new(),
        agent: Agent::default(),
        key_value: KeyValue::default(),
    };
    for _ in 0..PER_ROUND / PER_MACHINE {
        runtime.block_on(round.run_machine());
    }
}

struct Round {
    seed: u64,
    random: Rng,
    host: Host,
    agent: Agent,
    key_value: KeyValue,
}

impl Round {
    async fn run_machine(&mut self) {
        let mut now = self.host.clock.now();
        let ident = self.random.choice(IDENTS).unwrap();
        let is_agent = self.random.bool();
        let scripts: Vec<_> = (0..PER_MACHINE)
            .map(|_| {
                let mut steps = Steps::new(&mut self.random, &mut now);
                match is_agent {
                    true => write_agent(&mut self.agent, &mut steps, ident),
                    false => write_key_value(&mut self.key_value, &mut steps),
                }
                steps.into_text()
            })
            .collect();
        let vm = if is_agent { self.host.agent(ident) } else { self.host.key_value() };
        self.run_all(vm, &scripts).await;
        self.host.manager.cleanup().await.unwrap().into_result().unwrap();
    }

    async fn run_all(&self, vm: ScriptVm, scripts: &[String]) {
        let clock = self.host.clock.clone();
        let advance = vm.lua().create_function(move |_, millis: u64| {
            clock.advance(Duration::from_millis(millis));
            Ok(())
        });
        vm.lua().globals().set("advance", advance.unwrap()).unwrap();
        let mut source = PRELUDE.to_owned();
        for (number, script) in (1..).zip(scripts) {
            source.push_str(&format!("at = {number} (function()\n{script}end)()\n"));
        }
        let lua = vm.lua().clone();
        let outcome = vm.run(Script::new("model.lua", &source), []).await;
        if !matches!(outcome, Outcome::Finished(_)) {
            let at: usize = lua.globals().get("at").unwrap_or_default();
            let script = at.checked_sub(1).and_then(|at| scripts.get(at)).unwrap_or(&source);
            let seed = self.seed;
            panic!("{outcome:?}\nLUA_MODEL_SEED={seed} LUA_MODEL_SCRIPTS={PER_ROUND}\n{script}");
        }
    }
}

fn write_agent(model: &mut Agent, steps: &mut Steps<'_>, ident: Option<&'static str>) {
    for _ in 0..steps.random.u8(1..6) {
        if steps.random.u8(0..6) == 0 {
            steps.advance();
        }
        model.step(steps, ident);
    }
}

fn write_key_value(model: &mut KeyValue, steps: &mut Steps<'_>) {
    model.begin(steps);
    for _ in 0..steps.random.u8(1..6) {
        if steps.random.u8(0..4) == 0 {
            steps.advance();
        }
        model.step(steps);
    }
}
