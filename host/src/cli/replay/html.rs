//! The report as a page of its own, for somebody who decides whether the candidate comes into force: no script, no
//! other file, nothing that is fetched. Everything that comes from a recording is escaped; a page that says
//! `default-src 'none'` would run nothing even so.

use crate::replay::{FaultRow, GroupRow, Moved, Report, Row, counted};

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.4rem .7rem;border-bottom:1px solid #8886}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.verdict{font-size:1.15rem;padding:.8rem 1rem;\
border-left:.4rem solid #b45309;background:#b453091a}.same{border-color:#15803d;background:#15803d1a}\
.strong{font-weight:600}.note{opacity:.8}code{font-size:.85em;overflow-wrap:anywhere}";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Page(String::new());
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    page.raw(
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>What the candidate would change</title>\n",
    );
    page.raw("<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n<h1>What the candidate would change</h1>\n");
    page.verdict(report);
    page.counts(report);
    page.groups(&report.groups);
    page.rows("People who would no longer get in", &report.denied);
    page.rows("People who would get in, and did not", &report.admitted);
    page.rows("People who would be sent elsewhere, or asked for more, or no longer", &report.elsewhere);
    page.rows("People who would still not get in, for another reason", &report.otherwise);
    page.faults(&report.faults);
    page.basis(report);
    page.raw("</body>\n</html>\n");
    page.0
}

/// HTML in the making: what is not written here as a constant is escaped.
struct Page(String);

impl Page {
    fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // A name may turn the rest of the line around (Unicode TR36 §3).
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    fn number(&mut self, number: impl ToString) -> &mut Self {
        self.text(&number.to_string())
    }

    fn verdict(&mut self, report: &Report) {
        let counts = &report.counts;
        if report.same {
            self.raw("<p class=\"verdict same\">Nothing changes: the candidate decides each of the ");
            self.number(counts.decisions).raw(" recorded decisions as it was decided.</p>\n");
            return;
        }
        let decisions = counted(counts.decisions, "recorded decision", "recorded decisions");
        self.raw("<p class=\"verdict\">Of ").text(&decisions).raw(", ");
        self.number(counts.decisions.saturating_sub(counts.unchanged)).raw(" would come out otherwise.</p>\n");
    }

    fn counts(&mut self, report: &Report) {
        let counts = &report.counts;
        if !report.same {
            self.raw(
                "<p class=\"note\">One decision may count in several lines: who is denied has no groups, either.</p>\n",
            );
        }
        self.raw("<table>\n<tr><th>What would change</th><th class=\"n\">Decisions</th></tr>\n");
        let rows = [
            ("denied", counts.denied),
            ("admitted", counts.admitted),
            ("sent elsewhere, asked for more, or no longer", counts.elsewhere),
            ("denied for another reason", counts.otherwise),
            ("other groups", counts.groups),
            ("another profile (name, address, attributes)", counts.profiles),
            ("another session (how long it lasts)", counts.terms),
            ("a policy of the candidate fails", counts.faults),
        ];
        for (what, count) in rows {
            self.raw("<tr><td>").text(what).raw("</td><td class=\"n\">").number(count).raw("</td></tr>\n");
        }
        self.raw("</table>\n");
    }

    fn groups(&mut self, rows: &[GroupRow]) {
        if rows.is_empty() {
            return;
        }
        self.raw("<h2>Groups that somebody would gain or lose</h2>\n<p class=\"note\">The most powerful first: ");
        self.raw("protected groups (1000), then those that few people have (999 is nobody, 0 is everybody).</p>\n");
        self.raw("<table>\n<tr><th>Group</th><th>Application</th><th class=\"n\">Power</th><th>Gained by</th>");
        self.raw("<th>Lost by</th></tr>\n");
        for row in rows {
            self.raw("<tr><td class=\"strong\">").text(&row.group);
            self.raw("</td><td>").text(&row.application);
            self.raw("</td><td class=\"n\">").number(row.power);
            if row.protected {
                self.raw(" (protected)");
            }
            self.raw("<br><span class=\"note\">").number(row.holders).raw(" of ");
            self.text(&counted(row.of, "person", "people")).raw(" had it</span></td><td>").moved(&row.gained);
            self.raw("</td><td>").moved(&row.lost).raw("</td></tr>\n");
        }
        self.raw("</table>\n");
    }

