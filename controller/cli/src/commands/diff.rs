//! `hem diff DEVICE`: in what a device is not what its documents say.

use std::process::ExitCode;

use hemline_plan::DeviceDiff;

use crate::{
    args::{Args, Diff},
    client::HubClient,
    error::{CommandError, exit},
    output,
};

/// Asks and prints.
pub(crate) async fn run(args: &Args, typed: &Diff) -> Result<ExitCode, CommandError> {
    let hub = HubClient::find(args)?;
    let found = hub.ask(&["api", "v1", "diff", &typed.device], &[]).await?;
    let diff: DeviceDiff = serde_json::from_value(found)
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })?;
    output::value(&diff, args.output, |diff| diff.to_string())?;
    let differs = typed.detailed_exitcode && !diff.differences.is_empty();
    Ok(ExitCode::from(if differs { exit::CHANGES } else { exit::SUCCESS }))
}
