//! Which processes keep a database's log from being emptied, as far as the operating system says.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::place;

/// Bytes of the log's index that a reader locks, by SQLite's format of it: one of these five.
const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

/// The other processes with a transaction open on a database, `python3 (pid 4711)`. Empty where the operating system does
/// not tell.
pub(super) fn readers(database: &Path) -> Vec<String> {
    let Ok(index) = std::fs::metadata(place::beside(database, "-shm")) else { return Vec::new() };
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else { return Vec::new() };
    let own = std::process::id();
    holders(&locks, index.ino()).into_iter().filter(|pid| *pid != own).map(named).collect()
}

/// Who holds a lock of a reader on the file, of the lines of `/proc/locks`.
fn holders(locks: &str, inode: u64) -> BTreeSet<u32> {
    let holder = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "POSIX", _, "READ", pid, file, from, ..] = words[..] else { return None };
        let is_file = file.rsplit(':').next()?.parse() == Ok(inode);
        (is_file && READ_LOCKS.contains(&from.parse().ok()?)).then(|| pid.parse().ok())?
    };
    locks.lines().filter_map(holder).collect()
}

fn named(pid: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (pid {pid})", name.trim()),
        Err(_) => format!("pid {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_told_from_writers_and_from_other_files() {
        let locks = "1: POSIX  ADVISORY  READ 4711 fe:00:7 124 124\n\
                     2: POSIX  ADVISORY  WRITE 4712 fe:00:7 120 120\n\
                     3: POSIX  ADVISORY  READ 4713 fe:00:7 128 128\n\
                     4: POSIX  ADVISORY  READ 4714 fe:00:8 124 124\n\
                     5: FLOCK  ADVISORY  READ 4715 fe:00:7 124 EOF\n\
                     a line of another kernel\n";
        assert_eq!(holders(locks, 7), BTreeSet::from([4711]));
    }
}
