use std::path::Path;

/// How an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Up,
    Down,
    Gone,
}

/// What the kernel says of an interface, by the name that its index has now.
pub(super) fn status(name: Option<&str>) -> Status {
    let Some(name) = name else { return Status::Gone };
    const UP: u32 = 1;
    let flags = std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("flags"));
    let flags =
        flags.ok().and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    // Where sysfs shows another network namespace, or nothing, an interface that is there counts as up.
    if flags.is_none_or(|f| f & UP != 0) { Status::Up } else { Status::Down }
}

/// Pauses between attempts: from a tenth of a second, doubled each time, to five seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BackOff(u32);

impl BackOff {
    const LONGEST: u64 = 5_000;

    pub(super) fn pause(&mut self) -> std::time::Duration {
        let millis = (100u64 << self.0.min(16)).min(Self::LONGEST);
        self.0 += 1;
        std::time::Duration::from_millis(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut b = BackOff::default();
        let pauses: Vec<u128> = (0..9).map(|_| b.pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn an_index_without_a_name_is_gone() {
        assert_eq!(status(None), Status::Gone);
        assert_eq!(status(Some("no such interface")), Status::Up);
    }
}
