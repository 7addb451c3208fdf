//! Exploit attempts in requests and the evidence of their success.
