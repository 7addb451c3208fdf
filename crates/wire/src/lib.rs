//! Pure decoders: HTTP/1, content codings, body tokens, forwarding headers.
