//! `storage lua`.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use storage_manager::{
    config::Config,
    lua::{Outcome, Sandbox, Script, ScriptVm, install_agent_modules, install_key_value_module},
    script::{AccessPolicy, AllowAll, KeyValueStores, ScriptRegistry, ScriptStore},
};

use crate::{
    args::{Lua, Modules},
    error::{Failure, Status},
    output::Out,
    store::Store,
    target::{Access, Target},
};

/// The id of the chosen store for key-value scripts.
const DEFAULT_ID: &str = "default";

/// Runs a script. All that can be wrong with the command line and its files is found before the store is opened.
pub(crate) async fn run(args: Lua, target: &Target, _: &mut Out) -> Result<Status, Failure> {
    check(&args)?;
    let source = read_script(&args.script)?;
    let config = args.config.as_deref().map(read_config).transpose()?;
    let policy = policy(&args, config.as_ref())?;
    let vm = sandbox(&args)?.vm().map_err(|error| Failure::invalid(error.message()))?;
    target
        .with(Access::Create, async |store| {
            match args.modules {
                Modules::Agent => install_agent(&vm, &args, policy, store)?,
                Modules::KeyValue => install_key_value(&vm, &args, policy, config, store).await?,
            }
            let name = args.script.to_string_lossy();
            let arguments = args.args.iter().map(String::as_str);
            finish(vm.run(Script::new(&name, &source), arguments).await)
        })
        .await
}

/// What would be ignored is refused.
fn check(args: &Lua) -> Result<(), Failure> {
    match args.modules {
        Modules::Agent if args.config.is_some() => {
            Err(Failure::usage("--config is for --modules key-value: the others know no ids of stores"))
        }
        Modules::KeyValue if args.require_ident => Err(Failure::usage(
            "--require-ident is for --modules agent: the others have no keys of their own",
        )),
        _ => Ok(()),
    }
}

fn finish(outcome: Outcome) -> Result<Status, Failure> {
    match outcome {
        Outcome::Finished(_) => Ok(Status::Done),
        Outcome::Raised(error) => Err(Failure::script_raised(error.to_string())),
        Outcome::Stopped(limit) => Err(Failure::script_stopped(limit.to_string())
            .with_hint("--timeout and --memory set the limits; what the script stored until then is stored")),
    }
}

fn sandbox(args: &Lua) -> Result<Sandbox, Failure> {
    let memory = usize::try_from(args.memory).map_err(|_| Failure::invalid("--memory is too large"))?;
    Ok(Sandbox::new().memory_limit(memory).timeout(args.timeout).print_to(print))
}

/// A reader who has seen enough (`storage lua SCRIPT | head`) does not stop the script.
fn print(line: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(line).and_then(|()| out.write_all(b"\n")) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn install_agent(
    vm: &ScriptVm,
    args: &Lua,
    policy: Arc<dyn AccessPolicy>,
    store: &Store,
) -> Result<(), Failure> {
    let mut module = ScriptStore::builder(store.manager()).policy(Arc::clone(&policy));
    let mut registry = ScriptRegistry::new(store.manager()).with_policy(policy);
    if let Some(ident) = &args.ident {
        module = module.ident(ident.clone());
        registry = registry.with_ident(ident.clone());
    }
    if args.require_ident {
        module = module.require_ident();
    }
    install_agent_modules(vm.lua(), &module.build(), &registry).map_err(|error| broken(&error))
}

async fn install_key_value(
    vm: &ScriptVm,
    args: &Lua,
    policy: Arc<dyn AccessPolicy>,
    config: Option<Config>,
    store: &Store,
) -> Result<(), Failure> {
    let stores = KeyValueStores::new(store.manager(), policy);
    stores.register_routed(DEFAULT_ID)?;
    if let Some(config) = config {
        config.start(&stores).await?;
    }
    let unit = stores.unit_of_work();
    let unit = match &args.ident {
        Some(ident) => unit.with_ident(ident.clone()),
        None => unit,
    };
    install_key_value_module(vm.lua(), unit).map_err(|error| broken(&error))
}

/// The machine has no memory left for what every script is given.
fn broken(error: &storage_manager::lua::mlua::Error) -> Failure {
    Failure::invalid("the modules do not fit into --memory").with_cause(error)
}

fn policy(args: &Lua, config: Option<&Config>) -> Result<Arc<dyn AccessPolicy>, Failure> {
    if let Some(path) = &args.policy {
        let policy = read_config(path)?.policy.ok_or_else(|| {
            let message = format!("{} holds no policy", path.display());
            Failure::invalid(message).with_hint("a list of rules under the name policy")
        })?;
        return Ok(Arc::new(policy));
    }
    match config.and_then(|config| config.policy.clone()) {
        Some(policy) => Ok(Arc::new(policy)),
        None => Ok(Arc::new(AllowAll)),
    }
}

fn read_config(path: &Path) -> Result<Config, Failure> {
    Config::from_file(path).map_err(|error| Failure::invalid(error.message()))
}

/// The text of the script. Memory use is bounded: nobody writes scripts of this size.
fn read_script(path: &Path) -> Result<Vec<u8>, Failure> {
    const MOST: u64 = 16 << 20;
    let unreadable =
        |error: io::Error| Failure::invalid(format!("{} cannot be read", path.display())).with_cause(&error);
    let mut source = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MOST + 1).read_to_end(&mut source)
    } else {
        File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut source))
    };
    read.map_err(unreadable)?;
    if source.len() as u64 > MOST {
        return Err(Failure::invalid(format!("{} has more than {MOST} bytes", path.display())));
    }
    Ok(source)
}
