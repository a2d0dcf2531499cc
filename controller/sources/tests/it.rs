//! Sources against real folders and real repositories.

#[cfg(test)]
mod it {
    mod directory;
    mod faults;
    mod forge;
    mod git;
    mod http;
    mod https;
    mod repository;
    mod server;
    mod several;
    mod signature;
    mod ssh;
    mod sshd;
    mod status;
}
