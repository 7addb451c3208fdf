//! Templates of paths, compared segment by segment. Names of parameters do not count.

/// What is literal before and after the parameter of a segment; without a parameter all of it.
pub(crate) fn bare(segment: &str) -> (&str, Option<&str>) {
    match segment.split_once('{').and_then(|(before, rest)| Some((before, rest.rsplit_once('}')?.1))) {
        Some((before, after)) => (before, Some(after)),
        None => (segment, None),
    }
}

/// Whether a template with parameters takes all that another one does.
pub(crate) fn takes(template: &str, other: &str) -> bool {
    let ((template, of), (other, of_other)) = (operation(template), operation(other));
    let (mut mine, mut theirs) =
        (template.trim_end_matches('/').split('/'), other.trim_end_matches('/').split('/'));
    if of != of_other || !template.contains('{') {
        return false;
    }
    loop {
        match (mine.next(), theirs.next()) {
            (None, None) => return true,
            (Some(mine), Some(theirs)) if takes_segment(mine, theirs) => {}
            _ => return false,
        }
    }
}

/// Whether two templates differ in names of parameters alone: neither takes anything that the other does not.
pub(crate) fn is_renamed(template: &str, other: &str) -> bool {
    template.contains('{') && unnamed(template) == unnamed(other)
}

/// A template whose parameters have no names.
fn unnamed(template: &str) -> String {
    let mut parts = template.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('{');
        out.push_str(part.find('}').and_then(|end| part.get(end..)).unwrap_or(part));
    }
    out
}

/// Whether a segment takes all that another one does.
pub(crate) fn takes_segment(mine: &str, theirs: &str) -> bool {
    match (bare(mine), bare(theirs)) {
        ((literal, None), (other, None)) => literal == other,
        ((_, None), _) => false,
        ((before, Some(after)), (other, None)) => {
            other.len() > before.len() + after.len() && other.starts_with(before) && other.ends_with(after)
        }
        ((before, Some(after)), (b, Some(a))) => b.starts_with(before) && a.ends_with(after),
    }
}

/// The path of a template and the operation that it names: `/graphql#query.GetUser`.
pub(crate) fn operation(template: &str) -> (&str, Option<&str>) {
    template.split_once('#').map_or((template, None), |(path, of)| (path, Some(of)))
}

/// How much of a template is literal.
pub(crate) fn literal(template: &str) -> usize {
    template
        .split('/')
        .map(|s| match bare(s) {
            (all, None) => all.len() + 1,
            (before, Some(after)) => before.len() + after.len(),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_takes_what_fits_it() {
        for (template, other, fits) in [
            ("/u/{name}", "/u/anna", true),
            ("/u/{name}", "/u/{id}", true),
            ("/u/{name}/", "/u/anna", true),
            ("/u/{name}", "/u/anna/posts", false),
            ("/u/{name}", "/u/", false),
            ("/u/anna", "/u/{name}", false),
            ("/u/{name}.json", "/u/anna.json", true),
            ("/u/{name}.json", "/u/anna.xml", false),
            ("/u/{name}", "/u/{name}.json", true),
            ("/u/v{n}", "/u/v", false),
            ("/g/{x}#query.A", "/g/a#query.A", true),
            ("/g/{x}", "/g/a#query.A", false),
        ] {
            assert_eq!(takes(template, other), fits, "{template} {other}");
        }
        assert!(literal("/u/{name}/a") > literal("/u/{name}/{x}"));
    }

    #[test]
    fn a_template_is_renamed_where_it_takes_no_more_and_no_less() {
        for (template, other, renamed) in [
            ("/u/{id}", "/u/{user}", true),
            ("/u/{id}/x/{a}.json", "/u/{user}/x/{b}.json", true),
            ("/g/{x}#query.A", "/g/{y}#query.A", true),
            ("/u/anna", "/u/{user}", false),
            ("/u/{id}", "/u/{id}.json", false),
            ("/u/{a}-{b}", "/u/{id}", false),
            ("/u/{id}", "/u/{id}/", false),
            ("/g/{x}#query.A", "/g/{y}#query.B", false),
            ("/u/anna", "/u/anna", false),
        ] {
            assert_eq!(is_renamed(template, other), renamed, "{template} {other}");
            assert_eq!(is_renamed(other, template), renamed, "{other} {template}");
        }
    }
}
