//! Which clients are asked for.

use envoy_types::pb::envoy::r#type::matcher::v3::NodeMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use tonic::Status;

/// Matchers of a node's id, of which one must match; none match everybody.
#[derive(Debug)]
pub(super) struct Matchers(Vec<Matcher>);

#[derive(Debug)]
enum Matcher {
    Everybody,
    Id { pattern: Pattern, ignore_case: bool },
}

#[derive(Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
}

impl Matchers {
    /// Reads what a request says.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what cannot be matched here.
    pub(super) fn new(matchers: Vec<NodeMatcher>) -> Result<Self, Status> {
        let matchers = matchers.into_iter().map(Matcher::new);
        matchers.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn take(&self, id: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|matcher| matcher.takes(id))
    }
}

impl Matcher {
    fn new(matcher: NodeMatcher) -> Result<Self, Status> {
        if !matcher.node_metadatas.is_empty() {
            return Err(Status::invalid_argument(
                "`node_matchers.node_metadatas` cannot be matched, since metadata is not kept; match `node_id`",
            ));
        }
        let Some(id) = matcher.node_id else {
            return Ok(Self::Everybody);
        };
        let pattern = match id.match_pattern {
            Some(MatchPattern::Exact(text)) => Pattern::Exact(text),
            Some(MatchPattern::Prefix(text)) => Pattern::Prefix(text),
            Some(MatchPattern::Suffix(text)) => Pattern::Suffix(text),
            Some(MatchPattern::Contains(text)) => Pattern::Contains(text),
            Some(MatchPattern::SafeRegex(_) | MatchPattern::Custom(_)) | None => {
                return Err(Status::invalid_argument(
                    "`node_matchers.node_id` must be matched by `exact`, `prefix`, `suffix` or `contains`",
                ));
            }
        };
        Ok(if id.ignore_case {
            Self::Id {
                pattern: pattern.lower(),
                ignore_case: true,
            }
        } else {
            Self::Id {
                pattern,
                ignore_case: false,
            }
        })
    }

    fn takes(&self, id: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::Id {
                pattern,
                ignore_case: true,
            } => pattern.takes(&id.to_ascii_lowercase()),
            Self::Id { pattern, .. } => pattern.takes(id),
        }
    }
}

impl Pattern {
    fn lower(self) -> Self {
        match self {
            Self::Exact(text) => Self::Exact(text.to_ascii_lowercase()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase()),
            Self::Suffix(text) => Self::Suffix(text.to_ascii_lowercase()),
            Self::Contains(text) => Self::Contains(text.to_ascii_lowercase()),
        }
    }

    fn takes(&self, id: &str) -> bool {
        match self {
            Self::Exact(text) => id == text,
            Self::Prefix(text) => id.starts_with(text),
            Self::Suffix(text) => id.ends_with(text),
            Self::Contains(text) => id.contains(text.as_str()),
        }
    }
}
