//! Sources against real folders and real repositories.

#[cfg(test)]
mod it {
    mod directory;
    mod git;
    mod http;
    mod repository;
}
