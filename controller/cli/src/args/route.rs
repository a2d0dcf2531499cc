//! What was typed after `hem route`.

use std::path::PathBuf;

use clap::Subcommand;

/// `hem route`
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Say what a route makes of a message: true, false or undefined.
    Test(RouteTest),
}

/// `hem route test`
#[derive(Debug, clap::Args)]
pub(crate) struct RouteTest {
    /// `FROM … [WHERE …] INTO …`, or a condition alone.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) route: String,
    /// The message: JSON `{"properties": {}, "systemProperties": {}, "body": …}`; `-` reads standard input.
    ///
    /// A body that is a text is what the message carries, any other value its JSON; `bodyBase64` instead of `body` gives
    /// its bytes. `$body` looks inside when contentType is application/json and contentEncoding utf-8, utf-16 or utf-32,
    /// or when the file names neither.
    #[arg(long, value_name = "FILE")]
    pub(crate) message: PathBuf,
    /// The twin of the sender, for `$twin` in conditions; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) twin: Option<PathBuf>,
}
