//! One process of Pixel Playground: reads the configuration, wires the services, waits, drains.

mod address;
mod clock;
mod config;
mod gateway;
mod frontend;
mod identity;
mod listen;
mod negotiation;
mod origin;
mod placing;
mod refusal;
mod telemetry;
mod tls;

fn main() {}
