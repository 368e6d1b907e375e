//! The server on the simulated runtime: what its observers see, how upgrades are decided and plain HTTP
//! is answered, its deadlines and limits, its registry, and how it stops.

mod client_observer;
mod clients;
mod connecting;
mod deadlines;
mod fronts;
mod histograms;
mod hosts;
mod http;
mod listening;
mod log;
mod observer;
mod on_upgrade;
mod page;
mod reaching;
mod reconnecting;
mod requests;
mod resolving;
mod serving;
mod spawned;
mod stopping;
