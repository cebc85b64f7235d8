//! Runs a fuzz target: for a moment in every test run, for as long as you like in `cargo xtask fuzz`.
//!
//! A target is a test whose name begins with `fuzz_`, beside the decoder that it tries, so that nothing has to be
//! public for it. Each crate with targets includes this file. What was found to be interesting lies in
//! `fuzz/corpus/TARGET`, one input a file; what the target itself names comes on top.

/// Tries a target with its seeds, with its corpus, and with what can be made of them.
#[cfg(not(fuzzing))]
pub(crate) fn fuzz(target: &str, seeds: &[Vec<u8>], check: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.sort();
    let corpus = files.iter().map(|file| std::fs::read(file).expect("a corpus can be read"));
    let inputs: Vec<Vec<u8>> = seeds.iter().cloned().chain(corpus).collect();
    assert!(!inputs.is_empty(), "a target without a seed tries nothing");
    let try_one = |input: &[u8]| {
        let tried = std::panic::catch_unwind(|| check(input));
        if let Err(panic) = tried {
            eprintln!("{target} fails at {input:02x?}");
            std::panic::resume_unwind(panic);
        }
    };
    inputs.iter().for_each(|input| try_one(input));
    // The same in every run: what fails once fails again.
    let mut dice = mutation::Dice::new(target);
    for _ in 0..mutation::EXECUTIONS {
        try_one(&mutation::mutant(&inputs, &mut dice));
    }
}

/// Hands the target to libFuzzer, which ends the process; or only writes the seeds where it is told to.
#[cfg(fuzzing)]
#[expect(clippy::disallowed_methods, reason = "what `cargo xtask fuzz` says")]
pub(crate) fn fuzz(_target: &str, seeds: &[Vec<u8>], check: fn(&[u8])) {
    if let Some(folder) = std::env::var_os("PIXEL_PLAYGROUND_FUZZ_SEEDS") {
        for (number, seed) in seeds.iter().enumerate() {
            let file = std::path::Path::new(&folder).join(format!("seed-{number}"));
            std::fs::write(file, seed).expect("a seed is written");
        }
        return;
    }
    let arguments = std::env::var("PIXEL_PLAYGROUND_FUZZ_ARGUMENTS").expect("`cargo xtask fuzz` sets it");
    libfuzzer::run(&arguments, check);
}

/// The door to libFuzzer, which is C++.
#[cfg(fuzzing)]
#[expect(unsafe_code, reason = "libFuzzer is called, and calls back, as C is")]
mod libfuzzer {
    use std::ffi::{CString, c_char, c_int};
    use std::sync::OnceLock;

    static CHECK: OnceLock<fn(&[u8])> = OnceLock::new();

    unsafe extern "C" {
        fn LLVMFuzzerRunDriver(
            count: *mut c_int,
            arguments: *mut *mut *mut c_char,
            check: extern "C" fn(*const u8, usize) -> c_int,
        ) -> c_int;
    }

    /// What the bindings expect of a program with one target.
    #[expect(improper_ctypes_definitions, reason = "it is called by Rust, which knows slices")]
    #[unsafe(no_mangle)]
    extern "C" fn rust_fuzzer_test_input(input: &[u8]) -> c_int {
        CHECK.get().expect("it was set before the driver ran")(input);
        0
    }

    extern "C" fn check_one(data: *const u8, size: usize) -> c_int {
        // SAFETY: libFuzzer hands over so many bytes, which stay as they are during the call.
        let input = if size == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, size) } };
        rust_fuzzer_test_input(input)
    }

    pub(super) fn run(arguments: &str, check: fn(&[u8])) -> ! {
        CHECK.set(check).expect("a process runs one target");
        // A panic ends the process, so that libFuzzer keeps the input.
        libfuzzer_sys::initialize(std::ptr::null(), std::ptr::null());
        // The first of them is what it takes for its own name.
        let words = arguments.split(' ').map(|word| CString::new(word).expect("no NUL"));
        let words: Vec<CString> = words.collect();
        let mut pointers: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
        pointers.push(std::ptr::null_mut());
        let (mut count, mut pointer) = (words.len() as c_int, pointers.as_mut_ptr());
        // SAFETY: as many pointers to strings as are counted, and a null behind them, as `main` gets them.
        let code = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut pointer, check_one) };
        std::process::exit(code)
    }
}

/// Inputs made of others, without knowing what the target makes of them.
#[cfg(not(fuzzing))]
mod mutation {
    /// Tries of a target in a test run.
    pub(super) const EXECUTIONS: u32 = 5_000;
    /// Changes to one input at most.
    const CHANGES_MAX: u64 = 6;
    /// Bytes of an input at most.
    const INPUT_BYTES_MAX: usize = 4_096;
    /// Bytes that decoders tend to take for something else.
    const TELLING: [u8; 10] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b',', b' ', b'\n'];

    /// Random numbers that come again (SplitMix64).
    pub(super) struct Dice(u64);

    impl Dice {
        pub(super) fn new(name: &str) -> Self {
            Self(name.bytes().fold(0, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into())))
        }

        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }

        /// One of so many; zero of none.
        fn below(&mut self, count: usize) -> usize {
            (self.next() % count.max(1) as u64) as usize
        }
    }

    pub(super) fn mutant(inputs: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
        let mut input = inputs[dice.below(inputs.len())].clone();
        for _ in 0..=dice.next() % CHANGES_MAX {
            let at = dice.below(input.len());
            match dice.below(7) {
                0 if !input.is_empty() => input[at] ^= 1 << dice.below(8),
                1 if !input.is_empty() => input[at] = TELLING[dice.below(TELLING.len())],
                2 => input.truncate(at),
                3 if !input.is_empty() => {
                    let end = (at + 1 + dice.below(8)).min(input.len());
                    input.drain(at..end);
                }
                4 if !input.is_empty() => {
                    let end = (at + 1 + dice.below(16)).min(input.len());
                    let again = input[at..end].to_vec();
                    input.splice(at..at, again);
                }
                5 => {
                    let random = dice.next().to_le_bytes();
                    input.splice(at..at, random[..=dice.below(random.len())].iter().copied());
                }
                _ => {
                    let other = &inputs[dice.below(inputs.len())];
                    let from = dice.below(other.len());
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }
}
