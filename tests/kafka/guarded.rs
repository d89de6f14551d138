//! A Kafka that lets nobody in without TLS and a password, with Kafka's own authorizer, and the programs before it. The tests
//! themselves come by its listener without TLS, whose users may do everything.

use std::ffi::CString;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use rdkafka::bindings as c;
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, Producer};

use crate::world::{LIMIT, world};
use healthflow_testkit::certificates::{Authority, Wanted};
use healthflow_testkit::processes::worker::Worker;
use healthflow_testkit::processes::{beside, run, set};
use healthflow_testkit::stack::Stack;
use healthflow_testkit::wait::wait_for;
use healthflow_testkit::{project, scratch};

/// Users `case-0` and so on, one for each right that is taken away.
pub const CASES: usize = 48;

pub struct Guarded {
    pub stack: Stack,
    folder: PathBuf,
}

/// How a client comes to the broker.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// The variable of `stack.env` with the address of the listener.
    pub listener: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    /// The authority that is trusted: `authority` or `stranger`.
    pub ca: &'a str,
    pub protocol: &'a str,
}

/// A right of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub kind: String,
    pub name: String,
    pub right: String,
}

pub fn guarded() -> &'static Guarded {
    static SHARED: OnceLock<Guarded> = OnceLock::new();
    SHARED.get_or_init(Guarded::start)
}

pub fn password(user: &str) -> String {
    format!("secret-of-{user}")
}

