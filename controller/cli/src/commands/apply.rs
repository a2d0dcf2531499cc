//! `hem apply`: brings the fleet to what the documents say. The controller of the hub acts, for it is the only writer; this
//! command plans, asks, and says to it exactly what it agreed to.
//!
//! May be killed at any time and run again: before the controller has agreed nothing happened, and after it the controller
//! goes on by itself.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use hemline_plan::{Deny, SealedPlan};
use hemline_reconcile::{ApplyReply, ApplyRequest};
use reqwest::Method;

use super::{
    documents, plan,
    review::{Outcome, Request, Reviewed, StateFrom, review},
};
use crate::{
    args::{Apply, Args},
    client::HubClient,
    error::{CommandError, exit},
    output,
};

/// A sealed plan larger than this is none.
const SEALED_AT_MOST: u64 = 256 << 20;

/// Plans, asks, applies.
pub(crate) async fn run(args: &Args, typed: &Apply) -> Result<ExitCode, CommandError> {
    let hub = HubClient::find(args)?;
    let sealed = typed.plan.as_deref().map(sealed).transpose()?;
    let reviewed = match review(args, &request(typed, sealed.as_ref())?).await? {
        Outcome::Plan(reviewed) => reviewed,
        Outcome::Broken(_) => return Ok(ExitCode::from(exit::FAILURE)),
    };
    if let Some(sealed) = &sealed {
        if already(sealed, &reviewed) {
            output::text("there is nothing left to do: the fleet is what the plan makes of it\n")?;
            return Ok(ExitCode::from(exit::SUCCESS));
        }
        let moved = sealed.moved(&reviewed.sealed);
        if !moved.is_empty() {
            return refuse(&moved);
        }
    }
    if args.output.is_table() {
        plan::print(args, None, &reviewed.review)?;
    }
    if !reviewed.review.verdict.allows() {
        let refused = reviewed.review.verdict.refused.iter();
        return refuse(&refused.map(|one| format!("{}: {}", one.rule, one.message)).collect::<Vec<_>>());
    }
    if sealed.is_none() && !typed.yes && !agreed(&reviewed)? {
        output::text("nothing was applied\n")?;
        return Ok(ExitCode::from(exit::FAILURE));
    }
    order(args, &hub, &reviewed).await
}

fn request<'a>(typed: &'a Apply, sealed: Option<&'a SealedPlan>) -> Result<Request<'a>, CommandError> {
    let mut policy = typed.policy.policy();
    let folder = match (&typed.path, sealed) {
        (Some(path), _) => path.as_path(),
        (None, Some(sealed)) => std::path::Path::new(&sealed.folder),
        (None, None) => {
            return Err(CommandError::Usage("name a folder of documents, or a plan with --plan".to_owned()));
        }
    };
    match sealed {
        Some(sealed) => {
            // What the plan was judged by holds still; a limit on this command line comes on top of it.
            policy.deny.extend(&sealed.policy.deny);
            policy.max_devices = policy.max_devices.or(sealed.policy.max_devices);
            policy.max_restarts = policy.max_restarts.or(sealed.policy.max_restarts);
        }
        // Nobody looks before it happens: what cannot be brought back needs a word of its own.
        None if typed.yes && !typed.allow_remove => {
            policy.deny.extend([Deny::RemoveDevice, Deny::RemoveModule]);
        }
        None => {}
    }
    let base = sealed.and_then(|sealed| sealed.base.as_ref()).and_then(|base| base.given.as_deref());
    let head = match sealed {
        Some(sealed) => sealed.head.given.as_deref(),
        None => typed.head.as_deref(),
    };
    Ok(Request { folder, base, head, state: StateFrom::Hub, policy })
}

fn sealed(path: &std::path::Path) -> Result<SealedPlan, CommandError> {
    let bytes = documents::read_file(path, SEALED_AT_MOST)?;
    let text = String::from_utf8_lossy(&bytes);
    SealedPlan::parse(&text).map_err(|what| CommandError::Usage(format!("--plan {}: {what}", path.display())))
}

/// Was it applied before? Then it may be asked for again.
fn already(sealed: &SealedPlan, now: &Reviewed) -> bool {
    let head = &now.sealed.head;
    let applied = now.applied.as_ref().is_some_and(|applied| applied.digest == head.digest);
    now.review.plan.is_empty() && applied && sealed.head.digest == head.digest
}

fn refuse(reasons: &[String]) -> Result<ExitCode, CommandError> {
    let mut text = String::from("refused; nothing was applied\n");
    for reason in reasons {
        text.push_str(&format!("  {reason}\n"));
    }
    anstream::stderr().write_all(text.as_bytes()).map_err(CommandError::Output)?;
    Ok(ExitCode::from(exit::REFUSED))
}

/// Asks on the terminal. The plan has been printed.
fn agreed(reviewed: &Reviewed) -> Result<bool, CommandError> {
    if reviewed.review.plan.is_empty() {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(CommandError::Usage(
            "this is no terminal to ask on; say --yes, or apply a sealed plan with --plan".to_owned(),
        ));
    }
    output::text("\nApply this? Only `yes` does it: ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|source| CommandError::File {
        action: "read",
        path: "standard input".into(),
        source,
    })?;
    Ok(answer.trim() == "yes")
}

/// Tells the controller, and says what came of it.
async fn order(args: &Args, hub: &HubClient, reviewed: &Reviewed) -> Result<ExitCode, CommandError> {
    let request =
        ApplyRequest { documents: reviewed.sealed.head.digest.clone(), work: reviewed.sealed.work.clone() };
    let body = serde_json::to_value(&request).map_err(|error| CommandError::part("JSON", error))?;
    let answer = match hub.call(Method::POST, &["api", "v1", "apply"], Some(&body)).await {
        Err(CommandError::Refused { code, message, .. }) if code == "PlanMoved" => return refuse(&[message]),
        other => other?,
    };
    let reply: ApplyReply = serde_json::from_value(answer.clone())
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })?;
    output::value(&answer, args.output, |_| {
        let done =
            if reply.done.is_empty() { "nothing was left to do".to_owned() } else { reply.done.clone() };
        let mut text = format!("{} is in force: {done}\n", super::review::short(&reply.revision));
        for failed in &reply.failed {
            text.push_str(&format!("  not yet: {failed}\n"));
        }
        text
    })?;
    Ok(ExitCode::from(if reply.failed.is_empty() { exit::SUCCESS } else { exit::FAILURE }))
}
