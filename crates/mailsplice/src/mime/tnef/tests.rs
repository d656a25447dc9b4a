use proptest::prelude::*;

use super::{writer::Writer, *};

impl Writer {
    fn code_page(self, page: u32) -> Self {
        let value = [page.to_le_bytes(), [0; 4]].concat();
        self.attribute(1, 0x0006_9007, &value)
    }

    fn properties(self, properties: &[Vec<u8>]) -> Self {
        let count = (properties.len() as u32).to_le_bytes();
        let value = [&count[..], &properties.concat()].concat();
        self.attribute(2, 0x0006_9005, &value)
    }
}

fn len(value: &[u8]) -> [u8; 4] {
    (value.len() as u32).to_le_bytes()
}

fn tag(number: u16, type_: u16) -> Vec<u8> {
    [type_.to_le_bytes(), number.to_le_bytes()].concat()
}

fn padded(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(value.len().next_multiple_of(4), 0);
    value
}

/// A property with one value of variable length.
fn long(number: u16, type_: u16, value: &[u8]) -> Vec<u8> {
    [
        tag(number, type_),
        vec![1, 0, 0, 0],
        len(value).to_vec(),
        padded(value),
    ]
    .concat()
}

fn unicode(number: u16, text: &str) -> Vec<u8> {
    let units: Vec<u8> = text
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    long(number, 0x1f, &units)
}

/// Properties of all kinds, named ones among them.
fn others() -> Vec<Vec<u8>> {
    let named = |kind: u8, name: &[u8], value: &[u8]| {
        [&tag(0x8001, 3), &[7; 16][..], &[kind, 0, 0, 0], name, value].concat()
    };
    vec![
        [tag(0x3705, 0x03), vec![1, 0, 0, 0]].concat(),
        [tag(0x7ffe, 0x0b), vec![1, 0, 0, 0]].concat(),
        [tag(0x3007, 0x40), vec![9; 8]].concat(),
        [tag(0x6001, 0x48), vec![9; 16]].concat(),
        [tag(0x6002, 0x1003), vec![2, 0, 0, 0], vec![9; 8]].concat(),
        named(0, &[5, 0, 0, 0], &[1, 2, 3, 4]),
        named(
            1,
            &[&[6, 0, 0, 0][..], b"a\0b\0\0\0\0\0"].concat(),
            &[1, 2, 3, 4],
        ),
        long(0x3703, 0x102, b"pdf"),
        [
            tag(0x6003, 0x101e),
            vec![2, 0, 0, 0],
            [2, 0, 0, 0, b'a', 0, 0, 0].repeat(2),
        ]
        .concat(),
        [tag(0x6004, 0x1102), vec![0; 4]].concat(),
    ]
}

