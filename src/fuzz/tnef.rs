//! TNEF: the same files however the stream is cut, and each of them a part of it.

use mailsplice::mime::tnef::{Event, File, Malformed, Tnef};

use super::{byte, cut};

/// Checks an input: a byte for the form, a byte for the cuts, the stream. In the form 1 the stream
/// has neither signature nor sums; they are put in, so that inputs get past them.
pub fn tnef(input: &[u8]) {
    let mut stream = input;
    let is_bare = byte(&mut stream) == b'1';
    let seed = byte(&mut stream);
    let sealed = is_bare.then(|| seal(stream));
    let stream = sealed.as_deref().unwrap_or(stream);

    let whole = files(&[stream]);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    for chunks in [cut(stream, seed), single] {
        assert_eq!(files(&chunks), whole);
    }

    let sum: usize = whole.iter().flatten().map(|(_, bytes)| bytes.len()).sum();
    assert!(sum <= stream.len());
    for (file, bytes) in whole.iter().flatten() {
        assert_eq!(file.size, bytes.len() as u64);
        assert!(memchr::memmem::find(stream, bytes).is_some());
    }
}

/// Returns the files of a stream.
fn files(chunks: &[&[u8]]) -> Result<Vec<(File, Vec<u8>)>, Malformed> {
    let mut tnef = Tnef::default();
    let (mut found, mut open) = (Vec::new(), None);
    let mut take_up = |events: Vec<Event>, chunk: &[u8]| {
        for event in events {
            match event {
                Event::Begin => assert!(open.replace(Vec::new()).is_none(), "two at once"),
                Event::Data(range) => {
                    let bytes: &mut Vec<u8> = open.as_mut().expect("a file is open");
                    bytes.extend_from_slice(&chunk[range]);
                }
                Event::End(file) => found.push((file, open.take().expect("a file is open"))),
                Event::Other => assert!(open.is_none(), "a file is open"),
            }
        }
    };

    for chunk in chunks {
        let mut events = Vec::new();
        tnef.push(chunk, &mut events)?;
        take_up(events, chunk);
    }
    let mut events = Vec::new();
    tnef.finish(&mut events)?;
    take_up(events, b"");

    assert!(open.is_none(), "a file is left open");
    Ok(found)
}

/// Puts in the signature, and behind each attribute the sum of its value.
fn seal(mut bare: &[u8]) -> Vec<u8> {
    let mut stream = 0x223e_9f78_u32.to_le_bytes().to_vec();
    stream.extend_from_slice(&[0, 0]);
    while let Some((header, rest)) = bare.split_at_checked(9) {
        let len = u32::from_le_bytes([header[5], header[6], header[7], header[8]]);
        let len = rest.len().min(len as usize);
        let (value, rest) = rest.split_at(len);
        let sum: u32 = value.iter().copied().map(u32::from).sum();

        stream.extend_from_slice(&header[..5]);
        stream.extend_from_slice(&(len as u32).to_le_bytes());
        stream.extend_from_slice(value);
        stream.extend_from_slice(&(sum as u16).to_le_bytes());
        bare = rest;
    }
    stream
}
