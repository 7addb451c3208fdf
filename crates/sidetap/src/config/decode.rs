//! How packets are decoded: what `[capture]` says of it.

use serde::Deserialize;
use sidetap_capture::{DecodeOptions, TunnelPorts, TunnelTrust, UdpTunnel};

use super::raw;

/// What is done about wrong checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checksums {
    /// Drop what the receiver would have dropped.
    Auto,
    /// Look at none.
    Ignore,
}

/// The decoder's settings, but for zones.
pub(super) fn options(raw: &raw::Capture) -> DecodeOptions {
    let usual = DecodeOptions::default();
    let mut ports = TunnelPorts::default();
    let named = [
        (UdpTunnel::Vxlan, &raw.vxlan_ports),
        (UdpTunnel::VxlanGpe, &raw.vxlan_gpe_ports),
        (UdpTunnel::Geneve, &raw.geneve_ports),
        (UdpTunnel::GtpU, &raw.gtp_ports),
        (UdpTunnel::Tzsp, &raw.tzsp_ports),
    ];
    for (tunnel, list) in named {
        if let Some(list) = list {
            ports.replace(tunnel, list);
        }
    }
    let checksums = match raw.checksums {
        Some(Checksums::Ignore) => sidetap_capture::Checksums::Ignore,
        Some(Checksums::Auto) | None => sidetap_capture::Checksums::Auto,
    };
    let window = raw.duplicate_window_ms.map(|ms| i64::from(ms) * 1_000_000);
    let trusted = raw.trusted_tunnels.as_ref();
    let trust = trusted.map_or(usual.trust, |nets| TunnelTrust::new(nets.iter().map(|n| n.0).collect()));
    let duplicate_window = window.unwrap_or(usual.duplicate_window);
    DecodeOptions { ports, trust, checksums, duplicate_window, ..DecodeOptions::default() }
}
