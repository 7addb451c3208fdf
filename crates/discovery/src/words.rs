//! Words that paths are made of: a prior, which evidence may overrule.

/// Literals that stand for whoever asks: never values.
pub(crate) fn is_reserved(word: &str) -> bool {
    matches!(word, "me" | "self" | "~" | "@me" | "-" | "_" | "mine" | "whoami")
}

/// Literals that stand beside ids in a collection: operations and views.
pub(crate) fn is_verb(word: &str) -> bool {
    VERBS.binary_search(&word).is_ok()
}

/// Names that resources have in most APIs.
pub(crate) fn is_common(word: &str) -> bool {
    COMMON.binary_search(&word).is_ok()
}

/// Extensions that stay literal behind a value.
pub(crate) fn is_file_extension(ext: &str) -> bool {
    const KNOWN: [&str; 24] = [
        ".atom", ".bin", ".css", ".csv", ".gif", ".gz", ".htm", ".html", ".ico", ".jpeg", ".jpg", ".js",
        ".json", ".map", ".md", ".pdf", ".png", ".rss", ".svg", ".txt", ".webp", ".xml", ".yaml", ".zip",
    ];
    KNOWN.binary_search(&ext).is_ok()
}

/// The singular of a collection's name, in snake case, for naming its parameter.
pub(crate) fn singular(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut last_lower = false;
    for c in word.chars() {
        if c.is_ascii_uppercase() {
            if last_lower {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
            last_lower = false;
        } else if c.is_ascii_alphanumeric() {
            out.push(c);
            last_lower = true;
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
            last_lower = false;
        }
    }
    let out = out.trim_end_matches('_');
    let cut = |n: usize| out.get(..out.len() - n).unwrap_or(out).to_owned();
    const IRREGULAR: [(&str, &str); 4] =
        [("people", "person"), ("children", "child"), ("indices", "index"), ("vertices", "vertex")];
    if let Some((stem, one)) = IRREGULAR.iter().find_map(|(many, one)| Some((out.strip_suffix(many)?, one))) {
        return format!("{stem}{one}");
    }
    if let Some(stem) = out.strip_suffix("ies").filter(|s| s.len() > 1) {
        return format!("{stem}y");
    }
    if ["sses", "shes", "ches", "xes", "zes"].iter().any(|e| out.ends_with(e)) {
        return cut(2);
    }
    let keeps = ["ss", "us", "is", "ws"].iter().any(|e| out.ends_with(e));
    if out.len() > 2 && out.ends_with('s') && !keeps { cut(1) } else { out.to_owned() }
}

const VERBS: [&str; 78] = [
    "activate",
    "add",
    "all",
    "approve",
    "archive",
    "authorize",
    "available",
    "batch",
    "bulk",
    "callback",
    "cancel",
    "check",
    "clear",
    "clone",
    "close",
    "complete",
    "config",
    "confirm",
    "copy",
    "count",
    "create",
    "current",
    "deactivate",
    "default",
    "delete",
    "disable",
    "download",
    "edit",
    "enable",
    "execute",
    "export",
    "featured",
    "filter",
    "find",
    "health",
    "history",
    "import",
    "info",
    "init",
    "latest",
    "list",
    "login",
    "logout",
    "lookup",
    "metadata",
    "move",
    "new",
    "next",
    "options",
    "popular",
    "preview",
    "previous",
    "query",
    "random",
    "recent",
    "refresh",
    "register",
    "reject",
    "remove",
    "reset",
    "restore",
    "resume",
    "root",
    "schema",
    "search",
    "settings",
    "start",
    "stats",
    "status",
    "stop",
    "suggest",
    "summary",
    "sync",
    "test",
    "trending",
    "update",
    "upload",
    "validate",
];

const COMMON: [&str; 96] = [
    "account",
    "accounts",
    "actions",
    "activity",
    "address",
    "addresses",
    "admin",
    "alerts",
    "api",
    "apps",
    "assets",
    "attachments",
    "auth",
    "avatar",
    "balance",
    "billing",
    "blocks",
    "boards",
    "branches",
    "cards",
    "cart",
    "categories",
    "channels",
    "charges",
    "checkout",
    "clusters",
    "comments",
    "commits",
    "contacts",
    "content",
    "customers",
    "dashboard",
    "data",
    "devices",
    "documents",
    "domains",
    "email",
    "events",
    "files",
    "folders",
    "followers",
    "following",
    "graphql",
    "groups",
    "hooks",
    "images",
    "invoices",
    "issues",
    "items",
    "jobs",
    "keys",
    "labels",
    "likes",
    "links",
    "lists",
    "locations",
    "logs",
    "media",
    "members",
    "messages",
    "metrics",
    "nodes",
    "notes",
    "notifications",
    "oauth",
    "objects",
    "orders",
    "orgs",
    "pages",
    "password",
    "payments",
    "permissions",
    "photos",
    "posts",
    "products",
    "profile",
    "projects",
    "records",
    "reports",
    "repos",
    "reviews",
    "roles",
    "rules",
    "services",
    "sessions",
    "tags",
    "tasks",
    "teams",
    "templates",
    "tickets",
    "token",
    "tokens",
    "topics",
    "users",
    "versions",
    "webhooks",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(VERBS.is_sorted() && COMMON.is_sorted());
        assert!(is_verb("search") && is_common("users") && is_file_extension(".json"));
    }

    #[test]
    fn singulars_read_well() {
        for (many, one) in [
            ("repositories", "repository"),
            ("users", "user"),
            ("addresses", "address"),
            ("status", "status"),
            ("boxes", "box"),
            ("OutgoingCallerIds", "outgoing_caller_id"),
            ("ip-ranges", "ip_range"),
            ("news", "news"),
        ] {
            assert_eq!(singular(many), one);
        }
    }
}
