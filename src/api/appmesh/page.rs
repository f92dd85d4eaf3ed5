//! Lists in pages: how many at a time, and where the next page begins.
//!
//! A token holds the name after which the next page begins, so that a page costs nothing between two calls, and what is
//! created and deleted meanwhile neither repeats nor hides anything else.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// Items of a page, unless the client asks for fewer.
const ITEMS: usize = 100;
/// Tags of a page, unless the client asks for fewer.
const TAGS: usize = 50;
/// Bytes that keep a token for one list from being taken for another.
const CHECK: usize = 8;

/// A page's begin and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The name that the page before ended with.
    pub(super) after: Option<String>,
    pub(super) limit: usize,
    list: String,
}

/// Why there is no such page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum PageError {
    #[error("`limit` is `{text}`; give a whole number from 1 to {most}, or leave it out")]
    Limit { text: String, most: usize },
    #[error(
        "`nextToken` is not of this list; give the one of the last answer, or begin without one"
    )]
    Token,
}

impl Page {
    /// A page of the list of this name.
    ///
    /// # Errors
    /// [`PageError`] when the limit or the token is none.
    pub(super) fn of_items(
        list: String,
        limit: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, PageError> {
        Self::new(list, limit, token, ITEMS)
    }

    /// The same of a resource's tags.
    ///
    /// # Errors
    /// As [`Self::of_items`].
    pub(super) fn of_tags(
        list: String,
        limit: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, PageError> {
        Self::new(list, limit, token, TAGS)
    }

    fn new(
        list: String,
        limit: Option<&str>,
        token: Option<&str>,
        most: usize,
    ) -> Result<Self, PageError> {
        let read = |text: &str| {
            let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
            limit.ok_or_else(|| PageError::Limit {
                text: text.chars().take(20).collect(),
                most,
            })
        };
        let limit = limit.map(read).transpose()?.unwrap_or(most);
        let token = token.filter(|token| !token.is_empty());
        let after = token.map(|token| decode(&list, token).ok_or(PageError::Token));
        Ok(Self {
            after: after.transpose()?,
            limit,
            list,
        })
    }

    /// Takes a page out of what comes after [`Self::after`], and says where the next one begins.
    pub(super) fn take<T>(
        &self,
        items: impl Iterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> (Vec<T>, Option<String>) {
        let mut taken: Vec<T> = items.take(self.limit + 1).collect();
        if taken.len() <= self.limit {
            return (taken, None);
        }
        taken.truncate(self.limit);
        let next = taken.last().map(|last| encode(&self.list, name(last)));
        (taken, next)
    }
}

fn check(list: &str, name: &str) -> [u8; CHECK] {
    xxh3_64(format!("{list}\n{name}").as_bytes()).to_be_bytes()
}

fn encode(list: &str, name: &str) -> String {
    let bytes = check(list, name).into_iter().chain(name.bytes());
    let digits = bytes.flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
    digits.collect()
}

fn decode(list: &str, token: &str) -> Option<String> {
    let digits: Vec<u32> = token
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match *pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    let bytes: Vec<u8> = pairs.collect::<Option<_>>()?;
    let (checked, name) = bytes.split_at_checked(CHECK)?;
    let name = str::from_utf8(name).ok()?;
    (checked == check(list, name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All pages of a list, one after the other.
    fn pages(items: &[String], limit: usize) -> Vec<Vec<String>> {
        let limit = limit.to_string();
        let mut token: Option<String> = None;
        let mut pages = Vec::new();
        loop {
            let page = Page::of_items("list".into(), Some(&limit), token.as_deref()).unwrap();
            let rest = items
                .iter()
                .filter(|item| Some(*item) > page.after.as_ref());
            let (taken, next) = page.take(rest, |item| item.as_str());
            pages.push(taken.into_iter().cloned().collect());
            token = next;
            if token.is_none() {
                return pages;
            }
        }
    }

    #[test]
    fn a_list_of_a_whole_number_of_pages_has_no_empty_one() {
        let items: Vec<String> = (0..4).map(|number| number.to_string()).collect();
        assert_eq!(pages(&items, 2), [["0", "1"], ["2", "3"]]);
        assert_eq!(pages(&items, 100).len(), 1);
        assert_eq!(pages(&[], 1), [Vec::<String>::new()]);
    }

    #[test]
    fn limits_and_tokens_that_are_none_are_refused() {
        for limit in [
            "0",
            "101",
            "-1",
            "1.0",
            "",
            " 1",
            "a",
            "99999999999999999999",
        ] {
            let page = Page::of_items("l".into(), Some(limit), None);
            assert!(matches!(page, Err(PageError::Limit { .. })), "{limit}");
        }
        assert!(Page::of_tags("l".into(), Some("51"), None).is_err());
        assert_eq!(Page::of_tags("l".into(), None, Some("")).unwrap().limit, 50);
        let others = encode("other", "name");
        for token in ["x", "0", "00", "ä", &others, &others[..20]] {
            let page = Page::of_items("l".into(), None, Some(token));
            assert_eq!(page, Err(PageError::Token), "{token}");
        }
    }

    proptest! {
        #[test]
        fn pages_together_are_the_list(
            items in prop::collection::btree_set("[a-z.é]{1,4}", 0..40),
            limit in 1_usize..9,
        ) {
            let items: Vec<String> = items.into_iter().collect();
            prop_assert_eq!(pages(&items, limit).concat(), items);
        }

        #[test]
        fn any_token_is_answered(token in ".*") {
            drop(Page::of_items("l".into(), None, Some(&token)));
        }
    }
}
