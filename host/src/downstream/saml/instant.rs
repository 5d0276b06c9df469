//! `xs:dateTime` as SAML has it: UTC (SAML Core §1.3.3).

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// `seconds` since 1970-01-01 UTC, as text.
pub(super) fn format(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|instant| instant.format(&Rfc3339).ok())
        // Past the year 9999 there is no such text; the epoch has always passed.
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

/// None where the text is no moment, or names no time zone.
pub(super) fn parse(text: &str) -> Option<u64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().and_then(|instant| u64::try_from(instant.unix_timestamp()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        assert_eq!(format(1_800_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(parse("2027-01-15T08:00:00Z"), Some(1_800_000_000));
        assert_eq!(parse("2027-01-15T08:00:00.123Z"), Some(1_800_000_000));
        assert_eq!(parse("2027-01-15T09:00:00+01:00"), Some(1_800_000_000));
        for text in ["", "2027-01-15T08:00:00", "2027-01-15", "now", "-0001-01-15T08:00:00Z", "1960-01-01T00:00:00Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(format(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
