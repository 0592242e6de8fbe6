//! One server as a child process.

use std::{
    fs,
    io::Read as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::data;
use crate::{Certificate, Unavailable, ports::Port, process::Process, redis::server::installed};

/// A MariaDB server of its own: may be paused, killed and started again on the same port with the same data.
///
/// It has one database, `storage`, and a user of that name who may do everything within it.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    client: PathBuf,
    port: Port,
    directory: TempDir,
    process: Option<Process>,
}

/// Lines of a server's configuration.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    program: String,
    lines: Vec<String>,
    certificate: Option<Certificate>,
}

/// The database, its user and the password, known to every test.
const NAME: &str = "storage";
const PASSWORD: &str = "storage-password";
/// A machine busy with compiling starts a server within a few seconds.
const STARTING: Duration = Duration::from_secs(60);
const STOPPING: Duration = Duration::from_secs(60);

/// What a server needs in every test: little memory and few files, and commits that survive the end of its process.
const LINES: [&str; 11] = [
    "bind-address=127.0.0.1",
    "skip-name-resolve",
    "performance-schema=off",
    "innodb-buffer-pool-size=128M",
    "innodb-log-file-size=16M",
    "innodb-flush-log-at-trx-commit=2",
    "innodb-flush-method=nosync",
    // A table takes a third of the time without a file of its own.
    "loose-innodb-file-per-table=0",
    "innodb-fast-shutdown=2",
    "max-connections=100",
    "skip-log-bin",
];

