use std::io::{self, Write};

use sidetap_model::Direction;

use super::Tape;

/// What is another one in each request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Path,
    Host,
    Agent,
    Session,
}

/// Requests on one connection after the other.
const ON_A_CONNECTION: u64 = 100;

/// `size` exchanges, each with a value of its own.
pub(super) fn distinct<W: Write>(tape: &mut Tape<'_, W>, size: u64, field: Field) -> io::Result<()> {
    exchanges(tape, size, |n, word| {
        let own = |f| field == f;
        let path = if own(Field::Path) { format!("/{word}/{n}/{word}-{n}") } else { "/items/1".to_owned() };
        let host = if own(Field::Host) { format!("{word}-{n}.example") } else { "shop.example".to_owned() };
        let agent = if own(Field::Agent) { format!("{word}/{n}.0") } else { "client/1.0".to_owned() };
        let cookie = if own(Field::Session) { format!("sessionid={n:032x}{word}") } else { "a=b".to_owned() };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nCookie: {cookie}\r\n\r\n");
        (
            request,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"
                .to_owned(),
        )
    })
}

/// `size` keys, a hundred in each response.
pub(super) fn json_keys<W: Write>(tape: &mut Tape<'_, W>, size: u64) -> io::Result<()> {
    exchanges(tape, size.div_ceil(100), |n, word| {
        let keys: Vec<String> = (0..100).map(|k| format!("\"{word}_{n}_{k}\":{k}")).collect();
        let body = format!("{{{}}}", keys.join(","));
        let request = "GET /things HTTP/1.1\r\nHost: shop.example\r\n\r\n".to_owned();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        (request, format!("{head} {}\r\n\r\n{body}", body.len()))
    })
}

fn exchanges<W: Write>(
    tape: &mut Tape<'_, W>,
    size: u64,
    make: impl Fn(u64, &str) -> (String, String),
) -> io::Result<()> {
    let mut n = 0;
    while n < size {
        let mut talk = tape.open(n / ON_A_CONNECTION)?;
        for _ in 0..ON_A_CONNECTION.min(size - n) {
            let word: String = (0..8).map(|_| char::from(b'a' + tape.rng.below(26) as u8)).collect();
            let (request, response) = make(n, &word);
            tape.send(&mut talk, Direction::Up, request.as_bytes())?;
            tape.send(&mut talk, Direction::Down, response.as_bytes())?;
            n += 1;
        }
        tape.close(&mut talk)?;
    }
    Ok(())
}
