//! The limits that containers and services set on memory: Linux's control groups.

use super::Machine;
use std::fs;
use std::path::Path;

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// The files of a version of control groups.
struct Version {
    /// Below [`MOUNT`].
    folder: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// Lines of `memory.stat`: pages of files, which are used, but would be given back.
    files: [&'static str; 2],
}

const V1: Version = Version {
    folder: "memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    files: ["total_active_file", "total_inactive_file"],
};

const V2: Version = Version {
    folder: "",
    limit: "memory.max",
    usage: "memory.current",
    files: ["active_file", "inactive_file"],
};

/// The limits on this process, of its group and of all that this one is in.
pub(super) fn limits() -> Vec<Machine> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limits_of(&membership, Path::new(MOUNT))
}

/// The limits on a process with this `/proc/self/cgroup`: lines `number:controllers:/path`.
fn limits_of(membership: &str, mount: &Path) -> Vec<Machine> {
    let mut limits = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let version = match controllers {
            "" => V2,
            _ if controllers.split(',').any(|controller| controller == "memory") => V1,
            _ => continue,
        };
        // In a container, the path may be one outside of it; its own group is then the root.
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        let root = mount.join(version.folder);
        limits.extend(groups.filter_map(|group| limit_of(&version, &root.join(group))));
    }
    limits
}

fn limit_of(version: &Version, group: &Path) -> Option<Machine> {
    let number = |file| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    // Without a limit, it is `max`, which is no number.
    let (memory_bytes, used_bytes) = (number(version.limit)?, number(version.usage)?);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let fields = stat.lines().filter_map(|line| line.split_once(' '));
    let files = fields.filter(|(name, _)| version.files.contains(name));
    let file_bytes: u64 = files.filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).sum();
    let used_bytes = used_bytes.saturating_sub(file_bytes);
    Some(Machine { memory_bytes, available_bytes: memory_bytes.saturating_sub(used_bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_all_groups_count() {
        let mount = tempfile::tempdir().unwrap();
        let write = |group: &str, files: &[(&str, &str)]| {
            let group = mount.path().join(group);
            fs::create_dir_all(&group).unwrap();
            files.iter().for_each(|(name, text)| fs::write(group.join(name), text).unwrap());
        };
        write("a", &[("memory.max", "1000\n"), ("memory.current", "900\n")]);
        write("a", &[("memory.stat", "anon 1\nactive_file 300\ninactive_file 50\n")]);
        write("a/b", &[("memory.max", "max\n"), ("memory.current", "5\n")]);
        write("memory/c", &[("memory.limit_in_bytes", "70\n"), ("memory.usage_in_bytes", "80\n")]);
        let limits = |membership| {
            let limits = limits_of(membership, mount.path()).into_iter();
            limits.map(|limit| (limit.memory_bytes, limit.available_bytes)).collect::<Vec<_>>()
        };
        assert_eq!(limits("0::/a/b\n"), [(1000, 450)]);
        assert_eq!(limits("1:cpu:/c\n4:cpuacct,memory:/c\nnonsense\n"), [(70, 0)]);
        assert_eq!(limits("0::/elsewhere\n"), []);
    }
}
