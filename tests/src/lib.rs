//! Tests that belong to no single crate: the torture messages of the RFCs, and the rules of the project itself. All of them
//! build into one test binary. The programs in `peers/` put real peers in front of and behind `strowger`.

#[cfg(test)]
mod tags_of_records;
#[cfg(test)]
mod tidy;
