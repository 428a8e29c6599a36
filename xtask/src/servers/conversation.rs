//! Owns one short conversation with a server: connect, say something, hear the answer. Knows no protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::failure::{During, Failure, Outcome};

/// A server that is still starting may accept and stay silent; then it is asked again.
const LIMIT: Duration = Duration::from_secs(5);
const ANSWER_MAX: usize = 64 * 1024;

/// Says `words` and reads until `answer` makes something of what was heard.
pub(super) fn hear<T>(
    address: SocketAddr,
    words: &[u8],
    answer: impl Fn(&[u8]) -> Option<Outcome<T>>,
) -> Outcome<T> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).during(address)?;
    stream.set_read_timeout(Some(LIMIT)).during(address)?;
    stream.write_all(words).during(address)?;
    let mut heard = Vec::new();
    let mut chunk = [0; 4096];
    while heard.len() < ANSWER_MAX {
        let length = stream.read(&mut chunk).during(address)?;
        heard.extend_from_slice(&chunk[..length]);
        if let Some(answer) = answer(&heard) {
            return answer;
        }
        if length == 0 {
            break;
        }
    }
    let heard = String::from_utf8_lossy(&heard).chars().take(200).collect::<String>();
    Err(Failure::new(format!("{address} does not answer to the end: {heard}")))
}

/// What stands in `heard` between `before` and `after`, as text, once it is there.
pub(super) fn between(heard: &[u8], before: &str, after: char) -> Option<Outcome<String>> {
    let heard = String::from_utf8_lossy(heard);
    let (_, rest) = heard.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    Some(Ok(found.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_in_pieces_is_heard_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut words = [0; 2];
            stream.read_exact(&mut words).unwrap();
            stream.write_all(b"version:1").unwrap();
            stream.write_all(b".2\r\nmore").unwrap();
            words
        });
        let version = hear(address, b"hi", |heard| between(heard, "version:", '\n')).unwrap();
        assert_eq!((version.as_str(), server.join().unwrap()), ("1.2", *b"hi"));
    }
}
