//! What holds of the domain for every input.

mod canvas;
mod chunk;
mod cooldown;
mod geometry;
mod history;
mod replica;
mod text;
