//! One server as a child process.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::programs::{Programs, run};
use crate::{Unavailable, certificates::Certificate, ports::Port, process::Process};

/// A PostgreSQL server of its own: may be paused, stopped in several ways and started again with the same data.
///
/// Its default collation is that of a language, as on most servers, so that an order by bytes must be asked for.
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    port: Port,
    directory: TempDir,
    process: Option<Process>,
}

/// Settings of a server, and who may talk to it.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    settings: Vec<String>,
    password: Option<String>,
    tls: Option<Certificate>,
    within: Option<PathBuf>,
}

/// A machine busy with compiling starts a server within a few seconds.
const STARTING: Duration = Duration::from_secs(60);
const ENDING: Duration = Duration::from_secs(30);

impl Server {
    /// Starts a server that does not wait for its disk: what it acknowledged survives its own death, not that of the system.
    ///
    /// # Errors
    /// If PostgreSQL is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        Self::builder().start()
    }

    /// Says how to start a server.
    pub fn builder() -> ServerBuilder {
        let settings = [
            "listen_addresses = '127.0.0.1'",
            "fsync = off",
            "full_page_writes = off",
            "shared_buffers = 64MB",
            "max_connections = 200",
            "autovacuum_naptime = 5s",
        ];
        let settings = settings.map(str::to_owned).to_vec();
        ServerBuilder { settings, password: None, tls: None, within: None }
    }

    /// `postgres://postgres@127.0.0.1:PORT/postgres`
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port())
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Runs statements as an administrator and answers what they return: a line per row, columns apart by `|`.
    ///
    /// # Panics
    /// If the server cannot be reached or refuses one.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// Runs statements as an administrator.
    ///
    /// # Errors
    /// What the server or its client says.
    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        let (program, arguments) = self.client();
        run((program, arguments), &["--command", statements])
    }

    /// A session of an administrator that has run `statements` and goes on with what is written to its input, until that
    /// ends. What it answers can be read from its output.
    ///
    /// # Panics
    /// If the client cannot be started.
    pub fn session(&self, statements: &str) -> Child {
        let (program, arguments) = self.client();
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql can be started");
        let input = child.stdin.as_mut().expect("the input is piped");
        writeln!(input, "{statements}").expect("psql reads its input");
        child
    }

    fn client(&self) -> (PathBuf, Vec<String>) {
        let (program, mut arguments) = self.programs.command("psql");
        arguments.push(format!("--host={}", self.directory.path().display()));
        arguments.push(format!("--port={}", self.port()));
        let options = ["-XqAt", "--username=postgres", "--dbname=postgres", "--set=ON_ERROR_STOP=1"];
        arguments.extend(options.map(str::to_owned));
        (program, arguments)
    }

    /// Holds the server as it is: new connections find nobody, and no more is read or written than what runs already.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.running().resume();
    }

    /// Ends the server at once, as a crash would: no transaction is finished, no page written (`SIGQUIT`).
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.quit();
            wait_for_end(&process);
        }
    }

    /// Lets the server end in order, with its connections cut (`SIGINT`).
    pub fn shut_down(&mut self) {
        if let Some(process) = self.process.take() {
            process.interrupt();
            wait_for_end(&process);
        }
    }

    /// Starts a server that was ended again, on its port and with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        self.launch().unwrap_or_else(|why| panic!("the server does not start again: {why}"));
    }

    /// What the server printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn launch(&mut self) -> Result<(), String> {
        let (program, mut arguments) = self.programs.command("postgres");
        arguments.extend(["-D".to_owned(), self.data().display().to_string()]);
        self.process = Some(Process::start(&program, &arguments, self.directory.path()));
        self.wait_until_ready()
    }

    /// A server says in a file of its own that it takes connections; a stranger on its port would not let it begin.
    fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + STARTING;
        let process = self.running();
        loop {
            let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            let own = text.lines().next() == Some(process.id().to_string().as_str());
            if own && text.lines().any(|line| line.trim_end() == "ready") {
                return Ok(());
            }
            if !process.is_alive() || Instant::now() > deadline {
                return Err(self.output());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its many processes end with it, so that none writes into the directory while that is removed.
        if let Some(process) = &self.process
            && process.is_alive()
        {
            process.resume();
            process.quit();
            wait_for_end(process);
        }
    }
}

