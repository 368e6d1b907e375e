//! A connection as somebody drives it who knows its pages and nothing else: any call in any order. What the
//! pages say always holds, never happens, or holds until something else does, is asked after each call;
//! beside that stand the shortest lists of calls for which it once was not so.

mod control_frames;
mod driver;
mod ends;
mod promises;
mod reasons;
mod shapes;
