//! One worker of a name on a host. Kafka lets a member with the `group.instance.id` of another one take its place, so by
//! default a second worker on a host would end the first, and a supervisor that starts it again would have it end the second,
//! for ever. The lock is a name in Linux's abstract namespace of Unix sockets: the kernel frees it when the process ends,
//! however it ends, and no file is left over. Containers have namespaces of their own, and names of hosts of their own.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use anyhow::bail;
use rustix::net::sockopt::socket_peercred;
use sha2::{Digest, Sha256};

use crate::config::HOSTNAME;

/// The longest name of a socket that Linux takes is 107 bytes long; a longer one is told by its digest.
const NAME_BYTES_MAX: usize = 107;

/// The name, for as long as it lives.
pub struct NameLock(
    /// Nothing is ever read from it. None where the system has no such sockets for us.
    #[allow(dead_code, reason = "it holds the name until it is dropped")]
    Option<UnixListener>,
);

/// The name of a worker within its group: the configured one, or that of its machine.
pub fn instance_name(configured: &str) -> String {
    match configured {
        HOSTNAME => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        name => name.to_owned(),
    }
}

/// Takes the name `instance` of `group` on the cluster `cluster_id`, on this host.
///
/// # Errors
/// Another process has it; the line says which, and how to run two workers.
pub fn take(cluster_id: &str, group: &str, instance: &str) -> anyhow::Result<NameLock> {
    let address = address(cluster_id, group, instance)?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => Ok(NameLock(Some(listener))),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "{} on this host runs as `{instance}` in the group {group}, and a second one of that name would end it; to run two, \
             give each a name and an address of its own: \
             --set kafka.group_instance_id={instance}-2 --set admin.listen=127.0.0.1:9465",
            holder(&address)
        ),
        Err(error) => {
            tracing::warn!(
                "cannot hold the name {instance} on this host ({error}); see that no second worker on it has that \
                 kafka.group_instance_id"
            );
            Ok(NameLock(None))
        }
    }
}

fn address(cluster_id: &str, group: &str, instance: &str) -> std::io::Result<SocketAddr> {
    let plain = format!("healthflow-sync/{cluster_id}/{group}/{instance}");
    let name = if plain.len() <= NAME_BYTES_MAX {
        plain
    } else {
        let digest = Sha256::digest(plain.as_bytes());
        digest.iter().fold("healthflow-sync/".to_owned(), |name, byte| format!("{name}{byte:02x}"))
    };
    SocketAddr::from_abstract_name(name)
}

/// Who has the name.
fn holder(address: &SocketAddr) -> String {
    let connected = UnixStream::connect_addr(address).ok();
    let credentials = connected.and_then(|stream| socket_peercred(&stream).ok());
    match credentials {
        Some(of) => format!("the worker with the process id {}", of.pid.as_raw_nonzero()),
        None => "another worker".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_had_by_one_at_a_time() {
        let refused = |cluster: &str, group: &str, name: &str| take(cluster, group, name).err();
        let long = "a-host-with-a-name".repeat(10);
        let (first, other) =
            (take("cluster-1", "group", "host").unwrap(), take("cluster-1", "group", &long).unwrap());
        let line = refused("cluster-1", "group", "host").expect("somebody has it").to_string();
        assert!(
            line.starts_with(&format!("the worker with the process id {}", std::process::id())),
            "{line}"
        );
        assert!(line.contains("--set kafka.group_instance_id=host-2 --set admin.listen="), "{line}");
        assert_eq!(line.lines().count(), 1);
        assert!(refused("cluster-1", "group", &long).is_some(), "a name of any length");
        let names =
            [("cluster-2", "group", "host"), ("cluster-1", "blue", "host"), ("cluster-1", "group", "host-2")];
        assert!(names.iter().all(|(cluster, group, name)| refused(cluster, group, name).is_none()));
        drop((first, other));
        assert!(refused("cluster-1", "group", "host").is_none(), "it is free again");
    }
}
