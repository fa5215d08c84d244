//! Figures from a file that another program keeps up to date (`--figures-from`): a server that writes its calls there, or a
//! script that measures something the agent does not. The lines have name and value, as `strowger agent status` prints them.
//! A figure in the file replaces the measured figure; other figures stay as measured. A server that keeps its calls in a state
//! tier writes the id of the tier there, too.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use heartbeat::Load;
use tracing::{info, warn};

/// Far more than nine lines. A larger file is some other file.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// What a heartbeat says beside the state of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) load: Load,
    pub(crate) state_tier: Option<u64>,
}

/// A file of figures, read at each collection.
#[derive(Debug)]
pub(crate) struct FiguresFile {
    path: PathBuf,
    /// The last complaint: each is logged once.
    complaint: Option<String>,
}

impl FiguresFile {
    pub(crate) fn new(path: &Path) -> FiguresFile {
        FiguresFile { path: path.to_owned(), complaint: None }
    }

    /// Puts the figures of the file into `figures`. A file that cannot be read or understood changes nothing; the log says
    /// so once.
    pub(crate) fn put_into(&mut self, figures: &mut Figures) {
        let complaint = match self.read().and_then(|text| parse(&text, *figures)) {
            Ok(said) => {
                *figures = said;
                None
            }
            Err(why) => Some(why),
        };
        if complaint != self.complaint {
            let path = self.path.display();
            match &complaint {
                Some(why) => warn!("figures of {path} are not used: {why}"),
                None => info!("figures of {path} are used again"),
            }
            self.complaint = complaint;
        }
    }

    fn read(&self) -> Result<String, String> {
        let mut text = String::new();
        let file = std::fs::File::open(&self.path).map_err(|error| error.to_string())?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }
}

/// `figures` with those of the lines; `unknown` removes a figure. All or nothing: half a file is a file that is being written.
fn parse(text: &str, mut figures: Figures) -> Result<Figures, String> {
    let load = &mut figures.load;
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let bad = |what: &str| format!("line {}: {what}", at + 1);
        let (name, value) =
            line.split_once(char::is_whitespace).ok_or_else(|| bad("the value is missing"))?;
        let value: Option<u64> = match value.trim() {
            "unknown" => None,
            number => Some(number.parse().map_err(|_| bad("the value is not a number"))?),
        };
        let permille = || value.map(|value| value.min(1000) as u16);
        let count = || value.map(|value| value.min(u64::from(u32::MAX)) as u32);
        match name {
            "cpu_permille" => load.cpu_permille = permille(),
            "memory_available_kib" => load.memory_available_kib = value,
            "server_cpu_permille" => load.server_cpu_permille = permille(),
            "server_memory_kib" => load.server_memory_kib = value,
            "calls" => load.calls = count(),
            "residual_calls" => load.residual_calls = count(),
            "network_permille" => load.network_permille = permille(),
            "state_tier" => figures.state_tier = value,
            _ => {
                return Err(bad("the figures are cpu_permille, memory_available_kib, server_cpu_permille, \
                                server_memory_kib, calls, residual_calls, network_permille, state_tier"));
            }
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_stands_in_and_the_rest_stays() {
        let load =
            Load { cpu_permille: Some(5), memory_available_kib: Some(9), calls: Some(1), ..Load::default() };
        let measured = Figures { load, state_tier: None };
        let text =
            "# written by the server\ncpu_permille 920\nresidual_calls 12   # of 20\ncalls unknown\n\n";
        let load = Load {
            cpu_permille: Some(920),
            memory_available_kib: Some(9),
            residual_calls: Some(12),
            ..Load::default()
        };
        assert_eq!(parse(text, measured), Ok(Figures { load, state_tier: None }));
        assert_eq!(parse("cpu_permille 5000", measured).unwrap().load.cpu_permille, Some(1000));
    }

    #[test]
    fn the_file_names_the_state_tier_or_takes_it_away() {
        let tier = |state_tier| Figures { load: Load::default(), state_tier };
        let largest = format!("state_tier {}", u64::MAX);
        assert_eq!(parse(&largest, tier(None)), Ok(tier(Some(u64::MAX))));
        assert_eq!(parse("state_tier unknown", tier(Some(1))), Ok(tier(None)));
        assert_eq!(parse("", tier(Some(1))), Ok(tier(Some(1))), "the setting stands");
        assert!(parse("state_tier -1", tier(None)).is_err());
    }

    #[test]
    fn a_file_that_is_wrong_anywhere_changes_nothing() {
        for (text, named) in [
            ("cpu_permille 1\nbeans 3", "line 2: the figures are"),
            ("cpu_permille", "value is missing"),
            ("calls x", "number"),
        ] {
            let why = parse(text, Figures::default()).unwrap_err();
            assert!(why.contains(named), "{why}");
        }
        let load = Load { calls: Some(1), ..Load::default() };
        let mut figures = Figures { load, state_tier: Some(1) };
        FiguresFile::new(Path::new("/nonexistent/figures")).put_into(&mut figures);
        assert_eq!(figures, Figures { load, state_tier: Some(1) });
    }
}
