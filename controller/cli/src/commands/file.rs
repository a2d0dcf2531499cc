//! `hem file`: what devices uploaded.

use std::{
    ffi::OsString,
    io::Write as _,
    path::{Path, PathBuf},
};

use futures_util::StreamExt as _;
use hemline_api::{FileList, FileRow};
use reqwest::{Method, Response};
use tokio::{fs::File, io::AsyncWriteExt as _};

use crate::{
    args::{Args, FileCommand},
    client::HubClient,
    error::CommandError,
    output,
};

/// Does what was typed.
pub(crate) async fn run(args: &Args, typed: &FileCommand) -> Result<(), CommandError> {
    match typed {
        FileCommand::List { device } => list(args, device.as_deref()).await,
        FileCommand::Get { device, name, to, force } => {
            get(args, (device, name), to.as_deref(), *force).await
        }
        FileCommand::Delete { device, name } => {
            let hub = HubClient::find(args)?;
            hub.send(Method::DELETE, &path(device, name), &[], |request| request).await?;
            output::text(&format!("{name} of {device} is gone\n"))
        }
    }
}

/// `files/DEVICE/a/b.txt`, in parts.
fn path<'a>(device: &'a str, name: &'a str) -> Vec<&'a str> {
    ["files", device].into_iter().chain(name.split('/')).collect()
}

async fn list(args: &Args, device: Option<&str>) -> Result<(), CommandError> {
    let hub = HubClient::find(args)?;
    let mut rows: Vec<FileRow> = Vec::new();
    loop {
        let mut query: Vec<(&str, &str)> = device.map(|device| ("device", device)).into_iter().collect();
        if let Some(last) = rows.last() {
            query.extend([("afterDevice", last.device_id.as_str()), ("afterName", last.name.as_str())]);
        }
        let answer = hub.ask(&["api", "v1", "files"], &query).await?;
        let page: FileList = serde_json::from_value(answer).map_err(|error| CommandError::BadAnswer {
            url: hub.host().to_owned(),
            what: error.to_string(),
        })?;
        let more = page.more && !page.files.is_empty();
        rows.extend(page.files);
        if !more {
            break;
        }
    }
    output::value(&rows, args.output, |rows| as_table(rows))
}

fn as_table(rows: &[FileRow]) -> String {
    if rows.is_empty() {
        return "no files; devices upload them with the file upload of their SDK\n".to_owned();
    }
    let cells = rows.iter().map(|row| {
        let time = row.modified_time.strftime("%Y-%m-%d %H:%M:%S").to_string();
        vec![row.device_id.clone(), row.name.clone(), row.bytes.to_string(), time, row.content_type.clone()]
    });
    output::table(&["device", "name", "bytes", "modified", "type"], cells)
}

async fn get(
    args: &Args,
    (device, name): (&str, &str),
    to: Option<&Path>,
    force: bool,
) -> Result<(), CommandError> {
    // Only who typed it means standard output: a device may call its file so.
    let print = to.is_some_and(|to| to.as_os_str() == "-");
    let last = || PathBuf::from(name.rsplit('/').next().unwrap_or(name));
    let to = to.map_or_else(last, Path::to_owned);
    if !print && !force && to.exists() {
        let path = to.display();
        return Err(CommandError::Usage(format!(
            "{path} is there already; --force replaces it, --to FILE takes another name"
        )));
    }
    let hub = HubClient::find(args)?;
    let content = hub.send(Method::GET, &path(device, name), &[], |request| request).await?;
    if print {
        return to_output(&hub, content).await;
    }
    // Under its own name only when it is whole.
    let mut part = OsString::from(to.as_os_str());
    part.push(".part");
    let part = PathBuf::from(part);
    let written = to_file(&hub, content, &part).await;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CommandError::File { action: "write", path, source }
    };
    match written {
        Ok(bytes) => {
            std::fs::rename(&part, &to).map_err(failed(&to))?;
            output::text(&format!("{} has {bytes} bytes of {name} of {device}\n", to.display()))
        }
        Err(error) => {
            drop(std::fs::remove_file(&part));
            Err(error)
        }
    }
}

async fn to_file(hub: &HubClient, content: Response, path: &Path) -> Result<u64, CommandError> {
    let failed = |source| CommandError::File { action: "write", path: path.to_owned(), source };
    let mut file = File::create(path).await.map_err(failed)?;
    let mut pieces = content.bytes_stream();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|source| broken(hub, source))?;
        bytes += piece.len() as u64;
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    Ok(bytes)
}

async fn to_output(hub: &HubClient, content: Response) -> Result<(), CommandError> {
    let mut pieces = content.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|source| broken(hub, source))?;
        let mut out = std::io::stdout().lock();
        out.write_all(&piece).and_then(|()| out.flush()).map_err(CommandError::Output)?;
    }
    Ok(())
}

fn broken(hub: &HubClient, source: reqwest::Error) -> CommandError {
    CommandError::Unreachable { url: hub.host().to_owned(), source }
}
