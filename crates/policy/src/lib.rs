//! Rules over verdicts: responses, allow lists, time to live.
