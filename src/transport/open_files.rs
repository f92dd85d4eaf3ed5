//! How many descriptors this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is assumed where there is no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the limit on open files to what the system allows, and returns it. A shell's usual 1,024 is there for programs
/// that use `select`; each sidecar needs a descriptor.
pub fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    usize::try_from(files.unwrap_or(UNLIMITED)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_returned_is_the_limit_from_then_on() {
        let files = raise_open_files();
        assert!(files >= 64, "{files}");
        let now = getrlimit(Resource::Nofile).current;
        assert!(now.is_none_or(|now| usize::try_from(now).unwrap() == files));
    }
}
