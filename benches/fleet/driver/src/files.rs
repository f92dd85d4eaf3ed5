//! The limit on open files, which the servers inherit: 5,000 sidecars are as many sockets.

/// Raises the soft limit to the hard one. Who has too little says so when it runs out.
#[expect(unsafe_code, reason = "limits are set through the C library")]
pub(crate) fn raise_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid limit to read into and to set from.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
