//! Tests that no single crate can hold: the torture messages of the RFCs, and the rules of the project itself. All of
//! them build into one test binary. The programs beside it in `peers/` put real peers in front of and behind `strowger`.

#[cfg(test)]
mod tidy;
