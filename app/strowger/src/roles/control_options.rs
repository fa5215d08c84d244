//! How operators reach a part of a farm that is configured by options: its control socket and its HTTP API.

use std::path::PathBuf;

use crate::ctl::part::ControlOptions;

#[derive(clap::Args, Debug)]
pub(super) struct ControlArgs {
    /// Socket for `strowger status`, `top`, `calls` and `ctl`; only this user may connect. If left out, there is none
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Address of the HTTP API and of the metrics, such as 127.0.0.1:8061 (docs/http-api.md). If left out, there is none.
    /// Beyond loopback it needs --api-tokens
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: Option<String>,
    #[arg(long, value_name = "FILE", requires = "api", help = config::help("api.tokens"))]
    api_tokens: Option<String>,
    #[arg(long, value_name = "BOOL", requires = "api", help = config::help("api.open_metrics"))]
    api_open_metrics: Option<String>,
    #[arg(long, value_name = "FILE", requires = "api", requires = "api_key", help = config::help("api.certificate"))]
    api_certificate: Option<String>,
    #[arg(long, value_name = "FILE", requires = "api_certificate", help = config::help("api.key"))]
    api_key: Option<String>,
}

impl ControlArgs {
    /// Judges the options. The error is a text for people.
    pub(super) fn read(&self) -> Result<ControlOptions, String> {
        let values =
            [&self.api, &self.api_tokens, &self.api_open_metrics, &self.api_certificate, &self.api_key];
        let (api, warnings) = config::api_form(values.map(|value| value.as_deref()))
            .map_err(|problems| problems.to_string())?;
        err!("{warnings}");
        Ok(ControlOptions { socket: self.control.clone(), api })
    }
}
