//! The hub core from outside: events in, effects out.

#[cfg(test)]
mod it {
    mod absent;
    mod access;
    mod authorization;
    mod bridges;
    mod certificates;
    mod chain;
    mod change_events;
    mod changes;
    mod cloud_model;
    mod cloud_to_device;
    mod disk;
    mod file_notices;
    mod files;
    mod identities;
    mod methods;
    mod model;
    mod nested;
    mod queries;
    mod routing;
    mod sessions;
    mod topics;
    mod topics_model;
    mod twins;
    mod upstream;
    mod whole_model;
    mod wills;
    mod world;
}
