use sha2::{Digest, Sha256};

/// A Bitcoin address: base58check of version 0 or 5, or bech32 (BIP 173) and bech32m (BIP 350) under `bc`.
pub(super) fn btc(text: &str) -> bool {
    if text.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("bc1")) {
        return bech32(text, "bc");
    }
    base58_payload(text).is_some_and(|p| matches!(p.as_slice(), [0 | 5, rest @ ..] if rest.len() == 20))
}

/// A Litecoin address: base58check of version 48 or 50, or bech32 under `ltc`.
pub(super) fn litecoin(text: &str) -> bool {
    if text.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("ltc1")) {
        return bech32(text, "ltc");
    }
    base58_payload(text).is_some_and(|p| matches!(p.as_slice(), [48 | 50, rest @ ..] if rest.len() == 20))
}

/// Any base58check: WIF keys, extended keys.
pub(super) fn base58check(text: &str) -> bool {
    base58_payload(text).is_some()
}

/// An Ethereum address; where its letters are of both cases, with the checksum of EIP-55.
pub(super) fn eth(text: &str) -> bool {
    let Some(hex) =
        text.strip_prefix("0x").filter(|h| h.len() == 40 && h.bytes().all(|b| b.is_ascii_hexdigit()))
    else {
        return false;
    };
    let first = hex.bytes().next();
    if hex.bytes().all(|b| Some(b) == first) || hex.starts_with("0000000000000000") {
        return false;
    }
    let (upper, lower) =
        (hex.bytes().any(|b| b.is_ascii_uppercase()), hex.bytes().any(|b| b.is_ascii_lowercase()));
    if !(upper && lower) {
        return true;
    }
    let hash = keccak256(hex.to_ascii_lowercase().as_bytes());
    hex.bytes().enumerate().all(|(i, b)| {
        let byte = hash.get(i / 2).copied().unwrap_or(0);
        let nibble = if i % 2 == 0 { byte >> 4 } else { byte & 15 };
        b.is_ascii_digit() || b.is_ascii_uppercase() == (nibble > 7)
    })
}

/// The payload (version byte first) of a base58check text whose double SHA-256 fits.
fn base58_payload(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    if text.len() > 120 {
        return None;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    for c in text.bytes() {
        let mut carry = ALPHABET.iter().position(|a| *a == c)?;
        for byte in &mut bytes {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push((carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    bytes.extend(text.bytes().take_while(|c| *c == b'1').map(|_| 0));
    bytes.reverse();
    let (payload, check) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let hash = Sha256::digest(Sha256::digest(payload));
    (hash.get(..4) == Some(check)).then(|| payload.to_vec())
}

fn bech32(text: &str, prefix: &str) -> bool {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    if text.len() > 90
        || (text.bytes().any(|b| b.is_ascii_uppercase()) && text.bytes().any(|b| b.is_ascii_lowercase()))
    {
        return false;
    }
    let text = text.to_ascii_lowercase();
    let Some(data) = text.strip_prefix(prefix).and_then(|t| t.strip_prefix('1')).filter(|d| d.len() > 6)
    else {
        return false;
    };
    let Some(values) =
        data.bytes().map(|b| ALPHABET.iter().position(|a| *a == b)).collect::<Option<Vec<_>>>()
    else {
        return false;
    };
    let expanded = prefix
        .bytes()
        .map(|b| usize::from(b >> 5))
        .chain([0])
        .chain(prefix.bytes().map(|b| usize::from(b & 31)));
    let constant = if values.first() == Some(&0) { 1 } else { 0x2bc8_30a3 };
    expanded.chain(values).fold(1, polymod) == constant
}

fn polymod(check: u32, value: usize) -> u32 {
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = check >> 25;
    let next = ((check & 0x1ff_ffff) << 5) ^ value as u32;
    GENERATORS.iter().enumerate().filter(|(i, _)| (top >> i) & 1 == 1).fold(next, |c, (_, g)| c ^ g)
}

/// Keccak-256 as Ethereum uses it, of at most 135 bytes (one block).
fn keccak256(message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 136];
    let len = message.len().min(135);
    if let (Some(to), Some(from)) = (block.get_mut(..len), message.get(..len)) {
        to.copy_from_slice(from);
    }
    if let Some(pad) = block.get_mut(len) {
        *pad ^= 1;
    }
    if let Some(last) = block.last_mut() {
        *last ^= 0x80;
    }
    let mut state = [0_u64; 25];
    for (lane, bytes) in state.iter_mut().zip(block.chunks_exact(8)) {
        *lane = bytes.try_into().map_or(0, u64::from_le_bytes);
    }
    keccak_f(&mut state);
    let mut out = [0; 32];
    for (to, lane) in out.chunks_exact_mut(8).zip(state) {
        to.copy_from_slice(&lane.to_le_bytes());
    }
    out
}

/// Keccak-f`[1600]` (FIPS 202 §3.3). Indices are constants below 25.
#[allow(clippy::indexing_slicing)]
fn keccak_f(state: &mut [u64; 25]) {
    const ROTATIONS: [u32; 24] =
        [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44];
    const LANES: [usize; 24] =
        [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1];
    let mut lfsr = 1_u8;
    for _ in 0..24 {
        let parity: [u64; 5] = std::array::from_fn(|x| (0..5).fold(0, |p, y| p ^ state[x + 5 * y]));
        for x in 0..5 {
            let mix = parity[(x + 4) % 5] ^ parity[(x + 1) % 5].rotate_left(1);
            (0..5).for_each(|y| state[x + 5 * y] ^= mix);
        }
        let mut last = state[1];
        for (lane, rotation) in LANES.into_iter().zip(ROTATIONS) {
            (last, state[lane]) = (state[lane], last.rotate_left(rotation));
        }
        for row in state.chunks_exact_mut(5) {
            let old: [u64; 5] = std::array::from_fn(|x| row[x]);
            (0..5).for_each(|x| row[x] = old[x] ^ (!old[(x + 1) % 5] & old[(x + 2) % 5]));
        }
        for bit in 0..7 {
            if lfsr & 1 == 1 {
                state[0] ^= 1 << ((1_u32 << bit) - 1);
            }
            lfsr = (lfsr << 1) ^ if lfsr & 0x80 != 0 { 0x71 } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_check() {
        assert!(btc("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa") && !btc("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"));
        assert!(btc("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"));
        assert!(
            btc("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq")
                && !btc("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp")
        );
        assert!(btc("bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"));
        assert!(
            eth("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
                && !eth("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD")
        );
        assert!(
            eth("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")
                && !eth("0x0000000000000000000000000000000000000000")
        );
    }
}
