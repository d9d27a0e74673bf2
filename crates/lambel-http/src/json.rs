//! JSON, read as the OpenAPI document says it.
//!
//! What serde makes of a shape takes more than the document promises: an array where an object should be, with the
//! fields by their places; an object `{"majority": null}` for the word `"majority"`; integers beyond their format.
//! Who sends such a thing has a bug, and hears of it here. The other way round, `68.0` is an integer in JSON Schema
//! and is taken for one.
//!
//! This is a deserializer around another one. It changes what is asked for and hands on the rest; errors keep the
//! place that the inner one gives them.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        Visitor,
    },
};

/// Reads a whole text of JSON, or says what is wrong with it, and in which field.
pub(crate) fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let mut inner = serde_json::Deserializer::from_slice(text);
    let value =
        serde_path_to_error::deserialize(Strict(&mut inner)).map_err(|error| match error.path().iter().next() {
            Some(_) => error.to_string(),
            None => error.into_inner().to_string(),
        })?;
    inner.end().map_err(|error| error.to_string())?;
    Ok(value)
}

/// The largest integers of the formats `int32` and `int64`, which the document names.
const INT32: u64 = i32::MAX as u64;
const INT64: u64 = i64::MAX as u64;

/// The deserializer around another one.
struct Strict<D>(D);

macro_rules! hand_on {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Inside(visitor))
        }
    )*};
}

macro_rules! integers {
    ($($method:ident up to $most:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(Integer { visitor, most: $most })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    hand_on! {
        deserialize_any deserialize_bool deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option deserialize_unit deserialize_seq
        deserialize_map deserialize_identifier deserialize_ignored_any
    }

    integers! {
        deserialize_i8 up to INT32;
        deserialize_i16 up to INT32;
        deserialize_i32 up to INT32;
        deserialize_i64 up to INT64;
        deserialize_u8 up to INT32;
        deserialize_u16 up to INT32;
        deserialize_u32 up to INT32;
        deserialize_u64 up to INT64;
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        // As a map, and so never as an array.
        self.0.deserialize_map(Inside(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        // The enums of requests are words.
        self.0.deserialize_str(Word(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, Inside(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Inside(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Inside(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Inside(visitor))
    }
}

/// A visitor whose parts are read strictly as well.
struct Inside<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Inside<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.0.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.0.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.0.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.0.visit_f64(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.0.visit_str(value)
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<V::Value, E> {
        self.0.visit_borrowed_str(value)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<V::Value, E> {
        self.0.visit_string(value)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Parts(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Parts(fields))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, word: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(word)
    }
}

/// What is in an array or an object.
struct Parts<A>(A);

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Parts<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Part(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Parts<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Part(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

struct Part<T>(T);

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Part<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<T::Value, D::Error> {
        self.0.deserialize(Strict(inner))
    }
}

/// A visitor of integers that are within their format.
struct Integer<V> {
    visitor: V,
    most: u64,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Integer<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.visitor.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        if value > self.most {
            return Err(E::invalid_value(Unexpected::Unsigned(value), &format!("at most {}", self.most).as_str()));
        }
        self.visitor.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        // Beyond 2^53 the number that was written is not known any more.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() != 0.0 || value.abs() > EXACT {
            return Err(E::invalid_type(Unexpected::Float(value), &self));
        }
        // Whole and small, so nothing is lost.
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        let whole = value as i64;
        match u64::try_from(whole) {
            Ok(whole) => self.visit_u64(whole),
            Err(_) => self.visit_i64(whole),
        }
    }
}

/// A visitor of an enum, which is a word and not an object.
struct Word<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Word<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.0.visit_enum(value.into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use lambel_core::api::{Claim, CreateTask, FileAnnouncement, SubmittedVote};
    use serde::de::DeserializeOwned;

    use super::from_slice;

    fn refusal<T: DeserializeOwned>(text: &str) -> String {
        from_slice::<T>(text.as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn an_array_is_no_object() {
        assert_eq!(refusal::<Claim>("[null, 5]"), "invalid type: sequence, expected struct Claim at line 1 column 0");
        let task = |policy: &str| format!(r#"{{"name": "a", "labels": ["b", "c"], "policy": {policy}}}"#);
        assert!(
            refusal::<CreateTask>(&task("[null, 3]"))
                .starts_with("policy: invalid type: sequence, expected struct Pol")
        );
        assert_eq!(refusal::<CreateTask>(&task(r#"{"rule": "majority", "quorum": 3}"#)), "");
        assert_eq!(refusal::<CreateTask>(&task("null")), "");
    }

    #[test]
    fn a_word_is_no_object() {
        let task = |rule: &str| format!(r#"{{"name": "a", "labels": ["b", "c"], "policy": {{"rule": {rule}}}}}"#);
        assert_eq!(
            refusal::<CreateTask>(&task(r#"{"majority": null}"#)),
            "policy.rule: invalid type: map, expected a word at line 1 column 55"
        );
        assert!(refusal::<CreateTask>(&task(r#""dictator""#)).starts_with("policy.rule: unknown variant `dictator`"));
        assert_eq!(refusal::<CreateTask>(&task("null")), "");
        assert_eq!(refusal::<CreateTask>(&task(r#""majori\u0074y""#)), "", "escapes are read first");
    }

    #[test]
    fn integers_are_those_of_json_schema() {
        let claim = |count: &str| from_slice::<Claim>(format!(r#"{{"count": {count}}}"#).as_bytes());
        for (text, count) in [("68", 68), ("68.0", 68), ("6.8e1", 68), ("0.0", 0), ("2147483647", 2_147_483_647)] {
            assert_eq!(claim(text).map(|claim| claim.count).ok(), Some(count), "{text}");
        }
        for text in [
            "68.5",
            "-1",
            "-1.0",
            "2147483648",
            "4294967296",
            "1e300",
            "1e999",
            "NaN",
            "\"68\"",
            "true",
            "[68]",
            "null",
        ] {
            assert!(claim(text).is_err(), "{text}");
        }
        let file = |bytes: &str| {
            let text = format!(r#"{{"name": "", "media_type": "", "sha256": "", "bytes": {bytes}}}"#);
            from_slice::<FileAnnouncement>(text.as_bytes()).map(|file| file.bytes).ok()
        };
        assert_eq!(file("9223372036854775807"), Some(9_223_372_036_854_775_807));
        assert_eq!(file("9223372036854775808"), None);
        assert_eq!(file("123456789012345678901234567890"), None);
        assert_eq!(file("9007199254740994.0"), None, "what was written is not known any more");
    }

    #[test]
    fn what_is_missing_unknown_or_there_twice_is_still_refused() {
        let vote = r#""task":"019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11""#;
        assert!(refusal::<SubmittedVote>(&format!("{{{vote}}}")).starts_with("missing field `image`"));
        assert!(refusal::<SubmittedVote>(&format!("{{{vote},{vote}}}")).starts_with("duplicate field `task`"));
        assert!(refusal::<SubmittedVote>(&format!("{{{vote},\"x\":1}}")).starts_with("x: unknown field `x`"));
        assert!(refusal::<Claim>(r#"{"count":1} {}"#).starts_with("trailing characters"));
        assert!(refusal::<Claim>(r#"{"count":1"#).starts_with("EOF"));
    }
}
