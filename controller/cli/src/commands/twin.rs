//! `hem twin get|patch`: a twin as the service sees it.

use reqwest::Method;
use serde_json::{Value, json};

use super::{client_path, object};
use crate::{
    args::{Args, Output, Twin},
    client::HubClient,
    error::CommandError,
    output,
};

/// Reads or merges, and prints the twin.
pub(crate) async fn run(args: &Args, twin: &Twin) -> Result<(), CommandError> {
    let hub = HubClient::find(args)?;
    let document = match twin {
        Twin::Get { device, module } => {
            hub.call(Method::GET, &client_path("twins", device, module.as_deref()), None).await?
        }
        Twin::Patch { device, module, desired, tags } => {
            let mut patch = json!({});
            if let Some(desired) = desired {
                patch["properties"]["desired"] = Value::Object(object("--desired", desired)?);
            }
            if let Some(tags) = tags {
                patch["tags"] = Value::Object(object("--tags", tags)?);
            }
            hub.call(Method::PATCH, &client_path("twins", device, module.as_deref()), Some(&patch)).await?
        }
    };
    // A twin is a tree: a table would hide most of it.
    let form = if args.output.is_table() { Output::Yaml } else { args.output };
    output::value(&document, form, |_| String::new())
}
