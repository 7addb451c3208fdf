use std::fmt;
use std::hash::Hasher;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use siphasher::sip::SipHasher13;

/// Names an endpoint: a hash of zone, host, method and template. Written as 16 hexadecimal digits.
///
/// Stable between runs. When templates merge, the old ids become aliases of the new one (see `sidetap-discovery`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EndpointId(pub u64);

impl EndpointId {
    /// The id of `method template` on `host` in `zone`.
    pub fn of(zone: &str, host: &str, method: &str, template: &str) -> Self {
        let mut h = SipHasher13::new_with_keys(0x7369_6465, 0x7461_7031);
        for part in [zone, host, method, template] {
            h.write(part.as_bytes());
            h.write_u8(0xff);
        }
        EndpointId(h.finish())
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EndpointId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for EndpointId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
            u64::from_str_radix(&text, 16).map(EndpointId).map_err(de::Error::custom)
        } else {
            u64::deserialize(d).map(EndpointId)
        }
    }
}

/// An endpoint's id with the names that it stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct EndpointName {
    /// Its id.
    pub id: EndpointId,
    /// Host name, lower case, without port.
    pub host: Arc<str>,
    /// Method as sent.
    pub method: Arc<str>,
    /// Path template: a parameter is written `{name}`, a whole segment or part of one.
    pub template: Arc<str>,
}

/// An endpoint as later stages see it: a name that all exchanges of the endpoint share.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointRef(Arc<EndpointName>);

impl EndpointRef {
    /// The endpoint of this id and these names.
    pub fn new(
        id: EndpointId,
        host: impl Into<Arc<str>>,
        method: impl Into<Arc<str>>,
        template: impl Into<Arc<str>>,
    ) -> Self {
        let (host, method, template) = (host.into(), method.into(), template.into());
        EndpointRef(Arc::new(EndpointName { id, host, method, template }))
    }

    /// Bytes of its names.
    pub fn heap_bytes(&self) -> usize {
        self.host.len() + self.method.len() + self.template.len()
    }
}

impl Deref for EndpointRef {
    type Target = EndpointName;

    fn deref(&self) -> &EndpointName {
        &self.0
    }
}

/// Gives a name of its own to change; other references keep theirs.
impl DerefMut for EndpointRef {
    fn deref_mut(&mut self) -> &mut EndpointName {
        Arc::make_mut(&mut self.0)
    }
}
