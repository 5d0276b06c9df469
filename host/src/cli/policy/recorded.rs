//! `vestibule policy test --recorded`: what was asked in real logins.

use std::path::Path;

use crate::{
    cli::{
        output::{Exit, Failure, Output},
        replay::open,
    },
    policy::{CORPUS_INPUTS_MAX, Corpus},
    recording::{Damage, Entry, Range, Reader, RecordingError},
};

/// Reads the recording that the configuration at `config` names. What was cut or forged is refused.
pub(super) fn read(config: &Path, range: Range, output: &Output) -> Result<Corpus, Failure> {
    let (_, recording, keys) = open(config)?;
    output.progress(&format!("reading the recording in {}", recording.directory.display()));
    let unreadable = |error: RecordingError| Failure::new(Exit::File, &error);
    let damaged =
        |damage: &Damage| Failure::text(Exit::Failed, format!("the recording is not as it was written: {damage}"));
    let mut reader = Reader::open(&recording.directory, &keys, range).map_err(unreadable)?;
    let mut corpus = Corpus::default();
    while let Some(batch) = reader.next_batch().map_err(unreadable)? {
        for line in &batch.lines {
            match line.open(&keys).map_err(|damage| damaged(&damage))? {
                Entry::Login(decided) if range.has(decided.asked.context.at) => {
                    let digest = decided.found.known.as_ref();
                    let known = digest.and_then(|digest| batch.known.get(digest));
                    corpus.login(&decided, known.map(|known| &**known));
                    let application = &decided.asked.context.application;
                    reader.recipe(&decided.generation, application).into_iter().for_each(|it| corpus.recipe(it));
                }
                Entry::Way(chosen) if range.has(chosen.context.at) => {
                    corpus.way(&chosen);
                    let application = &chosen.context.application;
                    reader.recipe(&chosen.generation, application).into_iter().for_each(|it| corpus.recipe(it));
                }
                _ => {}
            }
        }
    }
    if let Some(damage) = reader.summary().damage.first() {
        return Err(damaged(damage));
    }
    if corpus.is_empty() {
        let message = format!(
            "the recording in {} has no decision of this period: nothing would be asked",
            recording.directory.display()
        );
        return Err(Failure::text(Exit::Failed, message));
    }
    let redacted: Vec<&str> = reader.summary().redacted.iter().map(String::as_str).collect();
    if !redacted.is_empty() {
        output.progress(&format!("pseudonyms stand for {}", redacted.join(", ")));
    }
    if corpus.left_out() > 0 {
        let left_out = corpus.left_out();
        output.progress(&format!(
            "{left_out} older inputs are left out: {CORPUS_INPUTS_MAX} of each hook are asked about"
        ));
    }
    Ok(corpus)
}
