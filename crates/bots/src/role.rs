use std::fmt;

macro_rules! roles {
    ($($(#[doc = $doc:literal])+ $name:ident = $bit:literal, $text:literal;)+) => {
        /// What an endpoint is for: a set.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct Roles(pub u32);

        impl Roles {
            $($(#[doc = $doc])+ pub const $name: Roles = Roles(1 << $bit);)+

            /// Each role with its name.
            pub const ALL: &'static [(Roles, &'static str)] = &[$((Roles::$name, $text),)+];
        }
    };
}

roles! {
    /// Takes credentials.
    LOGIN = 0, "login";
    /// Makes accounts.
    SIGN_UP = 1, "sign-up";
    /// Starts the recovery of an account.
    RESET = 2, "password-reset";
    /// Checks or sends a one-time code.
    OTP = 3, "otp";
    /// Buys.
    CHECKOUT = 4, "checkout";
    /// Fills a cart.
    CART = 5, "cart";
    /// Balance or use of a gift card.
    GIFT_CARD = 6, "gift-card";
    /// Coupons and promotion codes.
    COUPON = 7, "coupon";
    /// Search.
    SEARCH = 8, "search";
    /// Stock, availability, nearby stores.
    INVENTORY = 9, "inventory";
    /// Moves money or adds who may receive it.
    TRANSFER = 10, "transfer";
    /// The account's own data.
    PROFILE = 11, "profile";
    /// Reads one object by its id.
    ID_LOOKUP = 12, "id-lookup";
    /// Changes which SIM or device a subscriber has.
    SIM_SWAP = 13, "sim-swap";
    /// Takes card data.
    PAYMENT = 14, "payment";
    /// Takes text that others read.
    POSTING = 15, "posting";
    /// Votes, likes, ratings, counters.
    VOTE = 16, "vote";
    /// Prices.
    PRICE = 17, "price";
    /// Takes telemetry.
    TELEMETRY = 18, "telemetry";
}

impl Roles {
    /// None.
    pub const NONE: Roles = Roles(0);
    /// Those whose abuse harms at once.
    pub const SENSITIVE: Roles = Roles(
        Self::LOGIN.0
            | Self::SIGN_UP.0
            | Self::RESET.0
            | Self::OTP.0
            | Self::CHECKOUT.0
            | Self::CART.0
            | Self::GIFT_CARD.0
            | Self::COUPON.0
            | Self::TRANSFER.0
            | Self::SIM_SWAP.0
            | Self::PAYMENT.0,
    );

    /// Adds those of `other`.
    pub const fn insert(&mut self, other: Roles) {
        self.0 |= other.0;
    }

    /// Adds those of `other` where `when`.
    pub const fn set(&mut self, other: Roles, when: bool) {
        if when {
            self.insert(other);
        }
    }

    /// Takes those of `other` away.
    pub const fn remove(&mut self, other: Roles) {
        self.0 &= !other.0;
    }

    /// True where one of `other` is set.
    pub const fn any(self, other: Roles) -> bool {
        self.0 & other.0 != 0
    }

    /// The first of `among` that is set.
    pub(crate) fn first_of(self, among: Roles) -> Option<Roles> {
        let both = self.0 & among.0;
        (both != 0).then(|| Roles(1 << both.trailing_zeros()))
    }

    /// The names, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter(move |(r, _)| self.any(*r)).map(|(_, n)| *n)
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
