//! One file per command. Each takes what was typed, does it, and prints.

mod agent;
mod apply;
mod bench;
mod check;
mod connection_string;
mod diff;
mod documents;
mod export;
mod file;
mod get;
mod import;
mod logs;
mod message;
mod method;
mod plan;
mod query;
mod review;
mod rollout;
mod route;
mod simulate;
mod status;
mod twin;
mod up;
mod validate;
mod why;

use std::process::ExitCode;

use crate::{
    args::{self, Args, Command, Demo},
    client::HubClient,
    error::{CommandError, exit},
    output,
};

/// Runs one command.
pub(crate) async fn run(args: Args) -> Result<ExitCode, CommandError> {
    match &args.command {
        Command::Up(up) => up::run(&args, up).await?,
        Command::Validate(validate) => return validate::run(&args, validate),
        Command::Plan(plan) => return plan::run(&args, plan).await,
        Command::Apply(apply) => return apply::run(&args, apply).await,
        Command::State => {
            let state = review::of_hub(&HubClient::find(&args)?).await?;
            match args.output {
                args::Output::Table | args::Output::Wide | args::Output::Json => output::text(&state.text())?,
                args::Output::Yaml => output::value(&state, args.output, |_| String::new())?,
            }
        }
        Command::Why(typed) => return why::run(&args, typed),
        Command::Import(import) => return import::run(&args, import),
        Command::Export(export) => return export::run(&args, export),
        Command::Status => return status::run(&args).await,
        Command::Check(check) => return check::run(&args, check).await,
        Command::Bench(typed) => return bench::run(&args, typed).await,
        Command::Diff(diff) => return diff::run(&args, diff).await,
        Command::Rollout(rollout) => return rollout::run(&args, rollout).await,
        Command::Simulate(simulate) => return simulate::run(&args, simulate),
        Command::Sync => {
            let hub = HubClient::find(&args)?;
            hub.call(reqwest::Method::POST, &["api", "v1", "sync"], None).await?;
            output::text("the controller looks at its source; `hem status` tells what it found\n")?;
        }
        Command::Get { kind, name } => get::run(&args, *kind, name.as_deref()).await?,
        Command::Query { text } => query::run(&args, text).await?,
        Command::Route(route) => return route::run(route),
        Command::Twin(twin) => twin::run(&args, twin).await?,
        Command::Method(method) => method::run(&args, method).await?,
        Command::Message(message) => message::run(&args, message).await?,
        Command::File(typed) => file::run(&args, typed).await?,
        Command::ConnectionString(whose) => connection_string::run(&args, whose).await?,
        Command::Ca => output::text(HubClient::find(&args)?.ca_pem())?,
        Command::Logs(logs) => logs::run(&args, logs).await?,
        Command::Agent(agent) => agent::run(&args, agent).await?,
        Command::Schema => {
            for (_, text) in hemline_model::schema::schemas() {
                output::text(&text)?;
            }
        }
        Command::Crd => {
            let files = hemline_crd::files().map_err(|error| CommandError::part("the CRDs", error))?;
            for (_, text) in files {
                output::text(&format!("---\n{text}"))?;
            }
        }
        Command::Demo { module } => match module {
            Demo::Sensor => {
                hemline_agent::demo::sensor().await.map_err(|e| CommandError::part("the sensor", e))?;
            }
            Demo::Filter => {
                hemline_agent::demo::filter().await.map_err(|e| CommandError::part("the filter", e))?;
            }
        },
        // Dealt with before the runtime started.
        Command::Shim { .. } => {}
    }
    Ok(ExitCode::from(exit::SUCCESS))
}

/// The path of a client in the REST API: `twins/d` or `twins/d/modules/m`.
fn client_path<'a>(root: &'a str, device: &'a str, module: Option<&'a str>) -> Vec<&'a str> {
    let mut path = vec![root, device];
    path.extend(module.into_iter().flat_map(|module| ["modules", module]));
    path
}

/// A JSON object that was typed.
fn object(flag: &str, text: &str) -> Result<serde_json::Map<String, serde_json::Value>, CommandError> {
    serde_json::from_str(text)
        .map_err(|error| CommandError::Usage(format!("{flag} takes a JSON object: {error}")))
}
