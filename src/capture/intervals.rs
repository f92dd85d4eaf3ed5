//! Sets of ports, ids or addresses as intervals: how people write them, how the kernel keeps them.
//!
//! **Invariant:** intervals are sorted, and neither overlap nor touch; so equal sets are equal values.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use serde::Serialize;

/// A set of points, as few intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intervals<T>(Vec<(T, T)>);

/// What intervals are made of.
pub trait Point: Copy + Ord + fmt::Display {
    /// The bits of an address, which is also written with the length of a prefix (`10.0.0.0/8`).
    const PREFIX_BITS: Option<u8>;
    fn parse(text: &str) -> Option<Self>;
    fn to_number(self) -> u128;
    fn from_number(number: u128) -> Option<Self>;
}

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Point> Intervals<T> {
    /// Reads one item: `80`, `8000-8010` (iptables' `8000:8010` too where no address is meant), `10.0.0.0/8`.
    pub fn parse_item(text: &str) -> Option<(T, T)> {
        if let Some(bits) = T::PREFIX_BITS
            && let Some((address, length)) = text.split_once('/')
        {
            let length = length.parse().ok().filter(|length| *length <= bits)?;
            return prefix(T::parse(address)?, length, bits);
        }
        let colon = || {
            let is_port_or_id = T::PREFIX_BITS.is_none();
            is_port_or_id.then(|| text.split_once(':')).flatten()
        };
        let (first, last) = match text.split_once('-').or_else(colon) {
            Some((first, last)) => (T::parse(first.trim())?, T::parse(last.trim())?),
            None => (T::parse(text)?, T::parse(text)?),
        };
        (first <= last).then_some((first, last))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, point: T) -> bool {
        let within = |(first, last): &(T, T)| (*first..=*last).contains(&point);
        self.0.iter().any(within)
    }

    /// Each interval as it is written: in the shortest way that [`Intervals::parse_item`] and `nft` both read.
    pub fn items(&self) -> Vec<String> {
        self.0.iter().map(|interval| item(*interval)).collect()
    }
}

impl<T: Point> FromIterator<(T, T)> for Intervals<T> {
    fn from_iter<I: IntoIterator<Item = (T, T)>>(intervals: I) -> Self {
        let mut sorted: Vec<(T, T)> = intervals.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some((_, end)) if first.to_number() <= end.to_number().saturating_add(1) => {
                    *end = last.max(*end);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

impl<T: Point> fmt::Display for Intervals<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.items().join(", "))
    }
}

impl<T: Point> Serialize for Intervals<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items().serialize(serializer)
    }
}

/// All addresses that share the first bits with this one.
fn prefix<T: Point>(address: T, length: u8, bits: u8) -> Option<(T, T)> {
    let host = host_mask(length, bits);
    let number = address.to_number();
    let first = T::from_number(number & !host)?;
    Some((first, T::from_number(number | host)?))
}

fn host_mask(length: u8, bits: u8) -> u128 {
    let ones = u128::MAX.checked_shl(u32::from(bits - length));
    !ones.unwrap_or(0)
}

fn item<T: Point>((first, last): (T, T)) -> String {
    if first == last {
        return first.to_string();
    }
    let of_length = |length: &u8| {
        let whole = T::PREFIX_BITS.and_then(|bits| prefix(first, *length, bits));
        whole == Some((first, last))
    };
    match (0..T::PREFIX_BITS.unwrap_or(0)).find(of_length) {
        Some(length) => format!("{first}/{length}"),
        None => format!("{first}-{last}"),
    }
}

/// A port; 0 is none.
impl Point for u16 {
    const PREFIX_BITS: Option<u8> = None;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(NonZeroU16::get)
    }

    fn to_number(self) -> u128 {
        self.into()
    }

    fn from_number(number: u128) -> Option<Self> {
        number.try_into().ok()
    }
}

/// The id of a user or a group; the kernel keeps the highest number for "none".
impl Point for u32 {
    const PREFIX_BITS: Option<u8> = None;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|id| *id != Self::MAX)
    }

    fn to_number(self) -> u128 {
        self.into()
    }

    fn from_number(number: u128) -> Option<Self> {
        number.try_into().ok()
    }
}

impl Point for Ipv4Addr {
    const PREFIX_BITS: Option<u8> = Some(32);

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_number(self) -> u128 {
        self.to_bits().into()
    }

    fn from_number(number: u128) -> Option<Self> {
        number.try_into().ok().map(Self::from_bits)
    }
}

impl Point for Ipv6Addr {
    const PREFIX_BITS: Option<u8> = Some(128);

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_number(self) -> u128 {
        self.to_bits()
    }

    fn from_number(number: u128) -> Option<Self> {
        Some(Self::from_bits(number))
    }
}
