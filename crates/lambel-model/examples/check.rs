//! Checks worlds: `cargo run --release -p lambel-model --example check -- [world …]`.

use std::time::{Duration, Instant};

use lambel_model::{protocol::Protocol, worlds};
use stateright::{Checker, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for world in worlds::SMALL
        .iter()
        .chain([&worlds::TORN])
        .filter(|w| wanted.is_empty() || wanted.iter().any(|name| name == w.name))
    {
        let begin = Instant::now();
        let checker = Protocol::new(*world)?.checker().timeout(Duration::from_secs(120)).spawn_bfs().join();
        println!(
            "{:10} {:>9} states, {:>9} steps, depth {:>3}, {:.1} s, done {}",
            world.name,
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
            begin.elapsed().as_secs_f32(),
            checker.is_done()
        );
        for (name, path) in checker.discoveries() {
            println!("{name}:");
            for (step, action) in path.into_actions().into_iter().enumerate() {
                println!("  {}. {action:?}", step + 1);
            }
        }
    }
    Ok(())
}
