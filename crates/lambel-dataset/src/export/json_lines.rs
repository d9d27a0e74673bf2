//! JSON Lines: the rows themselves, as [`crate::row`] describes them. Without options they are, byte for byte, the
//! lines of the stored chunks.

use super::{Encoder, ExportError, json_line};
use crate::row::Row;

pub(super) struct JsonLines;

impl Encoder for JsonLines {
    fn row(&mut self, _pass: usize, row: &Row, _name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        json_line(out, row)
    }
}
