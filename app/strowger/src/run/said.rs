//! What a farm tells its operator.

/// What has happened, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Calls may have suffered.
    pub(crate) bad: bool,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn well(text: impl Into<String>) -> Said {
        Said { bad: false, text: text.into() }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Said {
        Said { bad: true, text: text.into() }
    }
}
