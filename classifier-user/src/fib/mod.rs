//! From routes to FIB words: [`classes`] gives each owner a class, [`writer`] turns prefixes and classes into the
//! words that the kernel reads (`classifier_common::fib`).
