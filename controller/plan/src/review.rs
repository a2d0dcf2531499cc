//! All that a reviewer is told about a change, gathered once: plan, forecast, policy, findings, notes. Every printed form
//! is made from this value, so none of them knows more than another.

use hemline_model::{Finding, Severity, document::API_VERSION, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FleetState, Forecast, Plan, SealedPlan, Verdict};

/// Everything there is to say about a plan.
#[derive(Debug, Clone, Default)]
pub struct Review {
    /// What would be done.
    pub plan: Plan,
    /// What it means.
    pub forecast: Forecast,
    /// What a policy says to it.
    pub verdict: Verdict,
    /// What is wrong with the documents; no errors, or there would be no plan.
    pub findings: Vec<Finding>,
    /// What the reader should know about how the plan was made, a sentence each.
    pub notes: Vec<String>,
}

/// The machine-readable form: `hem plan --format json`. Its schema is `schemas/plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    title = "Plan",
    description = "What a change of documents does to a fleet, as `hem plan --format json` prints it."
)]
pub struct PlanDocument {
    /// `hemline.dev/v1alpha1`.
    pub api_version: String,
    /// `Plan`.
    pub kind: String,
    /// What would be done.
    #[serde(flatten)]
    pub plan: Plan,
    /// `sha256:…` over revisions and actions.
    pub digest: String,
    /// What it means for what runs.
    pub forecast: Forecast,
    /// What the policy of the command line says to it.
    pub policy: Verdict,
    /// Warnings about the documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Complaint>,
    /// What to know about how the plan was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A finding without the line of its file, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Complaint {
    /// The rule, as `hem validate --explain` takes it.
    pub rule: String,
    /// `file:line:column`, when it has a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Review {
    /// What the plan alone says.
    #[must_use]
    pub fn of(plan: Plan) -> Self {
        Self { forecast: Forecast::of(&plan), plan, ..Self::default() }
    }

    /// Warnings of the documents; notes are not worth a reviewer's time.
    pub(crate) fn warnings(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.severity != Severity::Note).collect()
    }

    /// The machine-readable form.
    #[must_use]
    pub fn document(&self) -> PlanDocument {
        let complaint = |finding: &Finding| Complaint {
            rule: finding.rule.to_string(),
            at: finding.position.as_ref().map(ToString::to_string),
            message: finding.message.clone(),
        };
        PlanDocument {
            api_version: API_VERSION.to_owned(),
            kind: "Plan".to_owned(),
            plan: self.plan.clone(),
            digest: self.plan.digest(),
            forecast: self.forecast.clone(),
            policy: self.verdict.clone(),
            warnings: self.warnings().into_iter().map(complaint).collect(),
            notes: self.notes.clone(),
        }
    }

    /// The exit code of a command that only plans: 3 when a policy refuses, 2 for changes when the caller asked for
    /// detail, else 0.
    #[must_use]
    pub fn exit_code(&self, detailed: bool) -> u8 {
        if self.verdict.allows() { self.plan.exit_code(detailed) } else { 3 }
    }
}

/// The published schemas of what this crate prints: file name below `schemas/`, and text.
#[must_use]
pub fn schemas() -> Vec<(&'static str, String)> {
    vec![
        ("plan.json", schema::publish::<PlanDocument>("plan.json")),
        ("sealed-plan.json", schema::publish::<SealedPlan>("sealed-plan.json")),
        ("state.json", schema::publish::<FleetState>("state.json")),
    ]
}
