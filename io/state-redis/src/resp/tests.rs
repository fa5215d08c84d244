//! Values as their bytes come in, and what is refused.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { bytes_max: 1000, values_max: 20, depth_max: 3 };

/// All values of a stream that comes in pieces of this size.
fn read(limits: Limits, stream: &[u8], piece: usize) -> Result<Vec<Value>, Malformed> {
    let mut reader = Reader::new(limits);
    let mut values = Vec::new();
    for piece in stream.chunks(piece) {
        reader.feed(piece);
        while let Some(value) = reader.read()? {
            values.push(value);
        }
    }
    Ok(values)
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().into())
}

#[test]
fn each_type_is_read_however_its_bytes_are_cut() {
    let stream = b"+OK\r\n-MOVED 7 10.0.0.1:6379\r\n:-42\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n\
        *2\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n#t\r\n#f\r\n,1.5\r\n(123456789012345678901\r\n=6\r\ntxt:ab\r\n!5\r\nERR x\r\n\
        %1\r\n+k\r\n+v\r\n~1\r\n:1\r\n>1\r\n+news\r\n>0\r\n";
    let status = |text: &str| Value::Status(text.into());
    let expected = [
        status("OK"),
        Value::Error("MOVED 7 10.0.0.1:6379".into()),
        Value::Integer(-42),
        bytes("a\r\nbc"),
        bytes(""),
        Value::Nil,
        Value::Nil,
        Value::Array(Vec::new()),
        Value::Array(vec![bytes("a"), Value::Array(vec![Value::Integer(1), Value::Nil])]),
        Value::Integer(1),
        Value::Integer(0),
        status("1.5"),
        status("123456789012345678901"),
        bytes("ab"),
        Value::Error("ERR x".into()),
        Value::Array(vec![status("k"), status("v")]),
        Value::Array(vec![Value::Integer(1)]),
        Value::Push(vec![status("news")]),
        Value::Push(Vec::new()),
    ];
    for piece in 1..=stream.len() {
        assert_eq!(read(LIMITS, stream, piece).as_deref(), Ok(&expected[..]), "pieces of {piece}");
    }
}

#[test]
fn what_is_no_resp_or_too_much_is_refused() {
    let long_line = format!("+{}", "a".repeat(5000));
    let cases: &[(&[u8], Malformed)] = &[
        (b"PING\r\n", Malformed::Type(b'P')),
        (b"\r\n", Malformed::End),
        (b"\n", Malformed::End),
        (b"+OK\n", Malformed::End),
        (b":\r\n", Malformed::Number),
        (b":x\r\n", Malformed::Number),
        (b"$-2\r\n", Malformed::Number),
        (b"$2\r\nabc\r\n", Malformed::End),
        (b"=2\r\nab\r\n", Malformed::End),
        (b"$1001\r\n", Malformed::TooLong),
        (b"$99999999999999\r\n", Malformed::TooLong),
        (b"*99999999999999\r\n", Malformed::TooLong),
        (b"*21\r\n", Malformed::TooLong),
        (b"%11\r\n", Malformed::TooLong),
        // Twenty values and the array itself.
        (b"*20\r\n*1\r\n:1\r\n*18\r\n", Malformed::TooLong),
        (b"*1\r\n*1\r\n*1\r\n*1\r\n", Malformed::TooLong),
        (b"*2\r\n$600\r\n", Malformed::TooLong),
        (long_line.as_bytes(), Malformed::TooLong),
    ];
    for (stream, expected) in cases {
        // Six hundred bytes are allowed, but not twice in one value.
        let stream = if *stream == b"*2\r\n$600\r\n" {
            format!("*2\r\n$600\r\n{}\r\n$600\r\n", "a".repeat(600)).into_bytes()
        } else {
            stream.to_vec()
        };
        for piece in [1, 7, stream.len()] {
            let text = String::from_utf8_lossy(&stream);
            assert_eq!(read(LIMITS, &stream, piece), Err(*expected), "{text} in pieces of {piece}");
        }
    }
}

#[test]
fn a_limit_concerns_one_value_and_not_the_stream() {
    let stream = format!("$900\r\n{}\r\n", "a".repeat(900)).repeat(20);
    assert_eq!(read(LIMITS, stream.as_bytes(), 100).map(|values| values.len()), Ok(20));
}

#[test]
fn words_of_a_command_are_byte_strings() {
    let mut written = Vec::new();
    write_words(&[b"GET", b"a"], &mut written);
    let values = read(LIMITS, &written, 3).expect("a command");
    let words = values.into_iter().next().and_then(Value::into_words);
    assert_eq!(words, Some(vec![Box::from(&b"GET"[..]), Box::from(&b"a"[..])]));
    for other in [Value::Nil, Value::Array(Vec::new()), Value::Array(vec![Value::Nil]), bytes("GET")] {
        assert_eq!(other.into_words(), None);
    }
}

#[test]
fn no_text_ends_a_line() {
    let mut written = Vec::new();
    write_error("ERR a\r\n+OK", &mut written);
    assert_eq!(read(LIMITS, &written, 1), Ok(vec![Value::Error("ERR a  +OK".into())]));
}

proptest! {
    #[test]
    fn any_bytes_are_values_or_refused_and_no_matter_how_they_are_cut(
        stream in proptest::collection::vec(prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            proptest::sample::select(vec!["+a\r\n", "*2\r\n", "$3\r\nabc\r\n", ":7\r\n", "%1\r\n", "\r\n", "$-1\r\n"])
                .prop_map(|text| text.as_bytes().to_vec()),
        ], 0..40).prop_map(|pieces| pieces.concat()),
        piece in 1_usize..9,
    ) {
        let whole = read(LIMITS, &stream, stream.len().max(1));
        prop_assert_eq!(read(LIMITS, &stream, piece).is_ok(), whole.is_ok());
        if whole.is_ok() {
            prop_assert_eq!(read(LIMITS, &stream, piece), whole);
        }
    }
}
