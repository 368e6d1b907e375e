//! Who has seen a log up to a place: what comes next, what is old, and what is missing. No clock and no task.

use super::position::{LogEntry, LogEvent, LogRange, Position};
use crate::cluster::envelope;

/// What an entry that was published is to who has seen a log up to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Place {
    /// The next one.
    Next,
    /// One that was seen.
    Old,
    /// One behind others that were not seen, or of another epoch: the log is to be read.
    Ahead,
}

impl Place {
    pub(in crate::cluster) fn of(position: Position, seen: Position) -> Self {
        if position.epoch != seen.epoch {
            // An older epoch, too: what is behind the place of the new one is in the log.
            return Self::Ahead;
        }
        match position.offset {
            offset if offset <= seen.offset => Self::Old,
            offset if offset == seen.offset + 1 => Self::Next,
            _ => Self::Ahead,
        }
    }
}

/// What a part of a log brings to who has seen it up to a place.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Followed {
    pub(in crate::cluster) events: Vec<LogEvent>,
    /// The place up to which it is seen then.
    pub(in crate::cluster) seen: Position,
    /// Whether that is the end.
    pub(in crate::cluster) is_at_end: bool,
}

/// Goes on from a place by a part of the log that was read behind it.
pub(in crate::cluster) fn follow(mut seen: Position, range: LogRange) -> Followed {
    let LogRange { end, entries } = range;
    let mut events = Vec::new();
    if seen.epoch != end.epoch {
        // Where the entries begin, so that no gap is counted in front of them.
        let first = entries.first().map_or(end.offset, |entry| entry.offset - 1);
        seen = Position {
            epoch: end.epoch,
            offset: first,
        };
        events.push(LogEvent::Gap {
            position: seen,
            missed: None,
        });
    } else if seen.offset > end.offset {
        // No log of this epoch had that. It comes from a client.
        seen = end;
        events.push(LogEvent::Gap {
            position: seen,
            missed: None,
        });
    }
    let is_empty = entries.is_empty();
    for LogEntry { offset, entry } in entries {
        if offset <= seen.offset || offset > end.offset {
            continue;
        }
        skip(&mut seen, offset - 1, &mut events);
        seen.offset = offset;
        match envelope::decode_entry(entry) {
            Ok(message) => events.push(LogEvent::Message {
                position: seen,
                message,
            }),
            // A stranger wrote it. It is as good as missing.
            Err(_) => events.push(LogEvent::Gap {
                position: seen,
                missed: Some(1),
            }),
        }
    }
    if is_empty {
        skip(&mut seen, end.offset, &mut events);
    }
    let is_at_end = seen.offset >= end.offset;
    Followed {
        events,
        seen,
        is_at_end,
    }
}

/// Goes on to an offset; what lies between is missing.
fn skip(seen: &mut Position, offset: u64, events: &mut Vec<LogEvent>) {
    let missed = offset.saturating_sub(seen.offset);
    if missed > 0 {
        seen.offset = offset;
        events.push(LogEvent::Gap {
            position: *seen,
            missed: Some(missed),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::envelope::encode_entry;
    use crate::id::cluster::NodeId;
    use ws_proto::Message;

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch, offset }
    }

    fn empty(end: Position) -> LogRange {
        LogRange {
            end,
            entries: Vec::new(),
        }
    }

    fn range(end: Position, offsets: std::ops::RangeInclusive<u64>) -> LogRange {
        let entries = offsets.map(|offset| LogEntry {
            offset,
            entry: encode_entry(NodeId(1), offset, &Message::from(offset.to_string())),
        });
        LogRange {
            end,
            entries: entries.collect(),
        }
    }

    /// The events in short: offsets, and gaps as what is missing.
    fn short(followed: &Followed) -> Vec<String> {
        let short = |event: &LogEvent| match event {
            LogEvent::Message { position, message } => {
                assert_eq!(message.as_text(), Some(&*position.offset.to_string()));
                position.offset.to_string()
            }
            LogEvent::Gap { position, missed } => format!("{missed:?} to {}", position.offset),
            LogEvent::Start { .. } => unreachable!("nobody starts"),
        };
        followed.events.iter().map(short).collect()
    }

    #[test]
    fn an_entry_is_next_old_or_ahead() {
        let seen = at(3, 5);
        for (position, place) in [
            (at(3, 6), Place::Next),
            (at(3, 5), Place::Old),
            (at(3, 1), Place::Old),
            (at(3, 7), Place::Ahead),
            (at(4, 6), Place::Ahead),
            (at(2, 6), Place::Ahead),
        ] {
            assert_eq!(Place::of(position, seen), place, "{position}");
        }
    }

    /// Whatever a log has kept, who follows it gets each entry once and in order, and each that is missing is counted.
    #[test]
    fn what_is_kept_comes_once_and_what_is_not_is_a_gap() {
        let cases = [
            (
                at(1, 2),
                range(at(1, 4), 3..=4),
                vec!["3", "4"],
                at(1, 4),
                true,
            ),
            (
                at(1, 2),
                range(at(1, 9), 3..=4),
                vec!["3", "4"],
                at(1, 4),
                false,
            ),
            (at(1, 4), empty(at(1, 4)), vec![], at(1, 4), true),
            (at(1, 0), empty(at(1, 0)), vec![], at(1, 0), true),
            (
                at(1, 2),
                range(at(1, 9), 8..=9),
                vec!["Some(5) to 7", "8", "9"],
                at(1, 9),
                true,
            ),
            (
                at(1, 2),
                empty(at(1, 9)),
                vec!["Some(7) to 9"],
                at(1, 9),
                true,
            ),
            (
                at(1, 2),
                range(at(2, 2), 1..=2),
                vec!["None to 0", "1", "2"],
                at(2, 2),
                true,
            ),
            (
                at(1, 2),
                range(at(2, 9), 8..=9),
                vec!["None to 7", "8", "9"],
                at(2, 9),
                true,
            ),
            (at(1, 2), empty(at(2, 0)), vec!["None to 0"], at(2, 0), true),
            (at(1, 2), empty(at(2, 5)), vec!["None to 5"], at(2, 5), true),
            (at(1, 7), empty(at(1, 5)), vec!["None to 5"], at(1, 5), true),
            (
                at(1, 2),
                range(at(1, 4), 1..=4),
                vec!["3", "4"],
                at(1, 4),
                true,
            ),
        ];
        for (seen, range, events, end, is_at_end) in cases {
            let followed = follow(seen, range);
            assert_eq!(short(&followed), events, "from {seen}");
            assert_eq!(
                (followed.seen, followed.is_at_end),
                (end, is_at_end),
                "from {seen}"
            );
        }
    }

    /// A log in which a stranger deleted and wrote is followed to its end.
    #[test]
    fn a_log_with_holes_is_followed() {
        let mut holes = range(at(1, 9), 3..=9);
        holes.entries.remove(2);
        holes.entries[3].entry = bytes::Bytes::from_static(b"?");
        let followed = follow(at(1, 2), holes);
        let expected = ["3", "4", "Some(1) to 5", "6", "Some(1) to 7", "8", "9"];
        assert_eq!(short(&followed), expected);
        assert!(followed.is_at_end);
    }
}
