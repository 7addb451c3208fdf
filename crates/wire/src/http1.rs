//! HTTP/1.x messages (RFC 9112) as a bystander sees them: heads, body framing, chunked coding.
//!
//! A well-formed head is read by `httparse`; what that refuses is read line by line and noted as an anomaly, never lost.

mod amid;
mod chunked;
mod fields;
mod framing;
mod head;
mod probe;
mod tolerant;

pub use amid::{AmidLine, request_amid};
pub use chunked::{ChunkEnd, Chunked};
pub use fields::note_authority;
pub use framing::{Framing, Hints, request_framing, response_framing};
pub use head::{HeadLimits, Parsed, RequestHead, ResponseHead, head_end, request_head, response_head};
pub use probe::{
    LONGEST_KNOWN, Probe, begins_method, is_method, likely_request, likely_response, may_be_line,
    probe_request, probe_request_of_http, probe_response, trim_start,
};
pub use tolerant::trailer_fields;
