//! Sends messages to a mail server as fast as it takes them, and says how long each took.
//!
//!     system-load PORT FILE MARK SERIAL MESSAGES CONNECTIONS RECIPIENT PARAMETERS
//!
//! FILE is a message with CRLF in which no line begins with a dot. The sixteen bytes at MARK are
//! replaced by a number counted up from SERIAL, so that no two messages are alike. Each message has
//! an SMTP session of its own, CONNECTIONS at a time. PARAMETERS stand behind the sender (RFC 5321,
//! section 4.1.2), and may be empty.
//!
//! Prints the seconds from the first connection to the last reply, then for each message the
//! microseconds from its last byte to the reply, and those of its whole session.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Error, Write as _},
    net::{Ipv4Addr, TcpStream},
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What goes out together with the beginning: a small message is one write.
const FIRST_BYTES: usize = 64 * 1024;

const MARK_BYTES: usize = 16;

/// What is sent, where, and how often.
struct Load {
    port: u16,
    message: Vec<u8>,
    mark: usize,
    serial: u64,
    messages: u64,
    recipient: String,
    parameters: String,
    next: AtomicU64,
}

/// How long a message took.
struct Took {
    end: Duration,
    session: Duration,
}

struct Client {
    reader: BufReader<TcpStream>,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [
        port,
        file,
        mark,
        serial,
        messages,
        connections,
        to,
        parameters,
    ] = arguments.as_slice()
    else {
        return Err(Error::other(
            "usage: system-load PORT FILE MARK SERIAL MESSAGES CONNECTIONS RECIPIENT PARAMETERS",
        ));
    };
    let mut message = fs::read(file)?;
    message.extend_from_slice(b".\r\n");
    let load = Load {
        port: number(port)?,
        message,
        mark: number(mark)?,
        serial: number(serial)?,
        messages: number(messages)?,
        recipient: to.clone(),
        parameters: parameters.clone(),
        next: AtomicU64::new(0),
    };
    let begun = Instant::now();
    let took = load.run(number(connections)?)?;
    println!("{}", begun.elapsed().as_secs_f64());
    for Took { end, session } in took {
        println!("{} {}", end.as_micros(), session.as_micros());
    }
    Ok(())
}

fn number<T: FromStr>(text: &str) -> io::Result<T> {
    text.parse()
        .map_err(|_| Error::other(format!("\"{text}\" is not a number")))
}

impl Load {
    fn run(&self, connections: usize) -> io::Result<Vec<Took>> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..connections)
                .map(|_| scope.spawn(|| self.send_all()))
                .collect();
            let mut took = Vec::new();
            for thread in threads {
                let ended = thread.join().map_err(|_| Error::other("a thread died"));
                took.extend(ended??);
            }
            Ok(took)
        })
    }

    /// Sends messages until none is left.
    fn send_all(&self) -> io::Result<Vec<Took>> {
        let mut took = Vec::new();
        loop {
            let count = self.next.fetch_add(1, Relaxed);
            if count >= self.messages {
                return Ok(took);
            }
            took.push(self.send(self.serial + count)?);
        }
    }

    fn send(&self, serial: u64) -> io::Result<Took> {
        let begun = Instant::now();
        let mut client = Client::connect(self.port)?;
        client.command("EHLO client.lab.test\r\n", "250")?;
        let sender = format!("MAIL FROM:<alice@lab.test> {}", self.parameters);
        client.command(&format!("{}\r\n", sender.trim_end()), "250")?;
        client.command(&format!("RCPT TO:<{}>\r\n", self.recipient), "250")?;
        client.command("DATA\r\n", "354")?;
        let (first, rest) = self.bytes(serial);
        client.write(&first)?;
        client.write(rest)?;
        let sent = Instant::now();
        client.expect("250")?;
        let took = Took {
            end: sent.elapsed(),
            session: begun.elapsed(),
        };
        client.command("QUIT\r\n", "221")?;
        Ok(took)
    }

    /// The message of this number: its first bytes with the number in them, and the rest.
    fn bytes(&self, serial: u64) -> (Vec<u8>, &[u8]) {
        let cut = self.message.len().min(FIRST_BYTES);
        let (first, rest) = self.message.split_at(cut);
        let mut first = first.to_vec();
        first[self.mark..self.mark + MARK_BYTES]
            .copy_from_slice(format!("{serial:016}").as_bytes());
        (first, rest)
    }
}

impl Client {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self {
            reader: BufReader::new(stream),
        };
        client.expect("220")?;
        Ok(client)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    fn command(&mut self, line: &str, code: &str) -> io::Result<()> {
        self.write(line.as_bytes())?;
        self.expect(code)
    }

    /// Reads a reply to its last line.
    fn expect(&mut self, code: &str) -> io::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            if !line.starts_with(code) {
                return Err(Error::other(format!("the server says {line:?}")));
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
