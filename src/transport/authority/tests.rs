//! Frames as clients send them, in pieces of every size.

use super::*;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    [&head[..], payload].concat()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend(text.as_bytes());
    bytes
}

/// A literal field whose name is in the static table, or spelt out.
fn literal(index: u8, name: &str, value: &str) -> Vec<u8> {
    if name.is_empty() {
        [vec![0x40 | index], string(value)].concat()
    } else {
        [vec![0x40], string(name), string(value)].concat()
    }
}

/// What comes out for these frames, the same however they are cut.
#[track_caller]
fn passed(frames: &[Vec<u8>]) -> Vec<u8> {
    let sent = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frames.concat(),
    ]
    .concat();
    let mut whole = sent.clone();
    Frames::default().pass(&mut whole);
    for size in 1..40 {
        let mut reader = Frames::default();
        let mut cut = sent.clone();
        for piece in cut.chunks_mut(size) {
            reader.pass(piece);
        }
        assert_eq!(cut, whole, "in pieces of {size}");
    }
    assert_eq!(whole.len(), sent.len());
    whole.split_off(24)
}

/// As gRPC's C core sends them: `:path` before, the name spelt out, a field from the table and another literal behind.
fn request(authority: &str) -> Vec<u8> {
    [
        vec![0x83, 0x86],
        literal(4, "", "/a%2Fb/StreamAggregatedResources"),
        literal(0, ":authority", authority),
        literal(0, "te", "trailers"),
        literal(0, "x", "100%"),
        vec![0xbe],
    ]
    .concat()
}

#[test]
fn a_path_becomes_a_name_and_nothing_else_changes() {
    let (odd, plain) = (request("run%2Fxds%20.sock"), request("run-2Fxds-20.sock"));
    let others = [
        frame(4, 0, &[0, 3, 0, 0, 0, 100]),
        frame(0, 0, b"\x40\x0a:authority\x03%%%"),
        frame(6, 0, &[7; 8]),
    ];
    let mut sent = others.to_vec();
    let mut expected = others.to_vec();
    let priority = |block: &[u8]| [&[0, 0, 0, 0, 15], block].concat();
    let padded = |block: &[u8]| [&[3], block, b"%%%"].concat();
    for block in [&odd, &plain] {
        let frames = if block == &odd {
            &mut sent
        } else {
            &mut expected
        };
        frames.push(frame(HEADERS, 4, block));
        frames.push(frame(HEADERS, 4 | PRIORITY, &priority(block)));
        frames.push(frame(HEADERS, 4 | PADDED, &padded(block)));
        let both = [&[3], priority(block).as_slice(), b"%%%"].concat();
        frames.push(frame(HEADERS, 4 | PADDED | PRIORITY, &both));
        frames.push(frame(0, 1, b"%2F"));
    }
    assert_eq!(passed(&sent), expected.concat());
}

#[test]
fn a_block_may_go_on_in_another_frame() {
    let (odd, plain) = (request("run%2Fxds.sock"), request("run-2Fxds.sock"));
    for cut in 0..odd.len() {
        let frames = |block: &[u8]| {
            let (first, second) = block.split_at(cut);
            vec![frame(HEADERS, 0, first), frame(CONTINUATION, 4, second)]
        };
        assert_eq!(passed(&frames(&odd)), frames(&plain).concat(), "at {cut}");
    }
}

#[test]
fn a_name_from_the_table_and_a_long_value_are_read_too() {
    let long = "a/".repeat(200);
    let value = |text: &str| [&[0x7f, 0x91, 2], text.as_bytes()].concat();
    for first in [0x41, 0x01, 0x11] {
        let block = |text: &str| [vec![first], value(text), literal(0, "x", "%")].concat();
        let sent = [frame(HEADERS, 4, &block(&long))];
        let expected = frame(HEADERS, 4, &block(&long.replace('/', "-")));
        assert_eq!(passed(&sent), expected);
    }
}

#[test]
fn what_is_compressed_or_no_header_block_passes_as_it_is() {
    let huffman = [&[0x41, 0x83][..], b"%%%"].concat();
    let endless = [&[0x41][..], &[0xff; 20], b"%%%"].concat();
    let no_name = b"\x40\x00\x03%%%".to_vec();
    let padding_beyond = b"\xff\x41\x03%%%".to_vec();
    for (flags, block) in [
        (4, huffman),
        (4, endless),
        (4, no_name),
        (4 | PADDED, padding_beyond),
        (4 | PRIORITY, vec![1, 2]),
        (4 | PADDED, vec![]),
    ] {
        let sent = [frame(HEADERS, flags, &block)];
        assert_eq!(passed(&sent), sent.concat());
    }
    // What was made no sense of in one request does not matter to the next.
    let lost = frame(HEADERS, 4, b"\x40\x00\x03%%%");
    let next = |authority| frame(HEADERS, 4, &request(authority));
    assert_eq!(
        passed(&[lost.clone(), next("a%2Fb")]),
        [lost, next("a-2Fb")].concat()
    );
}
