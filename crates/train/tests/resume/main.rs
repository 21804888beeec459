//! A run that was ended anywhere and resumed ends with the bytes of one that was not.

mod damage;
mod exact;
mod failure;
mod killed;
mod overflow;
mod refusal;
mod world;
