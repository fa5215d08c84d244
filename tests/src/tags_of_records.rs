//! The tags that engines write and the form by which a load manager knows them: neither crate may import the other.

use engine::FarmSecret;
use engine::names::Tag;
use state::Key;

#[test]
fn a_load_manager_knows_the_tag_of_an_engine_by_its_form() {
    let secret = FarmSecret::new([7; 32]);
    for number in 0..1000_u64 {
        let key = Key(std::array::from_fn(|at| (number * 31 + at as u64 * 7) as u8));
        let leg = (number % 1024) as u16;
        let tag = Tag::of(key, leg, number << 20 | number).text(&secret, b"x");
        assert!(lb::way::tier::names_record(&tag), "{}", String::from_utf8_lossy(&tag));
    }
}
