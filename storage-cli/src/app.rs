//! One run of the command: arguments in, exit status out.

use std::env;

use clap::Parser;

use crate::{
    args::{Cli, Command},
    commands, demo,
    error::{Failure, Status},
    output::{Out, human, note},
    target::Target,
};

/// Runs the command of this process's arguments, prints its answer or its failure, and says how it ended.
pub(crate) fn run() -> Status {
    match Cli::try_parse() {
        Ok(cli) => {
            let json = cli.json;
            execute(cli).unwrap_or_else(|failure| report(&failure, json))
        }
        // A command line that cannot be parsed does not say whether it asked for JSON; the word itself does.
        Err(error) => explain(error, wants_json()),
    }
}

fn execute(cli: Cli) -> Result<Status, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("the runtime cannot be started", &error))?;
    let mut out = Out::new(cli.json);
    let status = runtime.block_on(async {
        let target = Target::parse(&cli.store)?;
        dispatch(cli.command, &target, &mut out).await
    })?;
    out.flush()?;
    Ok(status)
}

async fn dispatch(command: Command, target: &Target, out: &mut Out) -> Result<Status, Failure> {
    match command {
        Command::Save(args) => commands::save::run(args, target, out).await,
        Command::Load(args) => commands::load::run(args, target, out).await,
        Command::Delete(args) => commands::delete::run(args, target, out).await,
        Command::Touch(args) => commands::touch::run(args, target, out).await,
        Command::Search(args) => commands::search::run(args, target, out).await,
        Command::Count(args) => commands::count::run(args, target, out).await,
        Command::Cleanup => commands::cleanup::run(target, out).await,
        Command::Stats => commands::stats::run(target, out).await,
        Command::Verify => commands::verify::run(target, out).await,
        #[cfg(any(feature = "lua54", feature = "luau"))]
        Command::Lua(args) => commands::lua::run(args, target, out).await,
        Command::Demo(args) => demo::run(args, target, out).await,
    }
}

/// Prints a failure on standard error.
pub(crate) fn report(failure: &Failure, json: bool) -> Status {
    if json {
        note(failure.for_programs());
    } else {
        // Line by line: a message may quote what somebody typed or stored.
        for line in failure.for_people().lines() {
            note(human::safe(line));
        }
    }
    failure.status()
}

/// Prints the help or the version that was asked for, or what is wrong with the command line.
fn explain(error: clap::Error, json: bool) -> Status {
    let is_empty = error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if error.use_stderr() && !is_empty {
        return report(&error.into(), json);
    }
    // A reader who has seen enough (`storage --help | head`) is no failure.
    let _ = error.print();
    if is_empty { Status::Usage } else { Status::Done }
}

fn wants_json() -> bool {
    env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}
