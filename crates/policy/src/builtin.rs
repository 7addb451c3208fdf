//! The packs that come with Sidetap.

/// Their names, for `extends`.
pub const NAMES: [&str; 7] =
    ["default", "account-protection", "scraping", "hype-sale", "gift-cards", "fraud-chain", "ai-agents"];

/// The text of a built-in pack.
pub fn text(name: &str) -> Option<&'static str> {
    Some(match name {
        "default" => include_str!("../packs/default.yaml"),
        "account-protection" => include_str!("../packs/account-protection.yaml"),
        "scraping" => include_str!("../packs/scraping.yaml"),
        "hype-sale" => include_str!("../packs/hype-sale.yaml"),
        "gift-cards" => include_str!("../packs/gift-cards.yaml"),
        "fraud-chain" => include_str!("../packs/fraud-chain.yaml"),
        "ai-agents" => include_str!("../packs/ai-agents.yaml"),
        _ => return None,
    })
}