/// A stream with files of all kinds, and what is to be found in it.
fn full() -> (Vec<u8>, Vec<(File, Vec<u8>)>) {
    let inner = Writer::new()
        .rendering(1, 0)
        .title(b"inner.txt")
        .data(b"not to be seen");
    let message_iid = [7, 3, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
    let embedded = long(0x3701, 0x0d, &[&message_iid[..], &inner.0].concat());
    let mut with_name = others();
    with_name.extend([
        unicode(0x3707, "Übersicht 夏 🌞.pdf"),
        long(0x3704, 0x1e, b"UBERS~1.PDF\0"),
        unicode(0x370e, "Application/PDF"),
    ]);
    let in_property = [
        long(0x3701, 0x102, b"in a property"),
        unicode(0x3704, "B.BIN"),
    ];

    let stream = Writer::new()
        .code_page(1251)
        .attribute(1, 0x0006_9003, &[1; 70])
        .rendering(1, 0)
        .title(b"ubers~1.pdf")
        .attribute(2, 0x0003_8013, &[1; 14])
        .data(b"%PDF-1.7 \x00\xff")
        .properties(&with_name)
        .rendering(1, 0)
        .title(b"\xcf\xeb\xe0\xed.txt")
        .data(b"")
        .rendering(1, 0)
        .title(b"message")
        .properties(&[embedded])
        .rendering(2, 0)
        .title(b"ole")
        .data(b"an OLE object")
        .rendering(1, 1)
        .data(b"MacBinary")
        .rendering(1, 0)
        .properties(&in_property)
        .rendering(1, 0)
        .data(b"nameless");

    let file = |name: Option<&str>, media_type: Option<&str>, bytes: &[u8]| {
        let file = File {
            name: name.map(Into::into),
            media_type: media_type.map(Into::into),
            size: bytes.len() as u64,
        };
        (file, bytes.to_vec())
    };
    let found = vec![
        file(
            Some("Übersicht 夏 🌞.pdf"),
            Some("application/pdf"),
            b"%PDF-1.7 \x00\xff",
        ),
        file(Some("План.txt"), None, b""),
        file(Some("B.BIN"), None, b"in a property"),
        file(None, None, b"nameless"),
    ];
    (stream.0, found)
}

fn read(chunks: &[&[u8]]) -> Result<Vec<(File, Vec<u8>)>, Malformed> {
    let mut tnef = Tnef::default();
    let (mut files, mut bytes) = (Vec::new(), None);
    let mut take_up = |events: Vec<Event>, chunk: &[u8]| {
        for event in events {
            match event {
                Event::Begin => assert_eq!(bytes.replace(Vec::new()), None),
                Event::Data(range) => bytes.as_mut().unwrap().extend_from_slice(&chunk[range]),
                Event::End(file) => files.push((file, bytes.take().unwrap())),
                Event::Other => {}
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
    assert_eq!(bytes, None);
    Ok(files)
}

#[test]
fn files_and_names_are_found() {
    let (stream, found) = full();
    assert_eq!(read(&[&stream]).unwrap(), found);
    assert_eq!(read(&[&Writer::new().0]).unwrap(), []);
}

#[test]
fn chunks_may_be_cut_anywhere() {
    let (stream, found) = full();
    for at in 0..=stream.len() {
        let (one, two) = stream.split_at(at);
        assert_eq!(read(&[one, two]).unwrap(), found, "{at}");
    }
    for size in 1..40 {
        let chunks: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(read(&chunks).unwrap(), found, "{size}");
    }
}

#[test]
fn a_stream_that_is_cut_is_malformed() {
    let (stream, _) = full();
    let is_whole = |at: &usize| read(&[&stream[..*at]]).is_ok();
    // Only between two attributes a cut does not show.
    assert_eq!((0..stream.len()).filter(is_whole).count(), 23);
    assert_eq!(read(&[&[&stream[..], b"\n"].concat()]), Err(Malformed));
}

#[test]
fn a_changed_value_is_malformed() {
    let (stream, _) = full();
    let mut at = 6;
    while at < stream.len() {
        let (value, len) = (at + 9, stream[at + 5..].first_chunk().unwrap());
        let end = value + u32::from_le_bytes(*len) as usize + 2;
        for at in value..end {
            let mut stream = stream.clone();
            stream[at] ^= 1;
            assert_eq!(read(&[&stream]), Err(Malformed), "{at}");
        }
        at = end;
    }
}

#[test]
fn doubtful_streams_are_malformed() {
    let binary = || vec![long(0x3701, 0x102, b"b")];
    let twice = [
        tag(0x3707, 0x1e),
        vec![2, 0, 0, 0],
        [1, 0, 0, 0, b'a', 0, 0, 0].repeat(2),
    ];
    let file = || Writer::new().rendering(1, 0);
    for (why, stream) in [
        ("no attachment", Writer::new().data(b"a")),
        ("level 3", Writer::new().attribute(3, 0x0006_800f, b"a")),
        ("two bodies", file().data(b"a").data(b"a")),
        (
            "bodies of two kinds",
            file().data(b"a").properties(&binary()),
        ),
        ("two names in one", file().properties(&[twice.concat()])),
        ("an unknown type", file().properties(&[tag(0x3707, 0x77)])),
        (
            "fewer properties",
            file().attribute(2, 0x0006_9005, &[1, 0, 0, 0]),
        ),
        ("no count", file().attribute(2, 0x0006_9005, &[])),
        (
            "rendering too short",
            Writer::new().attribute(2, 0x0006_9002, &[1, 0]),
        ),
        (
            "code page too short",
            Writer::new().attribute(1, 0x0006_9007, &[1]),
        ),
    ] {
        assert_eq!(read(&[&stream.0]), Err(Malformed), "{why}");
    }
    assert_eq!(read(&[b""]), Err(Malformed));
    assert_eq!(read(&[b"\x78\x9f\x3e\x23\0\0"]), Err(Malformed));
}

#[test]
fn a_note_is_told_from_other_messages() {
    for (class, expected) in [
        (None, false),
        (Some("IPM.Microsoft Mail.Note\0"), true),
        (Some("IPM.Note\0"), true),
        (Some("IPM.Microsoft Schedule.MtgReq\0"), false),
        (Some("IPM.Note.SMIME.MultipartSigned\0"), false),
        (Some(""), false),
    ] {
        let mut stream = Writer::new();
        if let Some(class) = class {
            stream = stream.attribute(1, 0x0007_8008, class.as_bytes());
        }
        let mut tnef = Tnef::default();
        tnef.push(&stream.0, &mut Vec::new()).unwrap();
        assert_eq!(tnef.is_note(), expected, "{class:?}");
    }

    let note = b"IPM.Note\0";
    let twice = Writer::new()
        .attribute(1, 0x0007_8008, note)
        .attribute(1, 0x0007_8008, note);
    let mut tnef = Tnef::default();
    tnef.push(&twice.0, &mut Vec::new()).unwrap();
    assert!(!tnef.is_note(), "readers may take the one or the other");
}

#[test]
fn names_have_a_limit() {
    let titled = |len: usize| {
        let stream = Writer::new()
            .rendering(1, 0)
            .title(&vec![b'a'; len - 1])
            .data(b"a");
        read(&[&stream.0]).is_ok()
    };
    assert!(titled(KEPT_BYTES_MAX));
    assert!(!titled(KEPT_BYTES_MAX + 1));

    let named = |len: usize| {
        let name = long(0x3707, 0x1e, &vec![b'a'; len]);
        let stream = Writer::new().rendering(1, 0).data(b"a").properties(&[name]);
        read(&[&stream.0]).is_ok()
    };
    assert!(named(KEPT_BYTES_MAX));
    assert!(!named(KEPT_BYTES_MAX + 1));
}

#[test]
fn padding_may_lack_behind_the_last_property() {
    let mut name = long(0x3707, 0x1e, b"ab.c\0");
    name.truncate(name.len() - 3);
    let stream = Writer::new().rendering(1, 0).data(b"a").properties(&[name]);
    let files = read(&[&stream.0]).unwrap();
    assert_eq!(files[0].0.name.as_deref(), Some("ab.c"));
}

proptest! {
    #[test]
    fn files_come_out_as_they_were_written(
        files in prop::collection::vec((".{1,40}", prop::collection::vec(any::<u8>(), 0..300)), 0..6),
        size in 1_usize..200,
    ) {
        let mut stream = Writer::new().code_page(65001);
        for (name, data) in &files {
            let name = name.replace('\0', "_");
            stream = stream.rendering(1, 0).data(data).properties(&[unicode(0x3707, &name)]);
        }
        let chunks: Vec<&[u8]> = stream.0.chunks(size).collect();
        let found = read(&chunks).unwrap();
        prop_assert_eq!(found.len(), files.len());
        for ((file, bytes), (name, data)) in found.iter().zip(&files) {
            prop_assert_eq!(file.name.as_deref(), Some(&*name.replace('\0', "_")));
            prop_assert_eq!(bytes, data);
            prop_assert_eq!(file.size, data.len() as u64);
        }
    }

    #[test]
    fn any_input_is_read_without_panic(mut input in prop::collection::vec(any::<u8>(), 0..600), size in 1_usize..99) {
        input.splice(..0, SIGNATURE);
        let chunks: Vec<&[u8]> = input.chunks(size).collect();
        let _ = read(&chunks);
    }
}
