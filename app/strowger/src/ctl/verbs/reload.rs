//! `reload`: the configuration file replaces the running configuration, whole or not at all.

use serde_json::json;

use crate::ctl::change::apply;
use crate::ctl::difference::Difference;
use crate::ctl::{
    Answer, Method, Parameter, ParameterKind, ParameterPlace, RefusalKind, Refused, Route, Verb,
};

pub(crate) const VERB: Verb = Verb {
    name: "reload",
    about: "Read the configuration file again and check it; change all of it, or nothing",
    parameters: &[Parameter {
        name: "dry-run",
        kind: ParameterKind::Flag,
        place: ParameterPlace::Body,
        required: false,
        help: "Only show what would change",
    }],
    route: Route { method: Method::Post, path: "/v1/reload" },
    read: |host, arguments| {
        let dry = arguments.flag("dry-run");
        let Some(path) = host.file.clone() else {
            let remedy = "start the load manager with --config FILE, or use the other verbs";
            return Err(Refused::new(
                RefusalKind::Conflict,
                "the load manager was started without a file",
                remedy,
            ));
        };
        let checked = host.certificates.reload(&path).map_err(|problems| {
            let remedy =
                "nothing was changed; repair the file and reload it; `strowger check` shows the same errors";
            Refused::new(RefusalKind::Impossible, problems.to_string().trim_end().to_owned(), remedy)
        })?;
        Ok(Box::new(move |context| Ok(answer(&apply(context, checked, dry)?))))
    },
    part: None,
    follow: None,
};

pub(super) fn answer(difference: &Difference) -> Answer {
    Answer { text: difference.text(), document: json!({ "changes": difference.changes }) }
}
