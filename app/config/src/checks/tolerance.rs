//! What the load manager lets pass: the option tags must be such.

use crate::language::problem::Problems;
use crate::language::section::Field;

/// Each request with Proxy-Require is compared with all of them.
const OPTION_TAGS_MAX: usize = 32;

pub(crate) fn option_tags(field: &Field<Vec<String>>, problems: &mut Problems) {
    if let Some(wrong) = field.value.iter().find(|tag| !sip::Passing::is_tag(tag)) {
        let what = format!("`proxy_require`: `{wrong}` is no option tag");
        problems.error(&field.place, what, "write tags as Proxy-Require has them: [\"privacy\"]");
    }
    if field.value.len() > OPTION_TAGS_MAX {
        let what = format!("`proxy_require` has {} option tags", field.value.len());
        problems.error(&field.place, what, format!("write at most {OPTION_TAGS_MAX}"));
    }
}

#[cfg(test)]
mod tests {
    use super::OPTION_TAGS_MAX;
    use crate::parse;

    const LEAST: &str =
        "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[[server]]\naddress = \"127.0.0.1:7000\"\n";

    #[test]
    fn tags_are_tokens_and_not_too_many() {
        let file = |tags: &str| format!("{LEAST}[tolerance]\nproxy_require = [{tags}]\nstray_bytes = true\n");
        let checked = parse(&file("\"privacy\", \"com.example.firewall\"")).unwrap();
        let expected = sip::Passing::new(["privacy", "com.example.firewall"]);
        assert_eq!((checked.settings.proxy_require, checked.settings.stray_bytes), (expected, true));
        assert_eq!(parse(LEAST).unwrap().settings.proxy_require, sip::Passing::NONE);
        let many = vec!["\"a\""; OPTION_TAGS_MAX + 1].join(", ");
        for (tags, said) in [
            ("\"\"", "`` is no option tag"),
            ("\"two tags\"", "`two tags` is no option tag"),
            ("\"a,b\"", "`a,b` is no option tag"),
            (&*many, "has 33 option tags"),
        ] {
            let problems = parse(&file(tags)).unwrap_err().to_string();
            assert!(problems.contains(said), "{problems}");
        }
    }
}
