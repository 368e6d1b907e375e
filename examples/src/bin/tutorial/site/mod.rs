//! What parts 2 and 3 of the tutorial share: the login, and the rooms.

pub mod login;
pub mod room;
