//! CPU time and memory of the server process and of this one (Linux).

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs;

/// CPU seconds used so far by all threads of a process.
#[expect(
    unsafe_code,
    reason = "no safe binding reads the clock of another process"
)]
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let pid = libc::pid_t::try_from(pid).context("process id out of range")?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a valid place to write a clock id to.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        bail!("no process {pid}");
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place to write a time to.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        bail!("process {pid} is gone");
    }
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// User and system CPU seconds from `/proc/PID/stat`, in clock ticks of 10 ms.
pub(crate) fn user_system_seconds(pid: u32) -> Result<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&stat).context("unexpected form of /proc/PID/stat")
}

#[expect(unsafe_code, reason = "the kernel's tick is asked of the C library")]
fn parse_stat(stat: &str) -> Option<(f64, f64)> {
    // The command name may hold spaces and parentheses; fields 14 and 15 count
    // from before it.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    // SAFETY: sysconf has no preconditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let mut next = || Some(fields.next()?.parse::<f64>().ok()? / ticks);
    Some((next()?, next()?))
}

#[derive(Debug, Clone, Copy, Serialize, PartialEq)]
pub(crate) struct Memory {
    pub(crate) rss_kib: u64,
    pub(crate) peak_rss_kib: u64,
}

pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_status(&status).context("unexpected form of /proc/PID/status")
}

fn parse_status(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some(Memory {
        rss_kib: field("VmRSS:")?,
        peak_rss_kib: field("VmHWM:")?,
    })
}

/// Raises the limit on open files as far as it goes; returns the limit.
#[expect(unsafe_code, reason = "limits are set through the C library")]
pub(crate) fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid limit to read into and to set from.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            rlim_max: limit.rlim_max,
        };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            raised.rlim_cur
        } else {
            limit.rlim_cur
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_process() {
        let pid = std::process::id();
        let before = cpu_seconds(pid).unwrap();
        std::hint::black_box((0..1_000_000u64).fold(0, |a, b| a ^ b.wrapping_mul(31)));
        assert!(cpu_seconds(pid).unwrap() > before);
        assert!(memory(pid).unwrap().rss_kib > 0);
        user_system_seconds(pid).unwrap();
    }

    #[test]
    fn stat_fields_count_from_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 10 0 0 0 250 50 0 0";
        assert_eq!(parse_stat(stat), Some((2.5, 0.5)));
    }
}
