//! A run that was ended anywhere and resumed ends with the bytes of one that was not.

mod damage;
mod exact;
mod failure;
mod held_out;
mod killed;
mod log;
mod overflow;
mod pruned;
mod refusal;
mod world;
