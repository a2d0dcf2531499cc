//! `hem get devices|modules|deployments|configurations|drift [NAME]`.

mod drift;

use hemline_api::{DeviceRow, ModuleRow};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    args::{Args, Kind},
    client::HubClient,
    error::CommandError,
    output,
};

/// Lists one kind.
pub(crate) async fn run(args: &Args, kind: Kind, name: Option<&str>) -> Result<(), CommandError> {
    let hub = HubClient::find(args)?;
    let wanted = |id: &str| name.is_none_or(|name| name == id);
    match kind {
        Kind::Devices => {
            let rows: Vec<DeviceRow> = rows(&hub, "devices").await?;
            let rows: Vec<DeviceRow> = rows.into_iter().filter(|row| wanted(&row.device_id)).collect();
            show(args, name, &rows, device_table)
        }
        Kind::Modules => {
            let rows: Vec<ModuleRow> = rows(&hub, "modules").await?;
            let chosen = |row: &ModuleRow| wanted(&row.device_id) || wanted(&row.module_id);
            let rows: Vec<ModuleRow> = rows.into_iter().filter(chosen).collect();
            show(args, name, &rows, module_table)
        }
        Kind::Deployments => {
            show(args, name, &documents(&hub, "deployments", wanted).await?, deployment_table)
        }
        Kind::Configurations => {
            show(args, name, &documents(&hub, "configurations", wanted).await?, configuration_table)
        }
        Kind::Drift => drift::run(args, &hub, name).await,
    }
}

/// Documents of a kind with their statuses.
async fn documents(
    hub: &HubClient,
    kind: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Document>, CommandError> {
    let found = hub.call(Method::GET, &["api", "v1", kind], None).await?;
    let all = found.as_object().into_iter().flatten().filter(|(id, _)| wanted(id));
    Ok(all.map(|(id, status)| Document { name: id.clone(), status: status.clone() }).collect())
}

/// One document as listed.
#[derive(Debug, Serialize)]
struct Document {
    name: String,
    #[serde(flatten)]
    status: Value,
}

async fn rows<T: DeserializeOwned>(hub: &HubClient, kind: &str) -> Result<Vec<T>, CommandError> {
    let found = hub.call(Method::GET, &["api", "v1", kind], None).await?;
    serde_json::from_value(found)
        .map_err(|error| CommandError::BadAnswer { url: hub.host().to_owned(), what: error.to_string() })
}

fn show<T: Serialize>(
    args: &Args,
    name: Option<&str>,
    rows: &[T],
    table: fn(&[T]) -> String,
) -> Result<(), CommandError> {
    if let (Some(name), true) = (name, rows.is_empty()) {
        return Err(CommandError::Usage(format!("nothing here is called {name:?}")));
    }
    output::value(&rows, args.output, |rows| table(rows))
}

/// Also the body of `hem status`.
pub(crate) fn device_table(rows: &[DeviceRow]) -> String {
    output::table(
        &["device", "kind", "status", "connected", "modules", "applied"],
        rows.iter().map(|row| {
            vec![
                row.device_id.clone(),
                if row.edge { "edge" } else { "device" }.to_owned(),
                row.status.clone(),
                if row.connected { "yes" } else { "no" }.to_owned(),
                if row.edge {
                    format!("{}/{}", row.modules_running, row.modules_wanted)
                } else {
                    "-".to_owned()
                },
                applied(row),
            ]
        }),
    )
}

fn applied(row: &DeviceRow) -> String {
    match &row.applied {
        None => "-".to_owned(),
        Some(applied) if applied.code == 200 && applied.current => "yes".to_owned(),
        Some(applied) if !applied.current => "older revision".to_owned(),
        Some(applied) => format!("{} {}", applied.code, applied.description),
    }
}

fn module_table(rows: &[ModuleRow]) -> String {
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    output::table(
        &["device", "module", "runtime", "desired", "state", "restarts", "connected", "description"],
        rows.iter().map(|row| {
            vec![
                row.device_id.clone(),
                row.module_id.clone(),
                dash(&row.runtime),
                dash(&row.desired),
                dash(&row.state),
                row.restarts.to_string(),
                if row.connected { "yes" } else { "no" }.to_owned(),
                dash(&row.description),
            ]
        }),
    )
}

fn deployment_table(rows: &[Document]) -> String {
    output::table(
        &["deployment", "phase", "targeted", "applied", "ready", "failing", "revision"],
        rows.iter().map(|row| {
            let mut cells = vec![row.name.clone()];
            let columns = ["phase", "targeted", "applied", "ready", "failing", "revision"];
            cells.extend(columns.iter().map(|column| output::cell(row.status.get(*column))));
            cells
        }),
    )
}

fn configuration_table(rows: &[Document]) -> String {
    output::table(
        &["configuration", "targeted", "applied", "revision"],
        rows.iter().map(|row| {
            let mut cells = vec![row.name.clone()];
            let columns = ["targeted", "applied", "revision"];
            cells.extend(columns.iter().map(|column| output::cell(row.status.get(*column))));
            cells
        }),
    )
}
