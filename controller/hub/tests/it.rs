//! The hub over real sockets and real files.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod it {
    mod admission;
    mod certificates;
    mod cloud_to_device;
    mod door;
    mod files;
    mod pki;
    mod readers;
    mod rest;
    mod sessions;
    mod slow;
    mod stop;
    mod store;
    mod store_topics;
    mod topics;
    mod upstream;
    mod websocket;
    mod wills;
    mod wire;
    mod world;
}
