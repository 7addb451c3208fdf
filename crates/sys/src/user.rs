use std::fmt;
use std::fs;

/// An account that a process can become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name, or its number where it has none.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of its main group.
    pub gid: u32,
}

impl User {
    /// The account of this name, as `/etc/passwd` has it, or the one written `UID:GID`.
    pub fn find(name: &str) -> Option<User> {
        if let Some((uid, gid)) = name.split_once(':') {
            return Some(User { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? });
        }
        find_in(&fs::read_to_string("/etc/passwd").unwrap_or_default(), name)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn find_in(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let mut numbers = fields.skip(1);
        let uid = numbers.next()?.parse().ok()?;
        let gid = numbers.next()?.parse().ok()?;
        Some(User { name: name.to_owned(), uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/:/usr/sbin/nologin\n";
        let found = find_in(passwd, "nobody").unwrap();
        assert_eq!((found.uid, found.gid), (65534, 65533));
        assert_eq!(find_in(passwd, "nobod"), None);
        assert_eq!(User::find("7:8").map(|u| (u.uid, u.gid)), Some((7, 8)));
        assert_eq!(User::find("7:x"), None);
    }
}