impl Server {
    /// Starts `mariadbd`. What it has committed survives its process, but not the machine.
    ///
    /// # Errors
    /// If the program is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        Self::builder().start()
    }

    /// Says how to start a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            program: "mariadbd".to_owned(),
            lines: LINES.map(str::to_owned).to_vec(),
            certificate: None,
        }
    }

    /// `mysql://storage:PASSWORD@127.0.0.1:PORT/storage`
    pub fn url(&self) -> String {
        self.url_as(NAME, PASSWORD)
    }

    /// The address with another user.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("mysql://{user}:{password}@{}/{NAME}", self.address())
    }

    /// The address of the usual user through whatever listens at `address`.
    pub fn url_through(&self, address: &str) -> String {
        format!("mysql://{NAME}:{PASSWORD}@{address}/{NAME}")
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where the server keeps its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs statements as the administrator, in the database of the tests. The answer has a line for every row, its
    /// columns separated by tabs.
    ///
    /// # Panics
    /// If the server cannot be reached or refuses a statement.
    pub fn execute(&self, statements: &str) -> String {
        self.try_execute(statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }

    /// Runs statements as the administrator, in the database of the tests.
    ///
    /// # Errors
    /// What the server answers, or why it cannot be reached.
    pub fn try_execute(&self, statements: &str) -> Result<String, String> {
        self.client().execute(statements)
    }

    /// A client of its own, for a thread that keeps the server busy.
    pub fn client(&self) -> Client {
        Client { program: self.client.clone(), socket: self.socket() }
    }

    /// Ends every connection of the tests' user, as an administrator does who loses patience.
    pub fn kill_connections(&self) {
        self.execute(&format!("KILL USER {NAME}"));
    }

    /// Holds the server as it is (`SIGSTOP`): connections are accepted by the system, and nothing is answered.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Lets a paused server go on (`SIGCONT`).
    pub fn resume(&self) {
        self.running().resume();
    }

    /// Kills the server outright (`SIGKILL`).
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Lets the server end in order (`SIGTERM`).
    ///
    /// # Panics
    /// If it does not end.
    pub fn shut_down(&mut self) {
        self.running().terminate();
        let deadline = Instant::now() + STOPPING;
        while self.running().is_alive() {
            assert!(Instant::now() < deadline, "the server does not end: {}", self.output());
            thread::sleep(Duration::from_millis(10));
        }
        self.process = None;
    }

    /// Kills the server if it runs, and starts it again with the data that it left on the disk.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.launch().unwrap_or_else(|why| panic!("the server does not start again: {why}"));
    }

    /// What the server printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.directory().join("output")).unwrap_or_default()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    fn socket(&self) -> PathBuf {
        self.directory().join("socket")
    }

    fn launch(&mut self) -> Result<(), String> {
        // A server that was killed leaves its socket behind.
        let _absent = fs::remove_file(self.socket());
        let mut arguments =
            vec![format!("--defaults-file={}", self.directory().join("server.cnf").display())];
        if data::is_root() {
            arguments.push("--user=root".to_owned());
        }
        self.process = Some(Process::start(&self.program, &arguments, self.directory.path()));
        self.wait()
    }

    /// Waits until the server greets. Nobody else has a socket in its directory, and without its port it ends at once.
    fn wait(&self) -> Result<(), String> {
        let deadline = Instant::now() + STARTING;
        while !self.greets() {
            if Instant::now() > deadline || !self.running().is_alive() {
                return Err(self.output());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn greets(&self) -> bool {
        let Ok(mut connection) = UnixStream::connect(self.socket()) else { return false };
        let patience = connection.set_read_timeout(Some(Duration::from_secs(2)));
        patience.is_ok() && connection.read_exact(&mut [0]).is_ok()
    }
}

/// Runs statements as the administrator.
#[derive(Debug, Clone)]
pub struct Client {
    program: PathBuf,
    socket: PathBuf,
}

impl Client {
    /// Runs statements one after the other, in the database of the tests. The answer has a line for every row, its columns
    /// separated by tabs.
    ///
    /// # Errors
    /// What the server answers, or why it cannot be reached.
    ///
    /// # Panics
    /// If the client program cannot be run.
    pub fn execute(&self, statements: &str) -> Result<String, String> {
        let output = Command::new(&self.program)
            .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"])
            .arg("--default-character-set=utf8mb4")
            .arg(format!("--socket={}", self.socket.display()))
            .arg(format!("--database={NAME}"))
            .arg(format!("--execute={statements}"))
            .output()
            .expect("the client program runs");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl ServerBuilder {
    /// Adds a line to the configuration, such as `max-connections=5`; a later line wins over an earlier one.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Every commit is on the disk before it is acknowledged.
    #[must_use]
    pub fn durable(self) -> Self {
        self.line("innodb-flush-log-at-trx-commit=1").line("innodb-flush-method=fsync")
    }

    /// Runs another program than `mariadbd`: its name or path.
    #[must_use]
    pub fn program(mut self, program: &str) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Offers TLS and shows `certificate`.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// If the program is not installed.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(self) -> Result<Server, Unavailable> {
        let program = installed(&self.program)?;
        let client = installed("mariadb")?;
        let mut last = String::new();
        // A stranger may take the port between the look and the start.
        for _ in 0..3 {
            let mut server = self.prepare(program.clone(), client.clone())?;
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(why) => last = why,
            }
        }
        panic!("{} does not start: {last}", self.program);
    }

    fn prepare(&self, program: PathBuf, client: PathBuf) -> Result<Server, Unavailable> {
        let directory = tempfile::Builder::new().prefix("test-server-").tempdir();
        let directory = directory.expect("a scratch directory can be made");
        data::fill(&directory.path().join("data"))?;
        let server = Server { program, client, port: Port::reserve(), directory, process: None };
        write(&server, "first.sql", &first_statements());
        write(&server, "server.cnf", &self.configuration(&server));
        Ok(server)
    }

    fn configuration(&self, server: &Server) -> String {
        let path = |name| server.directory().join(name).display().to_string();
        let mut lines = vec!["[mariadbd]".to_owned()];
        lines.extend(self.lines.clone());
        lines.push(format!("port={}", server.port()));
        for (setting, file) in
            [("datadir", "data"), ("socket", "socket"), ("pid-file", "pid"), ("init-file", "first.sql")]
        {
            lines.push(format!("{setting}={}", path(file)));
        }
        if let Some(certificate) = &self.certificate {
            lines.push(format!("ssl-cert={}", write(server, "server.crt", &certificate.pem)));
            lines.push(format!("ssl-key={}", write(server, "server.key", &certificate.key)));
        }
        lines.join("\n") + "\n"
    }
}

/// What the server runs at each of its starts, before anybody can connect: a statement has a line of its own there.
fn first_statements() -> String {
    format!(
        "CREATE DATABASE IF NOT EXISTS {NAME} CHARACTER SET utf8mb4;\n\
         DROP USER IF EXISTS ''@'localhost';\n\
         CREATE USER IF NOT EXISTS '{NAME}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON {NAME}.* TO '{NAME}'@'%';\n"
    )
}

/// Writes a file and returns its path.
fn write(server: &Server, name: &str, text: &str) -> String {
    let path = server.directory().join(name);
    fs::write(&path, text).expect("a scratch directory is writable");
    path.display().to_string()
}
