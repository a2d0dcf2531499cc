//! Tests of the agent against real processes, sockets and engines, and of its decisions as tables.

#[cfg(test)]
mod it {
    mod adopt;
    mod agent;
    mod decide_model;
    mod decide_tables;
    mod docker;
    mod drift_tables;
    mod fake_hub;
    mod hands;
    mod health;
    mod process;
    mod rollback;
    mod tidy;
    mod trial_tables;
    mod workload;
}