impl Guarded {
    fn start() -> Guarded {
        let folder = scratch().join(format!("guarded-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let authority = Authority::new(&folder, "authority").unwrap();
        Authority::new(&folder, "stranger").unwrap();
        for (name, address, is_expired) in
            [("good", "127.0.0.1", false), ("expired", "127.0.0.1", true), ("misnamed", "127.0.0.9", false)]
        {
            authority.sign(Wanted { name, hosts: &[], addresses: &[address], is_expired }).unwrap();
        }
        let cases = (0..CASES).map(|case| format!("case-{case}"));
        let users: Vec<String> = ["worker", "operator"].map(str::to_owned).into_iter().chain(cases).collect();
        let users = users.iter().map(|user| format!("{user}:{}\n", password(user)));
        fs::write(folder.join("users"), users.collect::<String>()).unwrap();
        let stack = Stack::start_with(&["--secured", folder.to_str().unwrap()]);
        Guarded { stack, folder }
    }

    /// The flags of a program that comes in by `entry`.
    pub fn flags(&self, entry: Entry<'_>, prefix: &str) -> Vec<String> {
        let Entry { listener, user, password, ca, protocol } = entry;
        let ca = self.folder.join(format!("{ca}.pem"));
        let properties = format!(
            "security.protocol={protocol}\nsasl.mechanism=SCRAM-SHA-256\nsasl.username={user}\nsasl.password={password}\n\
             ssl.ca.location={}\n",
            ca.display()
        );
        let file = self.folder.join(format!("{prefix}{user}-{listener}-{protocol}.properties"));
        fs::write(&file, properties).unwrap();
        let mut flags = vec!["--config".to_owned(), project("config/torture.toml").display().to_string()];
        flags.extend(set(&[
            ("kafka.brokers", &self.stack.env(listener)),
            ("kafka.name_prefix", prefix),
            ("kafka.properties_file", file.to_str().unwrap()),
            ("schema_registry.url", &self.stack.registry_url),
        ]));
        flags
    }

    /// The flags of a program of `user`.
    pub fn flags_of(&self, user: &str, prefix: &str) -> Vec<String> {
        let (listener, ca, protocol) = ("GOOD_BROKERS", "authority", "SASL_SSL");
        self.flags(Entry { listener, user, password: &password(user), ca, protocol }, prefix)
    }

    /// Where the logs are.
    pub fn logs(&self) -> PathBuf {
        self.folder.clone()
    }

    /// A worker that is not running yet.
    pub fn worker(&self, name: &str, flags: &[String]) -> Worker {
        Worker::new(name, &self.folder, flags).unwrap()
    }

    /// The last line in the log of a worker that must be refused.
    pub fn refused_worker(&self, name: &str, flags: &[String]) -> String {
        let mut worker = self.worker(name, flags);
        worker.start().unwrap();
        let ended = wait_for(LIMIT, || worker.check().is_err().then_some(()));
        let log = fs::read_to_string(&worker.log).unwrap();
        assert!(ended.is_some(), "{name} runs: {log}");
        log.lines().last().unwrap_or_default().to_owned()
    }

    /// What a command says, or why it failed.
    pub fn command(&self, flags: &[String], words: &[&str]) -> anyhow::Result<String> {
        let arguments = words.iter().map(|word| (*word).to_owned()).chain(flags.iter().cloned()).collect();
        world().runtime.block_on(run(&beside("healthflow-sync").unwrap(), arguments))
    }

    /// The last line that a command says that must be refused.
    pub fn refused_command(&self, flags: &[String], words: &[&str]) -> String {
        let error = format!("{:#}", self.command(flags, words).expect_err("it is refused"));
        error.trim_end().lines().last().unwrap_or_default().to_owned()
    }

    /// A file beside the logs.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Grants rights to users, under names with `prefix`.
    #[allow(unsafe_code, reason = "rdkafka does not wrap CreateAcls")]
    pub fn grant(&self, prefix: &str, of_users: &[(String, Vec<Grant>)]) {
        let producer: BaseProducer =
            rdkafka::ClientConfig::new().set("bootstrap.servers", &self.stack.brokers).create().unwrap();
        let client = producer.client().native_ptr();
        // SAFETY: every object is ours and destroyed once; librdkafka copies the bindings.
        unsafe {
            let mut bindings = Vec::new();
            for (user, grants) in of_users {
                bindings.extend(grants.iter().map(|grant| binding(prefix, user, grant)));
            }
            let queue = c::rd_kafka_queue_new(client);
            c::rd_kafka_CreateAcls(client, bindings.as_mut_ptr(), bindings.len(), std::ptr::null(), queue);
            let event = c::rd_kafka_queue_poll(queue, i32::try_from(LIMIT.as_millis()).unwrap());
            let result = c::rd_kafka_event_CreateAcls_result(event);
            assert!(!result.is_null(), "no answer about the rights");
            let mut count = 0;
            let results = c::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
            for index in 0..count {
                assert!(c::rd_kafka_acl_result_error(*results.add(index)).is_null(), "a right is refused");
            }
            c::rd_kafka_event_destroy(event);
            c::rd_kafka_queue_destroy(queue);
            bindings.into_iter().for_each(|binding| c::rd_kafka_AclBinding_destroy(binding));
        }
    }

    /// The tests' own way in, with every right.
    pub fn admin(&self) -> rdkafka::admin::AdminClient<DefaultClientContext> {
        rdkafka::ClientConfig::new().set("bootstrap.servers", &self.stack.brokers).create().unwrap()
    }
}

#[allow(unsafe_code, reason = "rdkafka does not wrap AclBinding")]
unsafe fn binding(prefix: &str, user: &str, grant: &Grant) -> *mut c::rd_kafka_AclBinding_t {
    use c::rd_kafka_AclOperation_t as Operation;
    use c::rd_kafka_ResourcePatternType_t as Pattern;
    use c::rd_kafka_ResourceType_t as Resource;
    let kind = match &*grant.kind {
        "Topic" => Resource::RD_KAFKA_RESOURCE_TOPIC,
        "Group" => Resource::RD_KAFKA_RESOURCE_GROUP,
        "TransactionalId" => Resource::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
        other => panic!("no resource {other}"),
    };
    let operation = match &*grant.right {
        "Read" => Operation::RD_KAFKA_ACL_OPERATION_READ,
        "Write" => Operation::RD_KAFKA_ACL_OPERATION_WRITE,
        "Create" => Operation::RD_KAFKA_ACL_OPERATION_CREATE,
        "Alter" => Operation::RD_KAFKA_ACL_OPERATION_ALTER,
        "AlterConfigs" => Operation::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS,
        "Describe" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
        "DescribeConfigs" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
        other => panic!("no right {other}"),
    };
    let (name, pattern) = match grant.name.strip_suffix('*') {
        Some(begin) => (begin, Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED),
        None => (&*grant.name, Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL),
    };
    let name = CString::new(format!("{prefix}{name}")).unwrap();
    let principal = CString::new(format!("User:{user}")).unwrap();
    let allow = c::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW;
    let mut error = [0; 256];
    // SAFETY: librdkafka copies the texts.
    let binding = unsafe {
        c::rd_kafka_AclBinding_new(
            kind,
            name.as_ptr(),
            pattern,
            principal.as_ptr(),
            c"*".as_ptr(),
            operation,
            allow,
            error.as_mut_ptr(),
            error.len(),
        )
    };
    assert!(!binding.is_null(), "{grant:?}");
    binding
}
