//! Which server answers at a target's address. Pure.

/// What the answers so far say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Server {
    /// There was none yet that tells.
    #[default]
    Unknown,
    /// Always this one: an Outrigger of this id, or one without.
    One(Option<String>),
    /// One at first, and then another.
    Another,
}

impl Server {
    /// Takes note of an answer, with the id in it. What stands before a server may answer without one that the call fails.
    pub(super) fn answered(&mut self, id: Option<&str>, is_success: bool) {
        let is_known = match (&*self, id) {
            (Self::Another, _) | (Self::One(None), None) => return,
            (Self::Unknown | Self::One(Some(_)), None) if !is_success => return,
            (Self::Unknown, id) => {
                *self = Self::One(id.map(str::to_owned));
                return;
            }
            (Self::One(known), id) => known.as_deref() == id,
        };
        if !is_known {
            *self = Self::Another;
        }
    }

    /// Its id, if it has one.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::One(id) => id.as_deref(),
            Self::Unknown | Self::Another => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_is_told_from_another() {
        let is_another = |answers: &[(Option<&str>, bool)]| {
            let mut server = Server::default();
            for (id, is_success) in answers {
                server.answered(*id, *is_success);
            }
            server == Server::Another
        };
        let (a, b, none) = (Some("a"), Some("b"), None);
        for same in [
            &[(a, true), (a, true)][..],
            &[(none, true), (none, true)],
            // A load balancer's own words, before and after.
            &[(none, false), (a, true), (none, false), (a, false)],
            &[(none, true), (none, false), (none, true)],
        ] {
            assert!(!is_another(same), "{same:?}");
        }
        for other in [
            &[(a, true), (b, true)][..],
            &[(a, true), (b, false)],
            &[(a, false), (b, true), (a, true)],
            &[(a, true), (none, true)],
            &[(none, true), (a, true)],
        ] {
            assert!(is_another(other), "{other:?}");
        }
    }
}
