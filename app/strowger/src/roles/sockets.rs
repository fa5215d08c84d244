//! Which control sockets a command asks: the one that was named, or all of the farm that runs here.

use std::path::{Path, PathBuf};

/// Names of control sockets in the folder of a farm end so.
pub(crate) const ENDING: &str = "control.sock";

#[derive(clap::Args, Debug)]
pub(super) struct Where {
    #[arg(long, value_name = "PATH", conflicts_with = "folder", help = HELP)]
    control: Option<PathBuf>,
    /// Ask all parts of the farm that `strowger run --folder DIR` has started
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

const HELP: &str = "Control socket of one load manager, engine or state tier [default: all parts of the farm that `strowger run` has \
                    started, or the load manager of this user]";

impl Where {
    /// The sockets, the load manager's first. Never none.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        if let Some(path) = &self.control {
            return vec![path.clone()];
        }
        let (folder, mut found) = match &self.folder {
            Some(folder) => (folder.clone(), Vec::new()),
            None => (config::run_folder(), vec![config::control_path_to_ask()]),
        };
        let mut others = in_folder(&folder);
        if self.folder.is_none() && others.is_empty() && !config::control_path().exists() {
            // Nothing of this user runs: the services of this machine are asked.
            let service = Path::new(config::SERVICE_FOLDER);
            others = in_folder(&service.join("strowger-run"));
            others.append(&mut in_folder(service));
        }
        // Where a farm has its load manager elsewhere, or none runs, an absent socket is no news.
        if !others.is_empty() {
            found.retain(|path| path.exists());
        }
        found.append(&mut others);
        if found.is_empty() {
            found.push(folder.join(ENDING));
        }
        found
    }
}

/// In the order: load manager, engines, state tier.
fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ENDING)).collect();
    names.sort_by_key(|name| (name != ENDING, name.len(), name.clone()));
    names.sort_by_key(|name| name.starts_with("state"));
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sockets_of_a_folder_come_in_order_and_no_other_file() {
        let folder = std::env::temp_dir().join(format!("strowger-sockets-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let names = ["state.control.sock", "engine-10.control.sock", "engine-2.control.sock", "control.sock"];
        for name in names.iter().chain(&["state.sock", "farm.toml"]) {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let found = Where { control: None, folder: Some(folder.clone()) }.sockets();
        let expected =
            ["control.sock", "engine-2.control.sock", "engine-10.control.sock", "state.control.sock"];
        assert_eq!(found, expected.map(|name| folder.join(name)));
        let one = Where { control: Some("/one".into()), folder: None };
        assert_eq!(one.sockets(), [PathBuf::from("/one")]);
        std::fs::remove_dir_all(&folder).unwrap();
        let none = Where { control: None, folder: Some(folder.clone()) };
        assert_eq!(none.sockets(), [folder.join(ENDING)]);
    }
}
