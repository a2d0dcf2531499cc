//! SDKs dial fixed ports (8883, 443), so a test that runs one needs an address of its own instead of a port of its own.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU8, Ordering},
};

static NEXT: AtomicU8 = AtomicU8::new(2);

/// A loopback address (127.x.y.z) on which nobody listens on 8883, 443 and 8443: free for one test.
///
/// # Panics
/// When 250 addresses in a row are taken.
#[must_use]
pub fn loopback() -> Ipv4Addr {
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    for _ in 0..250 {
        let last = NEXT.fetch_add(1, Ordering::Relaxed).clamp(2, 254);
        let address = Ipv4Addr::new(127, high.clamp(1, 250), low, last);
        let free = |port| TcpListener::bind((address, port)).is_ok();
        if free(8883) && free(8443) {
            return address;
        }
    }
    panic!("no free loopback address");
}
