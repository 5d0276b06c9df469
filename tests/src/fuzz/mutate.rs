//! Changes to inputs: what a fuzzer does without feedback from the program.

/// What parsers stumble over.
const WORDS: &[&str] = &[
    "..",
    "/",
    "//",
    "\\",
    "%2f",
    "%2e",
    "%00",
    "%",
    "@",
    ":",
    ";",
    "=",
    "\"",
    "'",
    "<",
    ">",
    "&",
    "&amp;",
    "&#x0;",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?x?>",
    "<!DOCTYPE a>",
    "xmlns:samlp=\"\"",
    "ID=\"_seed-1\"",
    "IsPassive=\"true\"",
    "#",
    "?",
    "\t",
    "\n",
    "\r",
    "\0",
    "\u{a0}",
    "\u{202e}",
    "\u{ff0f}",
    ".",
    ",",
    "true",
    "false",
    "null",
    "{}",
    "[]",
    "\"alg\"",
    "none",
    "HS256",
    "\x01",
    "\x02",
    "1.",
    "https://",
    "evil.example",
    "app.example.com",
    "SAMLRequest=",
    "RelayState=",
    "SigAlg=",
    "Signature=",
    "&SAMLResponse=",
];

/// Makes inputs from seeds. The same number makes the same inputs.
pub struct Mutator(u64);

impl Mutator {
    /// Begins with `number`.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// xorshift64* (Marsaglia 2003, Vigna 2016); below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or(0) % bound.max(1)
    }

    /// A seed with a few changes.
    pub fn input(&mut self, seeds: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut data = seeds[self.below(seeds.len())].1.clone();
        for _ in 0..=self.below(4) {
            self.change(&mut data, seeds);
        }
        data
    }

    fn change(&mut self, data: &mut Vec<u8>, seeds: &[(String, Vec<u8>)]) {
        let at = self.below(data.len() + 1);
        let end = (at + 1 + self.below(12)).min(data.len());
        match self.below(8) {
            0 if at < data.len() => data[at] ^= 1 << self.below(8),
            1 if at < data.len() => data[at] = u8::try_from(self.below(256)).unwrap_or(0),
            2 => drop(data.drain(at..end.max(at))),
            3 => {
                let part = data[at..end.max(at)].to_vec();
                drop(data.splice(at..at, part));
            }
            4 | 5 => drop(data.splice(at..at, WORDS[self.below(WORDS.len())].bytes())),
            6 => {
                let other = &seeds[self.below(seeds.len())].1;
                let from = self.below(other.len() + 1);
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
            _ => drop(data.splice(at..end.max(at), WORDS[self.below(WORDS.len())].bytes())),
        }
    }
}
