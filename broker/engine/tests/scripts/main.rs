//! Owns the proof of the engine by scripts: each case under `cases/` says what happens and, indented below,
//! everything that the engine makes of it. `TRINE_UPDATE_SCRIPTS=1 cargo test -p trine-engine --test scripts`
//! writes the indented lines anew; the diff is what gets reviewed.

mod case;
mod coverage;
mod ledger;
mod names;
mod play;
mod text;
mod words;

use coverage::Seen;

macro_rules! files {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            case::run_file(stringify!($name));
        })+

        const FILES: &[&str] = &[$(stringify!($name)),+];
    };
}

files!(
    admission,
    asynchronous,
    attempts,
    cancel,
    capacity,
    delivery,
    fairness,
    functions,
    history,
    idempotency,
    redrive,
    rejection,
    restart,
    retries,
    shutdown,
    sync,
    time,
    views,
    workers,
);

#[test]
fn every_word_and_transition_of_the_engine_occurs() {
    let mut seen = Seen::default();
    FILES.iter().for_each(|file| case::watch_file(file, &mut seen));
    seen.judge();
}

#[test]
fn every_case_file_is_run() {
    let mut found: Vec<String> = std::fs::read_dir(case::folder())
        .expect("the folder of cases")
        .map(|file| file.expect("a case file").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let listed: Vec<String> = FILES.iter().map(|name| format!("{name}.txt")).collect();
    assert_eq!(found, listed);
}
