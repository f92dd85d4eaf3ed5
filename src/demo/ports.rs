//! Whether every address that the demo binds is free, before anything is started.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::DemoError;

/// Binds each address and lets go of it again.
///
/// Somebody may take it in between; then whoever binds it for good says so, less clearly.
pub(super) fn check(
    addresses: impl IntoIterator<Item = (SocketAddr, String)>,
) -> Result<(), DemoError> {
    for (address, purpose) in addresses {
        match TcpListener::bind(address) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(DemoError::InUse { address, purpose });
            }
            Err(source) => {
                return Err(DemoError::NoAddress {
                    address,
                    purpose,
                    source,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_which_address_is_taken_and_what_for() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = check([(address, "DNS".to_owned())]).unwrap_err();
        assert!(matches!(error, DemoError::InUse { .. }));
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(error.to_string().contains("DNS"), "{error}");
        drop(taken);
        assert!(check([(address, "DNS".to_owned())]).is_ok());
    }

    #[test]
    fn says_which_address_does_not_exist() {
        // TEST-NET-1 belongs to no machine.
        let error = check([("192.0.2.1:80".parse().unwrap(), "DNS".to_owned())]).unwrap_err();
        assert!(matches!(error, DemoError::NoAddress { .. }), "{error}");
    }
}
