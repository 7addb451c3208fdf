//! The newspaper behind the CDN.

use serde_json::{Value, json};

use super::{Req, Resp, Site, asset, missing};
use crate::Rng;
use crate::world::facts::{prose, words};

impl Site {
    pub(super) fn press(&mut self, req: &Req<'_>, rng: &mut Rng) -> Resp {
        if let Some(resp) = asset(req) {
            return resp;
        }
        let segments = req.segments();
        match (req.method, segments.as_slice()) {
            ("GET" | "HEAD", [""]) => Resp::html(200, "Tidepress", &front(1)).slow(0.02),
            ("GET", ["topic", name]) => Resp::html(200, name, &front(name.len() as u64)).slow(0.02),
            ("GET", ["story", name]) => {
                match name.rsplit_once('-').and_then(|(_, n)| n.parse::<u64>().ok()) {
                    Some(n @ 3000..4000) => {
                        let mut own = Rng::new(n);
                        Resp::html(
                            200,
                            &story_slug(n),
                            &format!("<h1>{}</h1><p>{}</p>", words(&mut own, 5), prose(&mut own, 25)),
                        )
                        .slow(0.02)
                    }
                    _ => missing(rng),
                }
            }
            ("GET", ["v1", "stories"]) => {
                let list: Vec<Value> = (0..10)
                    .map(|_| 3000 + rng.below(1000))
                    .map(|n| json!({"story": n, "slug": story_slug(n)}))
                    .collect();
                Resp::json(200, &json!({"stories": list, "after": rng.hex(8)}))
            }
            ("GET", ["v1", "stories", n, "comments"]) => Resp::json(
                200,
                &json!({"story": n, "comments": [{"by": words(rng, 1), "text": prose(rng, 2)}]}),
            ),
            ("GET", ["robots.txt"]) => Resp::new(
                200,
                "text/plain",
                b"User-agent: CorpusBot\nDisallow: /\n\nUser-agent: *\nAllow: /\nCrawl-delay: 2\n".to_vec(),
            ),
            _ => missing(rng),
        }
    }
}

fn front(number: u64) -> String {
    let mut rng = Rng::new(number);
    (0..14)
        .map(|_| 3000 + rng.below(1000))
        .map(|n| format!("<h2><a href=\"/story/{}-{n}\">{}</a></h2>", story_slug(n), story_slug(n)))
        .collect()
}

/// The readable part of a story's address.
pub(crate) fn story_slug(number: u64) -> String {
    words(&mut Rng::new(number ^ 0x0570_f1e5), 4).replace(' ', "-")
}
