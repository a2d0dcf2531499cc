//! The planner: scripts with their transcripts, and properties.

#[cfg(test)]
mod it {
    mod azure;
    mod configurations;
    mod drift;
    mod idempotence;
    mod knowing;
    mod markdown;
    mod mend;
    mod rollout;
    mod rules;
    mod scale;
    mod schema;
    mod script;
    mod scripts;
    mod state;
}
