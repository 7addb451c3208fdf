//! Spellings of a host and of a path by which somebody might get past an entry for `POST …/login`.

/// Paths that everybody reads as `/login`.
const SAME: [&str; 14] = [
    "/login/",
    "/login//",
    "/login;x=1",
    "/login;x=1/?y",
    "/;x/login",
    "/login/;x",
    "/;/;y=1/login/;x/",
    "/lo%67in",
    "/%6Cogin?x",
    "/x/../login",
    "/x%3f/../login",
    "/x%3F/%23/../../login",
    "/./login",
    "//login",
];

/// Paths that somebody reads as `/login` or `/api/*/items`, and others as another path.
const EITHER: [&str; 63] = [
    // Escaped slashes, which are a part of a name to some.
    "/x/..%2flogin",
    "/login%2f",
    "/login/a%2fb/..",
    "/login/%2f..",
    // Dots with parameters: Tomcat takes these off first.
    "/x/..;y/login",
    "/x/..;/login",
    "/x/%2e%2e;/login",
    "/.;y/login",
    "/.;/login",
    // An escaped slash in a parameter: Tomcat takes that off before it undoes escapes, others after it.
    "/login;a%2fb",
    "/login;a;b=%2F?x",
    "/login;a;b=%2F",
    "/;a%2fb/login",
    "/x/..;a%2fb/login",
    "/login;a%252fb",
    "/x;%2Fa/../login",
    "/x;a%2f../login",
    "/lo%67in;%2f/;%2f",
    // A part that is nothing, or parameters and nothing else, is stepped up from by some and is none to others.
    "/x/;/../login",
    "/x/;y/../login",
    "/x/%3b/../login",
    "/x/;/./../login",
    "/x;/;/../login",
    "/a/b/;/../../login",
    "/login/x/;/..",
    "/login/;x/..",
    "/login/;x/%2e%2E/",
    "/login//..",
    "/login//.%2e",
    "/x/;/..;/login",
    // A backslash is a slash to URLs of browsers (and what applications parse them with) and to IIS.
    r"/.\login",
    r"/x\..\login",
    r"/x/..\login",
    r"/login\",
    r"/\login",
    "/x%5c..%5clogin",
    "/.%5Clogin",
    "/login%5c",
    "/%5clogin",
    "/%5Cx/login",
    "/%2e%5clogin",
    "/%2f%5clogin",
    "//x%5cy/login",
    "/x%5cy/../login",
    "/api%5cv2/items",
    "/api/v2%5Citems;x",
    "/api/CORP%5Cjdoe/items",
    // What is behind it is no part of a path, or is.
    "/x#/../login",
    "/login#x",
    "/login/#/..",
    // What is behind two slashes is a host to who reads the target as a part of a URL (RFC 3986 §4.2).
    "//x/login",
    "///x/login",
    "//x/login/?y",
    "//x@y:80/lo%67in;z",
    "//shop.example/login",
    "//x//./login/.",
    "//x/./;y//login//;z/",
    "//;x/;y/login",
    "//x;y/login",
    "//./login",
    "//%2e/login",
    "//x%2fy/login",
    "//x%3f/login",
];

/// Paths that honest clients send, none of which is `/login`.
const OTHERS: [&str; 9] = [
    "/list;colour=red;size=a%2Cb/7",
    "/cart;jsessionid=0A1B",
    r"/home?next=/x;a%2fb/;/y\z",
    "/a;v=1/b;w=2%20x",
    "/a..b/..c/d../e",
    "/group%2Fproject//raw",
    "//api/list/a%20b?c",
    "//x/y/login",
    "/users/CORP%5Cjdoe?a=%5C",
];

/// Asks for all of these paths as one who is refused at `/login` and `/api/*/items`. Whether devices may take a path for another is said by `passes`.
pub(crate) fn paths(ask: impl Fn(&str) -> u16, passes: impl Fn(&str) -> bool) {
    let same = SAME.iter().filter(|p| ask(p) != 403).collect::<Vec<_>>();
    assert!(same.is_empty(), "{same:?} are the same path");
    let either = EITHER.iter().filter(|p| ask(p) == 200 && !passes(p)).collect::<Vec<_>>();
    assert!(either.is_empty(), "{either:?} are the same path to some");
}

/// Asks for paths that are other ones to everybody. Apache answers an escaped slash with 404, whoever sends it.
pub(crate) fn other_paths(ask: impl Fn(&str) -> u16) {
    let refused = OTHERS.iter().filter(|p| ![200, 404].contains(&ask(p))).collect::<Vec<_>>();
    assert!(refused.is_empty(), "{refused:?} are other paths");
}

/// Spellings of a host (`~`) by which an application, or the device, may take it for that one.
const HOSTS: [&str; 19] = [
    "~:abc",
    "~:-1",
    "~:80.",
    "~:80,x",
    "~:x@y",
    "~:80:x",
    "~.:x",
    "~,",
    "~,:1",
    "~:80/",
    "~/x",
    "nope.test,~",
    "nope.test, ~",
    ",~",
    "[~]",
    "[~]:80",
    "www.shop.example:x@~",
    "x@~",
    "x:y@~",
];

/// Asks for a host in all of these spellings as one who is refused there.
pub(crate) fn hosts(host: &str, ask: impl Fn(&str) -> u16) {
    let all = HOSTS.iter().map(|text| text.replace('~', host));
    let passed = all.filter(|h| ask(h) == 200).collect::<Vec<_>>();
    assert!(passed.is_empty(), "{passed:?} may be {host}");
}

/// Values of cookies that applications which undo escapes read as `s3ss10n-of-the-bot`, `s:s3ss10n/of+the=boté` or a JWT of the signature that
/// tests name.
pub(crate) const ESCAPED: [&str; 7] = [
    "%733ss10n-of-the-bot",
    "s3ss10n%2dof%2Dthe-bo%74",
    "\"s3ss10n-of%2Dthe-bot\"",
    "%73%33%73%73%31%30%6e%2d%6f%66%2d%74%68%65%2d%62%6f%74",
    "s:s3ss10n/of+the=bot%c3%A9",
    "s%3As3ss10n%2fof%2Bthe%3dbot%C3%a9",
    "eyJhbGciOiJIUzI1NiJ9%2EeyJzdWIiOiIxIn0%2ec2lnbmF0dXJlLW9mLWEtand%30",
];

/// Parameters that applications read as the key `sk_live_0123456789`.
pub(crate) const ESCAPED_KEYS: [&str; 12] = [
    "api_key=sk%5flive_0123456789",
    "api_ke%79=sk_live_0123456789",
    "api_%4bE%59=%73k_live_012345678%39",
    // PHP ends names at a zero, and many make lists of values whose names have brackets.
    "api_key%00x=sk_live_0123456789",
    "api_key[]=sk_live_0123456789",
    "api_key%5b0%5d=sk_live_0123456789",
    "api_key[=sk_live_0123456789",
    "a=1&amp;api_key%20=sk_live_0123456789",
    "keys=1;api_key=sk_live_0123456789;b=2",
    // White space is taken off.
    "api_key=+sk_live_0123456789",
    "api_key=%20%09sk_live_0123456789%0a+",
    "api_key=++++++++%00sk_live_0123456789",
];
