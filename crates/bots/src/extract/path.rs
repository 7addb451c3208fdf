//! Where the values stand in a request-target.

/// The parts of a request-target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    /// The last path parameter by the template.
    pub(crate) parameter: Option<&'a str>,
    /// The last segment that is not empty.
    pub(crate) last: &'a str,
}

/// Splits a target and finds the parameter that `template` marks.
pub(crate) fn place<'a>(target: &'a [u8], template: &str) -> Place<'a> {
    let text = match std::str::from_utf8(target) {
        Ok(text) => text,
        Err(e) => target.get(..e.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default(),
    };
    let text = text.split_once('#').map_or(text, |(t, _)| t);
    let text = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find('/').and_then(|i| rest.get(i..)).unwrap_or("/")
        }
        _ => text,
    };
    let (path, query) = text.split_once('?').map_or((text, None), |(p, q)| (p, Some(q)));
    let mut parameter = None;
    for (shape, value) in template.split('/').zip(path.split('/')) {
        if shape.contains('{') {
            parameter = Some(value);
        }
    }
    let last = path.rsplit('/').find(|s| !s.is_empty()).unwrap_or_default();
    Place { path, query, parameter, last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_template() {
        let p = place(b"/api/orders/500/lines?x=1", "/api/orders/{id}/lines");
        assert_eq!((p.path, p.query, p.parameter), ("/api/orders/500/lines", Some("x=1"), Some("500")));
        let p = place(b"http://h/a/b", "/a/b");
        assert_eq!((p.path, p.parameter, p.last), ("/a/b", None, "b"));
    }
}
