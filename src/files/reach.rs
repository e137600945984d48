//! How far locks reach: on some networks' file systems they hold on one machine alone.

use super::ClaimError;
use std::path::Path;

/// Checks that a lock of a file at `path` keeps other machines away too, as far as the system tells
/// how the file system is mounted: Linux does.
///
/// # Errors
/// If the lock would hold on this machine alone.
pub fn check_lock_reach(path: &Path) -> Result<(), ClaimError> {
    match local_locks_at(path) {
        Some(how) => Err(ClaimError::LocalLocks { path: path.into(), how }),
        None => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn local_locks_at(path: &Path) -> Option<String> {
    use super::{folder_of, target_of};
    use rustix::fs::{major, minor};
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    let there = fs::metadata(path).or_else(|_| fs::metadata(folder_of(&target_of(path)))).ok()?;
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let device = format!("{}:{}", major(there.dev()), minor(there.dev()));
    local_locks(&String::from_utf8_lossy(&mounts), &device, |path| fs::read_to_string(path).ok())
}

#[cfg(not(target_os = "linux"))]
fn local_locks_at(_: &Path) -> Option<String> {
    None
}

/// Options with which locks stay on the machine, by the kinds of file systems that have them.
#[cfg(any(target_os = "linux", test))]
const LOCAL: [(&[&str], &[&str]); 4] = [
    (&["nfs", "nfs4"], &["nolock", "local_lock=flock", "local_lock=all"]),
    (&["lustre"], &["localflock"]),
    (&["cifs", "smb3"], &["nobrl"]),
    (&["gfs2", "ocfs2"], &["localflocks"]),
];

/// Kinds without locks that leave the machine.
#[cfg(any(target_os = "linux", test))]
const ALWAYS_LOCAL: [&str; 5] =
    ["fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.mount-s3"];

/// With this setting, a mount option or one of the file that is the option `cfgFile`, BeeGFS passes
/// locks on.
#[cfg(any(target_os = "linux", test))]
const BEEGFS_GLOBAL: &str = "tuneUseGlobalFileLocks";

/// How a device is mounted, as `proc(5)` says in `mountinfo`, if locks do not leave the machine there:
/// `nfs4 with local_lock=all`. `read` reads the settings to which a mount points.
#[cfg(any(target_os = "linux", test))]
fn local_locks(
    mounts: &str,
    device: &str,
    read: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let mount = mounts.lines().find(|mount| mount.split(' ').nth(2) == Some(device))?;
    let (mount_fields, of_system) = mount.split_once(" - ")?;
    let mut of_system = of_system.split(' ');
    let kind = of_system.next()?;
    if ALWAYS_LOCAL.contains(&kind) {
        return Some(kind.into());
    }
    let options = [mount_fields.split(' ').nth(5)?, of_system.nth(1).unwrap_or_default()];
    let mut options = options.into_iter().flat_map(|options| options.split(','));
    if kind == "beegfs" {
        let settings = options.clone().find_map(|option| read(option.strip_prefix("cfgFile=")?));
        let settings = settings.unwrap_or_default();
        let is_global = options.chain(settings.lines()).any(says_global);
        return (!is_global).then(|| format!("{kind} without {BEEGFS_GLOBAL}"));
    }
    let (_, local) = LOCAL.iter().find(|(kinds, _)| kinds.contains(&kind))?;
    options.find(|option| local.contains(option)).map(|option| format!("{kind} with {option}"))
}

#[cfg(any(target_os = "linux", test))]
fn says_global(setting: &str) -> bool {
    let (name, value) = setting.split_once('=').unwrap_or((setting, "true"));
    name.trim() == BEEGFS_GLOBAL && matches!(value.trim(), "true" | "1" | "yes" | "on" | "y")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 22 0:45 / /nfs\\040a rw,relatime shared:20 master:3 - nfs4 host:/a rw,vers=4.2,hard,local_lock=none
41 22 0:46 / /b rw - nfs host:/b rw,vers=3,nolock,local_lock=all
42 22 0:47 / /c rw - nfs host:/c rw,vers=3,local_lock=flock
43 22 0:48 / /d rw - nfs host:/d rw,vers=3,local_lock=posix
44 22 0:49 / /e rw - lustre 1@tcp:/e rw,flock
45 22 0:50 / /f rw - lustre 1@tcp:/e rw,localflock
46 22 0:51 / /g rw - fuse.sshfs u@h:/ rw,user_id=0
47 22 0:52 / /h rw,nolock - ext4 /dev/sdb rw
48 22 0:53 /
49 22 0:54 / /j rw - beegfs beegfs_nodev rw,cfgFile=/etc/local.conf
50 22 0:55 / /k rw - beegfs beegfs_nodev rw,cfgFile=/etc/global.conf
51 22 0:56 / /l rw - beegfs beegfs_nodev rw,tuneUseGlobalFileLocks
";

    #[test]
    fn mounts_tell_whether_locks_leave_the_machine() {
        let settings = |path: &str| {
            let value = path == "/etc/global.conf";
            Some(format!("# of a client\ntuneUseGlobalFileLocks = {value}\n"))
        };
        let told = |device| local_locks(MOUNTS, device, settings);
        for device in ["8:1", "0:45", "0:48", "0:49", "0:52", "0:53", "0:55", "0:56", "0:4", "9:9"]
        {
            assert_eq!(told(device), None, "{device}");
        }
        assert_eq!(told("0:46").as_deref(), Some("nfs with nolock"));
        assert_eq!(told("0:47").as_deref(), Some("nfs with local_lock=flock"));
        assert_eq!(told("0:50").as_deref(), Some("lustre with localflock"));
        assert_eq!(told("0:51").as_deref(), Some("fuse.sshfs"));
        assert_eq!(told("0:54").as_deref(), Some("beegfs without tuneUseGlobalFileLocks"));
        assert_eq!(local_locks("", "8:1", settings), None);
    }

    #[test]
    fn a_file_here_may_be_locked() {
        let folder = tempfile::tempdir().unwrap();
        check_lock_reach(&folder.path().join("new")).unwrap();
        check_lock_reach(folder.path()).unwrap();
        check_lock_reach(Path::new("no/such/folder/file")).unwrap();
    }
}
