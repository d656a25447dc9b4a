//! Whole mails, as Postfix sends them to a milter.

use data_encoding::BASE64_MIME;

/// A packet: its kind and its data.
pub(super) type Packet = (u8, Vec<u8>);

/// A mail in packets.
pub(super) struct Mail {
    pub(super) packets: Vec<Packet>,
}

/// Header fields and bodies; `{}` is the place of a text, `{+300}` that of a file of 300 bytes in
/// base64, `{=300}` that of a word of 300 bytes.
pub(super) const MAILS: [(&str, &str); 10] = [
    ("Subject:x", "{}"),
    (
        MIXED,
        "--b^^{}^--b^Content-Type:a/b;name=n^Content-Transfer-Encoding:base64^^{+300}^--b--^",
    ),
    (
        MIXED,
        "--b^^{}^--b^Content-Type:a/b;name=n^Content-Transfer-Encoding:base64^^{+50}^--b--^",
    ),
    (
        "Content-Type:application/pdf|Content-Transfer-Encoding:base64",
        "{}{+400}",
    ),
    (
        MIXED,
        "--b^^x^--b^Content-Type:a/b;name=n^Content-Transfer-Encoding:base64^^{+300}{}.^--b--^",
    ),
    ("Content-Type:multipart/signed;boundary=b", "--b^^{}^--b--^"),
    (LONG, "--b^^{}^--b^Content-Type:a/b;name=n^^{+300}^--b--^"),
    (
        MIXED,
        "--b^Content-Type:text/html^^<p>{}^--b^Content-Type:image/png;name=n^Content-ID:<i>^^{+300}^--b--^",
    ),
    (
        "X-Depollueur:keep|Subject:[NEPASDEPOLLUER]x|Content-Type:multipart/mixed;boundary=b",
        "{}",
    ),
    (
        MIXED,
        "--b^^{}{+70000}^--b^Content-Type:a/b;name=n^^{+300}^--b^Content-Type:a/b;name=m^^{+200}^--b--^",
    ),
];

const MIXED: &str = "MIME-Version:1.0|Content-Type:multipart/mixed;boundary=b";
const LONG: &str = "Content-Type:multipart/mixed;boundary=b|Received:{=12000}";

impl Mail {
    /// Makes a mail with a text in it. `how` decides about its envelope, and about the cuts of its body.
    pub(super) fn new(number: u8, how: u8, text: &[u8]) -> Self {
        let (header, body) = MAILS[usize::from(number.wrapping_sub(b'0')) % MAILS.len()];
        let mut packets = vec![envelope_macros(how), sender(how)];
        packets.extend((0..=how >> 5).map(|n| (b'R', format!("<{n}@example.org>\0").into())));
        packets.push((b'D', b"Ti\x004abCDe12\0".to_vec()));
        packets.push((b'T', Vec::new()));

        for field in header.split('|') {
            let (name, value) = field.split_once(':').unwrap_or_default();
            let field = [name.as_bytes(), b"\0", &filled(value, b""), b"\0"].concat();
            packets.extend([(b'D', b"L".to_vec()), (b'L', field)]);
        }
        packets.extend([(b'D', b"Ni\x004abCDe12\0".to_vec()), (b'N', Vec::new())]);

        let body = filled(body, text);
        let chunk = [65_535, 1000, 100, 4096][usize::from(how >> 1 & 3)];
        for chunk in body.chunks(chunk) {
            packets.extend([(b'D', b"B".to_vec()), (b'B', chunk.to_vec())]);
        }
        packets.extend([(b'D', b"Ei\x004abCDe12\0".to_vec()), (b'E', Vec::new())]);
        Self { packets }
    }
}

/// Names the person who authenticated, if there is one. Macros are never left out: those of the
/// mail before would hold.
fn envelope_macros(how: u8) -> Packet {
    let macros: &[u8] = match how & 1 {
        0 => b"M{mail_addr}\0a@example.org\0",
        _ => b"M{auth_authen}\0alice\0",
    };
    (b'D', macros.to_vec())
}

fn sender(how: u8) -> Packet {
    let size: &[u8] = match how >> 3 & 3 {
        0 => b"SIZE=90\0",
        1 => b"SIZE=100000\0BODY=8BITMIME\0",
        _ => b"",
    };
    (b'M', [b"<a@example.org>\0", size].concat())
}

/// Fills a template.
fn filled(template: &str, text: &[u8]) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (what, after) = after.split_once('}').unwrap_or((after, ""));
        filled.extend(before.replace('^', "\r\n").bytes());
        match what.strip_prefix('+') {
            Some(bytes) => {
                let file = vec![b'x'; bytes.parse().unwrap_or_default()];
                filled.extend(BASE64_MIME.encode(&file).bytes());
            }
            None if what.is_empty() => filled.extend_from_slice(text),
            None => {
                let word: usize = what.trim_start_matches('=').parse().unwrap_or_default();
                filled.resize(filled.len() + word, b'x');
            }
        }
        rest = after;
    }
    filled.extend(rest.replace('^', "\r\n").bytes());
    filled
}
