//! Checks worlds and says how large they are.
//!
//! ```text
//! cargo run --release -p lambel-model --example check              # the worlds of the tests
//! cargo run --release -p lambel-model --example check -- --large   # also worlds of millions of states
//! cargo run --release -p lambel-model --example check -- votes     # these
//! ```
//!
//! It fails if a property is broken, and shows the steps that break it.

use std::process::ExitCode;

use lambel_model::{protocol::Protocol, report::check, worlds};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let large = wanted.iter().any(|word| word == "--large");
    let names: Vec<&String> = wanted.iter().filter(|word| !word.starts_with("--")).collect();
    let is_wanted = |name: &str| names.iter().any(|wanted| *wanted == name);
    let known = || worlds::SMALL.iter().chain(worlds::LARGE).chain([&worlds::TORN]);
    if let Some(unknown) = names.iter().find(|name| known().all(|world| world.name != name.as_str())) {
        let all: Vec<&str> = known().map(|world| world.name).collect();
        return Err(format!("there is no world `{unknown}`; there are {}", all.join(", ")).into());
    }
    let chosen = known().filter(|world| match names.is_empty() {
        true => worlds::SMALL.iter().any(|small| small.name == world.name) || large && world.name != worlds::TORN.name,
        false => is_wanted(world.name),
    });
    let mut all_hold = true;
    println!("{:14} {:>10} {:>10} {:>5} {:>7}", "world", "states", "steps", "depth", "seconds");
    for world in chosen {
        let report = check(&Protocol::new(*world)?);
        let seconds = report.time.as_secs_f32();
        println!("{:14} {:>10} {:>10} {:>5} {seconds:>7.1}", world.name, report.states, report.steps, report.depth);
        for broken in &report.broken {
            println!("{broken}");
            all_hold = false;
        }
    }
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
