//! Tests of the query crate, as one binary. Mostly tables: the worked examples of the reference, and messages.

#[path = "it/allocation.rs"]
mod allocation;
#[path = "it/bodies.rs"]
mod bodies;
#[path = "it/conditions.rs"]
mod conditions;
#[path = "it/messages.rs"]
mod messages;
#[path = "it/naive.rs"]
mod naive;
#[path = "it/properties.rs"]
mod properties;
#[path = "it/queries.rs"]
mod queries;
#[path = "it/reference_functions.rs"]
mod reference_functions;
#[path = "it/reference_queries.rs"]
mod reference_queries;
#[path = "it/reference_routes.rs"]
mod reference_routes;
#[path = "it/reference_twins.rs"]
mod reference_twins;
#[path = "it/route_expressions.rs"]
mod route_expressions;
#[path = "it/routes.rs"]
mod routes;
#[path = "it/targets.rs"]
mod targets;
#[path = "it/whole_texts.rs"]
mod whole_texts;
