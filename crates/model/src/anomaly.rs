use smallvec::SmallVec;

macro_rules! anomalies {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// Something odd that a decoder saw and went on from. Codes are stable: users' rules name them.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Anomaly {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Anomaly {
            /// Every anomaly, in the order of their declaration.
            pub const ALL: &'static [Anomaly] = &[$(Anomaly::$name,)+];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Anomaly::$name => $code,)+ }
            }
        }
    };
}

anomalies! {
    /// httparse refused the head; the tolerant reader took it (RFC 9112 §2.2).
    HeadTolerated = "http-head-tolerated",
    /// A line ended with LF alone (RFC 9112 §2.2).
    BareLf = "http-bare-lf",
    /// A CR that no LF follows inside a head (RFC 9112 §2.2).
    BareCr = "http-bare-cr",
    /// Empty lines before the request line (RFC 9112 §2.2).
    LeadingEmptyLine = "http-leading-empty-line",
    /// A header line folded onto the next (RFC 9112 §5.2).
    ObsFold = "http-obs-fold",
    /// White space between a field name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon = "http-space-before-colon",
    /// A header line without a colon.
    HeaderNoColon = "http-header-no-colon",
    /// A field name that is no token (RFC 9110 §5.6.2).
    HeaderNameInvalid = "http-header-name-invalid",
    /// A control byte in a field value (RFC 9110 §5.5).
    HeaderValueControl = "http-header-value-control",
    /// More header fields than the limit; the rest was left out.
    HeadersTooMany = "http-headers-too-many",
    /// A head longer than the limit.
    HeadTooLong = "http-head-too-long",
    /// A request line that is not method, target, version (RFC 9112 §3).
    RequestLineInvalid = "http-request-line-invalid",
    /// White space other than single spaces in a request line.
    RequestLineSpaces = "http-request-line-spaces",
    /// A method that is no token.
    MethodInvalid = "http-method-invalid",
    /// A target with bytes that RFC 3986 does not allow.
    TargetInvalid = "http-target-invalid",
    /// An HTTP version other than 1.0 and 1.1.
    VersionOdd = "http-version-odd",
    /// A request without version: HTTP/0.9.
    Version09 = "http-version-0-9",
    /// A status line that does not read as RFC 9112 §4 says.
    StatusLineInvalid = "http-status-line-invalid",
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    HostMissing = "http-host-missing",
    /// Host twice (RFC 9112 §3.2).
    HostDuplicate = "http-host-duplicate",
    /// Host that disagrees with the authority of an absolute-form target (RFC 9112 §3.2.2).
    HostMismatch = "http-host-mismatch",
    /// A Host that is no host.
    HostInvalid = "http-host-invalid",
    /// Content-Length with Transfer-Encoding (RFC 9112 §6.1): request smuggling.
    ContentLengthAndTransferEncoding = "http-cl-te",
    /// Content-Length fields that differ (RFC 9112 §6.3).
    ContentLengthConflict = "http-cl-conflict",
    /// Content-Length repeated with one value.
    ContentLengthDuplicate = "http-cl-duplicate",
    /// A Content-Length that is no number, or too large a one.
    ContentLengthInvalid = "http-cl-invalid",
    /// A Content-Length with leading zeros, a sign or a tab.
    ContentLengthOdd = "http-cl-odd",
    /// A Transfer-Encoding that does not end with chunked (RFC 9112 §6.1).
    TransferEncodingInvalid = "http-te-invalid",
    /// A Transfer-Encoding or its list written so that servers read it differently: a tab, an empty member.
    TransferEncodingOdd = "http-te-odd",
    /// Chunked more than once, or transfer codings besides chunked.
    TransferEncodingMultiple = "http-te-multiple",
    /// Transfer-Encoding in a HTTP/1.0 message (RFC 9112 §6.1).
    TransferEncodingHttp10 = "http-te-http10",
    /// A chunk size that is no hexadecimal number, or too large a one.
    ChunkSizeInvalid = "http-chunk-size-invalid",
    /// A chunk size written oddly (leading zeros, white space).
    ChunkSizeOdd = "http-chunk-size-odd",
    /// A chunk extension (RFC 9112 §7.1.1).
    ChunkExtension = "http-chunk-extension",
    /// A chunk's data not followed by CRLF.
    ChunkTerminator = "http-chunk-terminator",
    /// Trailer fields (RFC 9112 §7.1.2) that must not stand in trailers.
    TrailerForbidden = "http-trailer-forbidden",
    /// Data where a message had to begin, skipped up to something readable.
    Garbage = "http-garbage",
    /// Response data for which no request is open.
    UnsolicitedResponse = "http-unsolicited-response",
    /// The response began before the request's body ended.
    EarlyResponse = "http-early-response",
    /// A request in what another announced as its content: its fields are the word of whoever sent that.
    RequestInContent = "http-request-in-content",
    /// A content coding that is not known.
    ContentCodingUnknown = "http-content-coding-unknown",
    /// A body that its content coding does not fit.
    ContentCodingInvalid = "http-content-coding-invalid",
    /// A compressed body over the limit of size, ratio or window.
    ContentCodingBomb = "http-content-coding-bomb",
    /// More content codings on one body than the limit.
    ContentCodingLayers = "http-content-coding-layers",
    /// White space before the request line (RFC 9112 §2.2 forbids it).
    LeadingSpace = "http-leading-space",
    /// A header field longer than most servers take (8 KiB).
    HeaderTooLong = "http-header-too-long",
    /// One field name more often than 64 times.
    HeaderRepeated = "http-header-repeated",
    /// A method of other than capital letters: nginx refuses it (RFC 9110 §9.1 allows any token).
    MethodOdd = "http-method-odd",
    /// A target that is none of the four forms, or not of the method's (RFC 9112 §3.2).
    TargetForm = "http-target-form-invalid",
    /// A target longer than 8000 bytes (RFC 9112 §3).
    TargetTooLong = "http-target-too-long",
    /// A `%` in a target that two hexadecimal digits do not follow (RFC 3986 §2.1).
    TargetPercentInvalid = "http-target-percent-invalid",
    /// A target that is percent-encoded twice (`%25` and two hexadecimal digits).
    TargetDoubleEncoded = "http-target-double-encoded",
    /// A port in Host or in a target's authority that is none (RFC 3986 §3.2.3).
    PortInvalid = "http-port-invalid",
    /// A port in Host that is not the one connected to.
    PortMismatch = "http-port-mismatch",
    /// A message of another version than the one before it from the same side.
    VersionChanged = "http-version-changed",
    /// A request behind one that asked for the connection to be closed (RFC 9112 §9.6).
    RequestAfterClose = "http-request-after-close",
    /// More requests wait for their answers than the limit.
    PipeliningExcessive = "http-pipelining-excessive",
    /// An Expect other than `100-continue` (RFC 9110 §10.1.1).
    ExpectUnknown = "http-expect-unknown",
    /// `Expect: 100-continue` without a body to wait for (RFC 9110 §10.1.1).
    ExpectWithoutBody = "http-expect-without-body",
    /// 100 (Continue) more than once for one request.
    ContinueRepeated = "http-continue-repeated",
    /// 101 that no Upgrade asked for (RFC 9110 §15.2.2).
    UpgradeUnasked = "http-upgrade-unasked",
    /// An Authorization of no registered scheme, or Basic credentials that are no base64 (RFC 7617).
    AuthorizationOdd = "http-authorization-odd",
    /// A Content-Range that does not read, or that contradicts the length of the body (RFC 9110 §14.4).
    RangeInvalid = "http-range-invalid",
    /// A Content-Disposition longer than 1024 bytes: a file name that is none.
    FilenameTooLong = "http-filename-too-long",
    /// A body that Content-Length or chunked gives to a method that has none (RFC 9110 §9.3).
    BodyUnexpected = "http-body-unexpected",
    /// A multipart body whose boundary is missing, too long or of forbidden characters (RFC 2046 §5.1.1).
    MultipartBoundary = "multipart-boundary-invalid",
    /// A multipart body without its closing delimiter.
    MultipartUnclosed = "multipart-unclosed",
    /// A part of a multipart body whose header fields do not read, or that names a transfer coding.
    MultipartHeader = "multipart-header-invalid",
    /// A part that names a file and holds none.
    MultipartNoFile = "multipart-file-empty",
    /// Data behind the closing delimiter of a multipart body.
    MultipartEpilogue = "multipart-epilogue",
    /// Segments that overlap with other data than was seen first.
    TcpOverlapDiffers = "tcp-overlap-differs",
    /// Bytes of a client sent again, before they were acknowledged, that could not be compared with those sent first.
    TcpOverlapUnchecked = "tcp-overlap-unchecked",
    /// A segment in fragments that overlap with other data than was seen first.
    IpFragmentsDiffer = "ip-fragments-differ",
    /// The connection came in a tunnel that is not trusted: anybody may have written both sides of it.
    TunnelUntrusted = "tunnel-untrusted",
    /// Urgent data in the stream.
    TcpUrgent = "tcp-urgent",
    /// Data after FIN or RST.
    TcpDataAfterClose = "tcp-data-after-close",
    /// An acknowledgement of data that was never seen.
    TcpAckUnseen = "tcp-ack-unseen",
    /// A SYN that carries data.
    TcpSynData = "tcp-syn-data",
    /// Data in a SYN that the other side did not take: what is sent again counts (RFC 7413).
    TcpSynDataRefused = "tcp-syn-data-refused",
    /// A SYN answered with a SYN that acknowledges nothing (RFC 9293 §3.5).
    TcpSplitHandshake = "tcp-split-handshake",
    /// A reset that its receiver did not heed, or could not (RFC 5961 §3).
    TcpResetIgnored = "tcp-reset-ignored",
    /// A reset that carries data.
    TcpResetData = "tcp-reset-data",
    /// A 4-tuple used again.
    TcpReuse = "tcp-reuse",
    /// A structured body (JSON, form, XML) that does not read as its type.
    BodyMalformed = "body-malformed",
    /// A structured body nested deeper than the limit.
    BodyTooDeep = "body-too-deep",
}

/// The anomalies of one exchange, each once, in order of code.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnomalySet(SmallVec<[Anomaly; 4]>);

impl AnomalySet {
    /// Adds one; a second time changes nothing.
    pub fn insert(&mut self, anomaly: Anomaly) {
        if let Err(at) = self.0.binary_search(&anomaly) {
            self.0.insert(at, anomaly);
        }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &AnomalySet) {
        other.iter().for_each(|a| self.insert(a));
    }

    /// True where it holds `anomaly`.
    pub fn contains(&self, anomaly: Anomaly) -> bool {
        self.0.binary_search(&anomaly).is_ok()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets one of them.
    pub fn remove(&mut self, anomaly: Anomaly) {
        self.0.retain(|a| *a != anomaly);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Anomaly> + '_ {
        self.0.iter().copied()
    }
}