    fn rows(&mut self, title: &'static str, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        self.raw("<h2>").raw(title).raw("</h2>\n<table>\n<tr><th>Application</th><th>Before</th><th>Then</th>");
        self.raw("<th>Who</th></tr>\n");
        for row in rows {
            self.raw("<tr><td>").text(&row.application);
            self.raw("</td><td>").text(&row.from);
            self.raw("</td><td>").text(&row.to);
            self.raw("</td><td>").moved(&row.moved).raw("</td></tr>\n");
        }
        self.raw("</table>\n");
    }

    fn moved(&mut self, moved: &Moved) -> &mut Self {
        if moved.logins == 0 {
            return self.raw("nobody");
        }
        if moved.people > 0 {
            self.text(&counted(moved.people, "person", "people")).raw(", ");
        }
        self.text(&counted(moved.logins, "login", "logins"));
        for (index, person) in moved.who.iter().enumerate() {
            self.raw(if index == 0 { "<br><span class=\"note\">" } else { ", " }).text(&person.to_string());
        }
        if !moved.who.is_empty() {
            let unnamed = moved.people.saturating_sub(moved.who.len());
            if unnamed > 0 {
                self.raw(" and ").number(unnamed).raw(" more");
            }
            self.raw("</span>");
        }
        self
    }

    fn faults(&mut self, rows: &[FaultRow]) {
        if rows.is_empty() {
            return;
        }
        self.raw("<h2>Where a policy of the candidate fails</h2>\n<p class=\"note\">Whoever meets a failure is ");
        self.raw("denied.</p>\n<table>\n<tr><th>Application</th><th>Policy</th><th>Failure</th>");
        self.raw("<th class=\"n\">Decisions</th><th class=\"n\">Failed before</th><th>Example</th></tr>\n");
        for row in rows {
            self.raw("<tr><td>").text(&row.application);
            self.raw("</td><td>").text(&row.policy);
            if let Some(hook) = row.hook {
                self.raw(" at ").text(hook.name());
            }
            self.raw("</td><td>").text(&row.code).raw("<br><span class=\"note\">").text(&row.detail);
            self.raw("</span></td><td class=\"n\">").number(row.decisions);
            self.raw("</td><td class=\"n\">").number(row.before);
            self.raw("</td><td><code>").text(&row.example).raw("</code></td></tr>\n");
        }
        self.raw("</table>\n");
    }

    fn basis(&mut self, report: &Report) {
        let read = &report.recording;
        self.raw("<h2>What this rests on</h2>\n<p>").text(&counted(read.logins, "decision", "decisions"));
        self.raw(" of logins and ").text(&counted(read.ways, "choice", "choices")).raw(" of a way, in ");
        self.text(&counted(read.files.len(), "file", "files")).raw(". Nothing in force was changed.</p>\n");
        if read.dropped > 0 {
            self.raw("<p class=\"strong\">").number(read.dropped);
            self.raw(" decisions were never recorded, since more came than could be written.</p>\n");
        }
        if read.damaged > 0 {
            self.raw("<p class=\"strong\">").number(read.damaged);
            self.raw(" places of the recording are not as they were written, and were left out.</p>\n<ul>\n");
            for damage in &read.damage {
                self.raw("<li>").text(&damage.to_string()).raw("</li>\n");
            }
            self.raw("</ul>\n");
        }
        if report.counts.looked_up > 0 {
            self.raw("<p>For ").number(report.counts.looked_up);
            self.raw(" decisions an account was looked for as it is now.</p>\n");
        }
        if !read.redacted.is_empty() {
            let names: Vec<&str> = read.redacted.iter().map(String::as_str).collect();
            self.raw("<p>Pseudonyms stand for: ").text(&names.join(", ")).raw(".</p>\n");
        }
        self.raw("<table>\n<tr><th>Policy asked</th><th>Version</th><th>Component</th><th>Settings</th></tr>\n");
        for policy in &report.candidate {
            self.raw("<tr><td>").text(&policy.name).raw("</td><td>").text(&policy.version);
            self.raw("</td><td><code>").text(&policy.component).raw("</code></td><td><code>");
            self.text(&policy.settings).raw("</code></td></tr>\n");
        }
        self.raw("</table>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text_and_nothing_else() {
        let mut page = Page(String::new());
        page.text("<script>alert('a&b')</script>\"\u{202e}gpj.exe");
        assert_eq!(page.0, "&lt;script&gt;alert(&#39;a&amp;b&#39;)&lt;/script&gt;&quot;\u{fffd}gpj.exe");
    }
}
