//! The hub core from outside: events in, effects out.

#[cfg(test)]
mod it {
    mod access;
    mod certificates;
    mod changes;
    mod cloud_model;
    mod cloud_to_device;
    mod disk;
    mod identities;
    mod methods;
    mod model;
    mod queries;
    mod routing;
    mod sessions;
    mod twins;
    mod wills;
    mod world;
}
