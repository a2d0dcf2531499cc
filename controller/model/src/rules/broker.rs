//! Rules about the policy for user-defined MQTT topics.

use super::{Rule, error, warning};

pub(super) const RULES: &[Rule] = &[
    error(
        "broker-identity",
        "A statement of the topic policy does not say whom it is about.",
        "The hub refuses the whole configuration of the device, routes included, rather than guess.",
        "Name devices as device, modules as device/module, or use one of the five variables.",
        "broker: {authorizations: [{identities: ['{{iot:identify}}'], allow: [{operations: ['mqtt:connect']}]}]}",
        "broker: {authorizations: [{identities: ['{{iot:identity}}'], allow: [{operations: ['mqtt:connect']}]}]}",
    ),
    error(
        "broker-operations",
        "A rule of the topic policy names no operation.",
        "It would never decide anything, and the hub refuses it.",
        "Name mqtt:connect, mqtt:publish or mqtt:subscribe.",
        "broker: {authorizations: [{identities: [d], allow: [{operations: []}, {operations: ['mqtt:connect']}]}]}",
        "broker: {authorizations: [{identities: [d], allow: [{operations: ['mqtt:connect']}]}]}",
    ),
    error(
        "broker-resource",
        "A rule of the topic policy names no topic, or one that is no MQTT filter.",
        "The hub refuses the whole configuration of the device, routes included, rather than guess.",
        "Write topic filters: `+` for one level, `#` for all below and last.",
        "broker: {authorizations: [{identities: [d], allow: [{operations: ['mqtt:connect', 'mqtt:publish'], resources: ['alerts/#/hot']}]}]}",
        "broker: {authorizations: [{identities: [d], allow: [{operations: ['mqtt:connect', 'mqtt:publish'], resources: ['alerts/+/hot']}]}]}",
    ),
    error(
        "broker-bridge",
        "A bridge leads nowhere, or names no topics.",
        "The hub refuses the whole configuration of the device, routes included, rather than guess.",
        "Use the endpoint $upstream, prefixes without wildcards, and a topic filter.",
        "broker: {bridges: [{endpoint: $parent, settings: []}]}",
        "broker: {bridges: [{endpoint: $upstream, settings: []}]}",
    ),
    warning(
        "broker-connect",
        "No rule of the topic policy allows mqtt:connect.",
        "What is not allowed is denied, and without this operation nobody gets as far as a topic.",
        "Allow it to those who use user-defined topics.",
        "broker: {authorizations: [{identities: [d], allow: [{operations: ['mqtt:publish'], resources: [alerts]}]}]}",
        "broker: {authorizations: [{identities: [d], allow: [{operations: ['mqtt:connect', 'mqtt:publish'], resources: [alerts]}]}]}",
    ),
];
