//! Wire shapes: tables of what clients really send, and properties of printing and parsing.

#[cfg(test)]
mod it {
    mod bag;
    mod blob;
    mod connection_string;
    mod errors;
    mod sas;
    mod topics;
}
