//! The controller with a real hub and a real folder.

#[cfg(test)]
mod it {
    mod apply;
    mod controller;
    mod trouble;
    mod world;
}
