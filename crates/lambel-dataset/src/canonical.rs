//! Canonical JSON: one content has one sequence of bytes, on every machine.
//!
//! Objects have their fields in a fixed order: that of the type, or sorted by name where names are data. There is
//! no space between tokens. Numbers are written with the fewest digits that read back as the same number, and
//! minus zero does not occur. Text is UTF-8; only what JSON demands is escaped.

use serde::Serialize;
use serde_json::Value;

/// The canonical bytes of a value whose type fixes the order of its fields.
pub(crate) fn bytes(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(value)
}

/// A value with the names of all its objects sorted. Whether `serde_json` keeps or sorts them is a switch that
/// any crate of a program can throw, so it is not left to that.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        // Minus zero equals zero, and must not be told from it by its bytes.
        Value::Number(number) if number.as_f64() == Some(0.0) && number.is_f64() => Value::from(0.0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_sorted_and_zero_has_no_sign() {
        let value = sorted(json!({"b": {"z": 1, "a": [-0.0, 0.5, 1.0]}, "a": "ü/\n"}));
        let text = String::from_utf8(bytes(&value).unwrap()).unwrap();
        assert_eq!(text, r#"{"a":"ü/\n","b":{"a":[0.0,0.5,1.0],"z":1}}"#);
    }

    proptest! {
        #[test]
        fn a_number_reads_back_as_itself(number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), number.to_bits());
        }
    }
}