fn wait_for_end(process: &Process) {
    let deadline = Instant::now() + ENDING;
    while process.is_alive() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
}

impl ServerBuilder {
    /// Adds a line to the configuration, such as `deadlock_timeout = 100ms`.
    #[must_use]
    pub fn setting(mut self, line: impl Into<String>) -> Self {
        self.settings.push(line.into());
        self
    }

    /// What is acknowledged is on the disk.
    #[must_use]
    pub fn durable(self) -> Self {
        self.setting("fsync = on").setting("full_page_writes = on")
    }

    /// Every user that comes over the network needs a password; that of `postgres` is this one.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Talks TLS alone over the network, and shows `certificate`.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.tls = Some(certificate.clone());
        self
    }

    /// Keeps its files within this directory, such as that of a small disk.
    #[must_use]
    pub fn within(mut self, directory: &Path) -> Self {
        self.within = Some(directory.to_owned());
        self
    }

    /// Starts the server and waits until it takes connections.
    ///
    /// # Errors
    /// If PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(self) -> Result<Server, Unavailable> {
        let programs = Programs::find()?;
        let mut last = String::new();
        // A stranger may take the port between the look and the start.
        for _ in 0..3 {
            match self.attempt(&programs) {
                Ok(server) => return Ok(server),
                Err(why) => last = why,
            }
        }
        panic!("postgres does not start: {last}");
    }

    fn attempt(&self, programs: &Programs) -> Result<Server, String> {
        let mut prefixed = tempfile::Builder::new();
        prefixed.prefix("test-server-");
        let directory = match &self.within {
            Some(place) => prefixed.tempdir_in(place),
            None => prefixed.tempdir(),
        };
        let directory = directory.expect("a scratch directory can be made");
        programs.hand_over(directory.path());
        let mut server =
            Server { programs: programs.clone(), port: Port::reserve(), directory, process: None };
        server.make_database()?;
        self.write_files(&server);
        server.launch()?;
        if let Some(password) = &self.password {
            server.try_sql(&format!("ALTER USER postgres PASSWORD '{}'", password.replace('\'', "''")))?;
        }
        Ok(server)
    }

    fn write_files(&self, server: &Server) {
        let mut settings = self.settings.clone();
        settings.push(format!("port = {}", server.port()));
        settings.push(format!("unix_socket_directories = '{}'", server.directory.path().display()));
        if let Some(tls) = &self.tls {
            write_private(server, "server.crt", &tls.pem);
            write_private(server, "server.key", &tls.key);
            settings.push("ssl = on".to_owned());
        }
        write_private(server, "postgresql.conf", &(settings.join("\n") + "\n"));
        let method = if self.password.is_some() { "scram-sha-256" } else { "trust" };
        let connection = if self.tls.is_some() { "hostssl" } else { "host" };
        let access = format!("local all all trust\n{connection} all all 127.0.0.1/32 {method}\n");
        write_private(server, "pg_hba.conf", &access);
    }
}

impl Server {
    fn make_database(&self) -> Result<(), String> {
        let data = self.data().display().to_string();
        let options = [
            "--username=postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=icu",
            "--icu-locale=en-US",
        ];
        let mut arguments = vec!["--pgdata", data.as_str()];
        arguments.extend(options);
        run(self.programs.command("initdb"), &arguments).map(drop)
    }
}

/// Writes a file of the server that nobody else may read.
fn write_private(server: &Server, name: &str, text: &str) {
    let path = server.data().join(name);
    fs::write(&path, text).expect("a scratch directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    server.programs.hand_over(&path);
}
