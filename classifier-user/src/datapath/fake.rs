//! A datapath in memory.
