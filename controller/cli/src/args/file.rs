//! What `hem file` takes.

use std::path::PathBuf;

use clap::Subcommand;

/// `hem file`
#[derive(Debug, Subcommand)]
pub(crate) enum FileCommand {
    /// List files that devices uploaded.
    List {
        /// Only of this device.
        device: Option<String>,
    },
    /// Fetch a file.
    Get {
        /// Device id.
        device: String,
        /// Name of the file, as `hem file list` shows it.
        name: String,
        /// Where to put it, `-` for standard output; in this folder under the last part of its name unless given.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Remove a file from the hub; a device has room for more then.
    Delete {
        /// Device id.
        device: String,
        /// Name of the file.
        name: String,
    },
}
