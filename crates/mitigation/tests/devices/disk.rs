//! What connectors that keep files do where the disk is full: what was there stays in force, it is said, what lets go lets go, and room heals.

use std::path::{Path, PathBuf};
use std::process::Command;

use sidetap_mitigation::{Connector, Entry};
use sidetap_policy::Response;

use crate::rig::{ATTACKER, Rig, entry};
use crate::support::{get, skip, until, wall};

/// A disk of a few pages.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96k", "none"]).arg(at).status();
        if !mounted.is_ok_and(|s| s.success()) {
            skip("mount is not allowed here");
            return None;
        }
        Some(Disk(at.to_owned()))
    }

    fn fill(&self) {
        let full = std::fs::write(self.0.join("ballast"), vec![0; 1 << 20]);
        assert!(full.is_err(), "there is room for all of it");
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn stands(device: &impl Rig, mut connector: Box<dyn Connector>, disk: &Disk) {
    let mut push = |wanted: &[Entry]| {
        let plan =
            sidetap_mitigation::plan(wanted, &connector.observe(wall()).unwrap(), &[], connector.sees());
        let done = connector.apply(&plan, wall());
        (done, connector.observe(wall()).unwrap().entries.len())
    };
    let one = [entry(ATTACKER, Response::Block)];
    let more: Vec<Entry> =
        (1..60).map(|n| entry(&format!("198.51.100.{n}"), Response::Block)).chain(one.clone()).collect();
    assert!(push(&one).0.is_ok());
    until("it has an effect", || device.request(ATTACKER) == 403);
    disk.fill();
    let (done, held) = push(&more);
    let said = done.unwrap_err().to_string();
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!((held, device.request(ATTACKER), device.request("198.51.100.1")), (1, 403, 200), "as it was");
    let (done, held) = push(&[]);
    assert_eq!((done.map(|_| ()), held), (Ok(()), 0), "what lets go needs no room");
    until("it lets go", || device.request(ATTACKER) == 200);
    disk.free();
    let (done, held) = push(&more);
    assert_eq!((done.map(|_| ()), held), (Ok(()), 60));
    until("there is room again", || {
        device.request(ATTACKER) == 403 && device.request("198.51.100.59") == 403
    });
}

#[test]
fn caddy() {
    let Some(device) = crate::caddy::Caddy::start() else { return };
    let at = device.dir.path().join("small");
    std::fs::create_dir(&at).unwrap();
    let Some(disk) = Disk::mount(&at) else { return };
    let connector = Box::new(device.connector_of("small/memory.json"));
    stands(&device, connector, &disk);
}

#[test]
fn envoy() {
    let mut disk = None;
    let device = crate::envoy::Envoy::start_in(|watched| disk = Disk::mount(watched));
    let (Some(device), Some(disk)) = (device, disk) else { return };
    let connector = device.connector_of("watched/memory.json");
    stands(&device, connector, &disk);
    assert_eq!(get(device.to, "198.51.100.200", &[]).0, 200);
}
