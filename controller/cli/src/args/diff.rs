//! What was typed after `hem diff`.

/// What the exit codes of `hem diff` mean.
const EXIT_CODES: &str = "\
Exit codes:
  0   it is what its documents say, or success
  1   an error
  2   there are differences; only with --detailed-exitcode
  64  the command line was wrong";

/// `hem diff`
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Diff {
    /// Device id.
    pub(crate) device: String,
    /// Exit with 2 when there are differences.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}
