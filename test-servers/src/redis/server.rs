//! One server as a child process.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use redis::{FromRedisValue, RedisConnectionInfo, RedisResult, Value};
use tempfile::TempDir;

use super::eventually;
use crate::{
    Unavailable,
    certificates::{Authority, Certificate},
    ports::Port,
    process::Process,
};

/// A Redis or Valkey server of its own: may be paused, killed and started again on the same port with the same data.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    arguments: Vec<&'static str>,
    port: Port,
    tls_port: Option<Port>,
    directory: TempDir,
    process: Option<Process>,
}

/// Lines of a server's configuration.
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    program: String,
    arguments: Vec<&'static str>,
    lines: Vec<String>,
    tls: Option<Tls>,
}

/// What a server shows to its clients, and whom it takes for one.
#[derive(Debug, Clone)]
struct Tls {
    certificate: Certificate,
    clients: Option<String>,
}

/// A user that every server has, so that the tests can talk to it whatever else it demands.
const ADMIN: &str = "user test-servers-admin on nopass ~* &* +@all";
const ADMIN_NAME: &str = "test-servers-admin";
/// A machine busy with compiling starts a server within a few seconds.
const STARTING: Duration = Duration::from_secs(30);
const ANSWERING: Duration = Duration::from_secs(20);

impl Server {
    /// Starts `redis-server` with nothing persisted.
    ///
    /// # Errors
    /// If the program is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        Self::builder().start()
    }

    /// Says how to start a server.
    pub fn builder() -> ServerBuilder {
        let lines = ["bind 127.0.0.1", "save \"\"", "daemonize no", "enable-debug-command yes", ADMIN];
        ServerBuilder {
            program: "redis-server".to_owned(),
            arguments: vec!["server.conf"],
            lines: lines.map(str::to_owned).to_vec(),
            tls: None,
        }
    }

    /// `redis://127.0.0.1:PORT/0`
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `127.0.0.1:PORT` where the server speaks TLS.
    ///
    /// # Panics
    /// If it was started without.
    pub fn tls_address(&self) -> String {
        let port = self.tls_port.as_ref().expect("the server speaks TLS");
        format!("127.0.0.1:{}", port.number())
    }

    /// Where the server keeps its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends one command as an administrator; `words` are its parts.
    ///
    /// # Panics
    /// If the server cannot be reached, answers an error or something other than a `T`.
    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let answer = self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        redis::from_redis_value(answer).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends one command as an administrator.
    ///
    /// # Errors
    /// What the server answers, or why it cannot be reached.
    pub fn try_command(&self, words: &[&str]) -> RedisResult<Value> {
        let mut connection = self.connect()?;
        let (name, arguments) = words.split_first().expect("a command has a name");
        redis::cmd(name).arg(arguments).query(&mut connection)
    }

    /// An ordinary connection of an administrator.
    ///
    /// # Errors
    /// Why the server cannot be reached.
    pub fn connect(&self) -> RedisResult<redis::Connection> {
        self.connect_within(ANSWERING)
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
    pub fn shut_down(&mut self) {
        self.running().terminate();
        let deadline = Instant::now() + ANSWERING;
        while self.connect_within(ANSWERING).is_ok() {
            assert!(Instant::now() < deadline, "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
        self.process = None;
    }

    /// Kills the server if it runs, and starts it again with the data that it left on the disk.
    pub fn restart(&mut self) {
        self.kill();
        self.launch().unwrap_or_else(|why| panic!("the server does not start again: {why}"));
    }

    /// Waits until so many replicas get every write. After its first copy, a replica gets none before it has said so.
    pub(super) fn wait_for_replicas(&self, count: usize) {
        eventually("the replicas follow their master", || self.online_replicas() == count);
    }

    /// Replicas that get every write.
    pub(super) fn online_replicas(&self) -> usize {
        self.replication().matches("state=online").count()
    }

    /// What the server says of its role, or nothing while it changes that: it ends all connections then.
    pub fn replication(&self) -> String {
        let info = self.try_command(&["INFO", "replication"]).ok();
        info.and_then(|info| redis::from_redis_value(info).ok()).unwrap_or_default()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    fn launch(&mut self) -> Result<(), String> {
        let process = Process::start(&self.program, &self.arguments, self.directory.path());
        let id = process.id();
        self.process = Some(process);
        self.wait_for(id)
    }

    /// Waits until it is our process that answers, and not a stranger's that took the port first.
    fn wait_for(&self, id: u32) -> Result<(), String> {
        let deadline = Instant::now() + STARTING;
        loop {
            match self.answering_process() {
                Ok(answering) if answering == id => return Ok(()),
                Ok(stranger) => {
                    return Err(format!("process {stranger} has the port"));
                }
                Err(_)
                    if Instant::now() < deadline && self.process.as_ref().is_some_and(Process::is_alive) =>
                {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(format!("{error}: {}", self.output())),
            }
        }
    }

    /// The process that answers on the port, once it has loaded its data.
    fn answering_process(&self) -> RedisResult<u32> {
        let mut connection = self.connect_within(Duration::from_secs(2))?;
        redis::cmd("PING").query::<String>(&mut connection)?;
        let info: redis::InfoDict = redis::cmd("INFO").arg("server").query(&mut connection)?;
        Ok(info.get("process_id").unwrap_or_default())
    }

    fn connect_within(&self, deadline: Duration) -> RedisResult<redis::Connection> {
        let credentials =
            RedisConnectionInfo::default().set_username(ADMIN_NAME).set_password("any password will do");
        let address = redis::ConnectionAddr::Tcp("127.0.0.1".to_owned(), self.port());
        let info = redis::IntoConnectionInfo::into_connection_info(address)?.set_redis_settings(credentials);
        let connection = redis::Client::open(info)?.get_connection_with_timeout(deadline)?;
        connection.set_read_timeout(Some(deadline))?;
        Ok(connection)
    }

    /// What the server printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }
}

impl ServerBuilder {
    /// Adds a line to the configuration, such as `maxmemory 4mb`.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Every write is on the disk before it is acknowledged.
    #[must_use]
    pub fn append_only(self) -> Self {
        self.line("appendonly yes").line("appendfsync always")
    }

    /// The default user needs this password.
    #[must_use]
    pub fn password(self, password: &str) -> Self {
        self.line(format!("requirepass {password}"))
    }

    /// Adds a user with ACL rules such as `on >secret ~prefix:* +@all`.
    #[must_use]
    pub fn user(self, name: &str, rules: &str) -> Self {
        self.line(format!("user {name} {rules}"))
    }

    /// Runs another program than `redis-server`: its name or path.
    #[must_use]
    pub fn program(mut self, program: &str) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Speaks TLS on a second port and shows `certificate` there.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.tls = Some(Tls { certificate: certificate.clone(), clients: None });
        self
    }

    /// Speaks TLS on a second port, with clients alone that have a certificate of `authority`.
    #[must_use]
    pub fn mutual_tls(mut self, certificate: &Certificate, authority: &Authority) -> Self {
        self.tls = Some(Tls { certificate: certificate.clone(), clients: Some(authority.pem()) });
        self
    }

    /// Watches other servers instead of holding data.
    #[must_use]
    pub(super) fn sentinel(mut self) -> Self {
        self.arguments.push("--sentinel");
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
        let mut last = String::new();
        // A stranger may take the port between the look and the start.
        for _ in 0..3 {
            match self.attempt(program.clone()) {
                Ok(server) => return Ok(server),
                Err(why) => last = why,
            }
        }
        panic!("{} does not start: {last}", self.program);
    }

    fn attempt(&self, program: PathBuf) -> Result<Server, String> {
        let directory = tempfile::Builder::new().prefix("test-server-").tempdir();
        let directory = directory.expect("a scratch directory can be made");
        let tls_port = self.tls.as_ref().map(|_| Port::reserve());
        let arguments = self.arguments.clone();
        let mut server =
            Server { program, arguments, port: Port::reserve(), tls_port, directory, process: None };
        self.write_files(&server);
        server.launch()?;
        Ok(server)
    }

    fn write_files(&self, server: &Server) {
        let mut lines = self.lines.clone();
        lines.push(format!("port {}", server.port()));
        if let (Some(tls), Some(port)) = (&self.tls, &server.tls_port) {
            lines.push(format!("tls-port {}", port.number()));
            lines.extend(tls.lines(server.directory()));
        }
        write(server.directory(), "server.conf", &(lines.join("\n") + "\n"));
    }
}

impl Tls {
    /// Writes what the server shows, and the lines of the configuration that name it.
    fn lines(&self, directory: &Path) -> Vec<String> {
        let file = |name, text: &str| write(directory, name, text);
        let certificate = file("server.crt", &self.certificate.pem);
        let key = file("server.key", &self.certificate.key);
        let (authority, clients) = match &self.clients {
            Some(authority) => (file("clients.crt", authority), "yes"),
            None => (certificate.clone(), "no"),
        };
        vec![
            format!("tls-cert-file {certificate}"),
            format!("tls-key-file {key}"),
            format!("tls-ca-cert-file {authority}"),
            format!("tls-auth-clients {clients}"),
        ]
    }
}

/// Writes a file and returns its path.
fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).expect("a scratch directory is writable");
    path.display().to_string()
}

/// Where a program is installed.
pub(crate) fn installed(program: &str) -> Result<PathBuf, Unavailable> {
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = env::split_paths(&path).map(|directory| directory.join(program));
    candidates
        .into_iter()
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Unavailable::new(format_args!("{program} is not installed")))
}
