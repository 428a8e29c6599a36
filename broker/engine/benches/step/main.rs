//! What one cycle of the engine costs in instructions, counted by valgrind: the same on every machine, and flat
//! from one live invocation to a million.
//!
//! `cargo xtask steps` fetches what that needs and runs it.
//!
//! A benchmark runs [`CYCLES`] cycles. The command fails if a cycle at a million costs more than 1.2 times what it costs
//! at a thousand (design.md section 10).

mod house;

use std::hint::black_box;

use gungraun::prelude::*;
use house::House;

const CYCLES: u32 = 1_000;

/// Live invocations, functions, workers.
fn house(live: u32, functions: u32, workers: u32) -> House {
    House::new(live, functions, workers)
}

#[library_benchmark(setup = house)]
#[bench::live_1(1, 1, 1)]
#[bench::live_1_000(1_000, 1, 1)]
#[bench::live_100_000(100_000, 1, 1)]
#[bench::live_1_000_000(1_000_000, 1, 1)]
#[bench::workers_10_000(1_000, 1, 10_000)]
#[bench::functions_10_000(1_000, 10_000, 10_000)]
fn sync(mut house: House) -> House {
    for _ in 0..CYCLES {
        house.sync_cycle();
    }
    black_box(house)
}

#[library_benchmark(setup = house)]
#[bench::live_1(1, 1, 1)]
#[bench::live_1_000(1_000, 1, 1)]
#[bench::live_100_000(100_000, 1, 1)]
#[bench::live_1_000_000(1_000_000, 1, 1)]
#[bench::workers_10_000(1_000, 1, 10_000)]
#[bench::functions_10_000(1_000, 10_000, 10_000)]
fn event(mut house: House) -> House {
    for _ in 0..CYCLES {
        house.event_cycle();
    }
    black_box(house)
}

library_benchmark_group!(name = cycles, benchmarks = [sync, event]);
main!(library_benchmark_groups = cycles);
