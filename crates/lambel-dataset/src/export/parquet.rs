//! Parquet: a table with all that a row has, votes as a list of structs; Snappy, row groups of [`GROUP_ROWS`].
//!
//! Columns are written directly, with the levels that say where a value is missing and where a list begins: in
//! `names` and `votes` a repetition level of 0 begins a row and 1 goes on with it; a definition level of 0 is an
//! empty list, 1 an element, and for what an element may lack 2 is a value.

use std::sync::Arc;

use parquet::{
    basic::{Compression, Encoding},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};

use super::{About, Encoder, ExportError};
use crate::row::{Outcome, Row, VoteAnswer};

/// Rows of a row group, which is what the writer holds.
const GROUP_ROWS: usize = 8_192;
/// Votes after which a row group ends before it has all its rows.
const GROUP_VOTES: usize = 65_536;

const SCHEMA: &str = "
    message rows {
        required binary image (STRING);
        required group names (LIST) { repeated group list { required binary element (STRING); } }
        optional binary uri (STRING);
        optional binary object_version (STRING);
        optional int64 bytes (INTEGER(64, false));
        optional binary media_type (STRING);
        optional int32 width (INTEGER(32, false));
        optional int32 height (INTEGER(32, false));
        required binary status (STRING);
        optional binary label (STRING);
        optional double confidence;
        optional binary reason (STRING);
        optional binary detail (STRING);
        optional int64 decided_at (TIMESTAMP(MILLIS, true));
        required group votes (LIST) {
            repeated group list {
                required group element {
                    required binary operator (STRING);
                    optional binary label (STRING);
                    optional binary abstain (STRING);
                    optional int64 at (TIMESTAMP(MILLIS, true));
                    optional int32 elapsed_ms (INTEGER(32, false));
                    optional double weight;
                    required boolean late;
                }
            }
        }
    }";

fn failed(error: &parquet::errors::ParquetError) -> ExportError {
    ExportError::Parquet(error.to_string())
}

/// The values of a column in the row group that is being made, and their levels.
struct Column<T: DataType> {
    values: Vec<T::T>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl<T: DataType> Default for Column<T> {
    fn default() -> Self {
        Self { values: Vec::new(), definition: Vec::new(), repetition: Vec::new() }
    }
}

impl<T: DataType> Column<T> {
    /// A value of a column that always has one.
    fn always(&mut self, value: T::T) {
        self.values.push(value);
    }

    /// A value of a column that may have none.
    fn maybe(&mut self, value: Option<T::T>) {
        self.definition.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    /// A list of values.
    fn list(&mut self, values: impl ExactSizeIterator<Item = T::T>) {
        if values.len() == 0 {
            self.level(0, 0);
        }
        for (place, value) in values.enumerate() {
            self.level(place, 1);
            self.values.push(value);
        }
    }

    /// A list of values of which some may be missing.
    fn sparse_list(&mut self, values: impl ExactSizeIterator<Item = Option<T::T>>) {
        if values.len() == 0 {
            self.level(0, 0);
        }
        for (place, value) in values.enumerate() {
            self.level(place, if value.is_some() { 2 } else { 1 });
            self.values.extend(value);
        }
    }

    fn level(&mut self, place: usize, definition: i16) {
        self.definition.push(definition);
        self.repetition.push(i16::from(place > 0));
    }

    /// Writes the column that comes next in the schema.
    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ExportError> {
        let missing = || ExportError::Parquet("the schema has fewer columns than the rows".to_owned());
        let mut column = group.next_column().map_err(|error| failed(&error))?.ok_or_else(missing)?;
        let definition = (!self.definition.is_empty()).then_some(self.definition.as_slice());
        let repetition = (!self.repetition.is_empty()).then_some(self.repetition.as_slice());
        column.typed::<T>().write_batch(&self.values, definition, repetition).map_err(|error| failed(&error))?;
        column.close().map_err(|error| failed(&error))?;
        self.values.clear();
        self.definition.clear();
        self.repetition.clear();
        Ok(())
    }
}

#[derive(Default)]
struct Columns {
    image: Column<ByteArrayType>,
    names: Column<ByteArrayType>,
    uri: Column<ByteArrayType>,
    object_version: Column<ByteArrayType>,
    bytes: Column<Int64Type>,
    media_type: Column<ByteArrayType>,
    width: Column<Int32Type>,
    height: Column<Int32Type>,
    status: Column<ByteArrayType>,
    label: Column<ByteArrayType>,
    confidence: Column<DoubleType>,
    reason: Column<ByteArrayType>,
    detail: Column<ByteArrayType>,
    decided_at: Column<Int64Type>,
    operator: Column<ByteArrayType>,
    vote_label: Column<ByteArrayType>,
    abstain: Column<ByteArrayType>,
    at: Column<Int64Type>,
    elapsed_ms: Column<Int32Type>,
    weight: Column<DoubleType>,
    late: Column<BoolType>,
}

impl Columns {
    fn push(&mut self, row: &Row) -> Result<(), ExportError> {
        self.image.always(row.image.to_string().into_bytes().into());
        self.names.list(row.names.iter().map(|name| name.as_str().into()));
        self.uri.maybe(row.uri.as_deref().map(ByteArray::from));
        self.object_version.maybe(row.object_version.as_deref().map(ByteArray::from));
        // Unsigned numbers are stored by their bits.
        self.bytes.maybe(row.bytes.map(u64::cast_signed));
        self.media_type.maybe(row.media_type.as_deref().map(ByteArray::from));
        self.width.maybe(row.width.map(u32::cast_signed));
        self.height.maybe(row.height.map(u32::cast_signed));
        self.status.always(row.outcome.status().as_str().into());
        self.label.maybe(row.outcome.label().map(|label| label.as_str().into()));
        self.confidence.maybe(row.outcome.confidence().map(|confidence| confidence.get()));
        let (reason, detail) = match &row.outcome {
            Outcome::Complete { reason: Some(reason), .. } | Outcome::Disputed { reason, .. } => {
                (serde_json::to_value(reason)?.as_str().map(ByteArray::from), None)
            }
            Outcome::Rejected { refusal } => (Some(refusal.code.as_str().into()), Some(refusal.detail.as_str().into())),
            Outcome::Complete { reason: None, .. } | Outcome::Unlabelled => (None, None),
        };
        self.reason.maybe(reason);
        self.detail.maybe(detail);
        self.decided_at.maybe(row.decided_at.map(|at| at.millis()));
        let votes = row.votes.iter();
        self.operator.list(votes.clone().map(|vote| vote.operator.as_str().into()));
        self.vote_label.sparse_list(votes.clone().map(|vote| vote.answer.label().map(|label| label.as_str().into())));
        self.abstain.sparse_list(votes.clone().map(|vote| match &vote.answer {
            VoteAnswer::Abstain(reason) => Some(reason.as_str().into()),
            VoteAnswer::Label(_) => None,
        }));
        self.at.sparse_list(votes.clone().map(|vote| vote.at.map(|at| at.millis())));
        self.elapsed_ms.sparse_list(votes.clone().map(|vote| vote.elapsed_ms.map(u32::cast_signed)));
        self.weight.sparse_list(votes.clone().map(|vote| vote.weight.map(|weight| weight.get())));
        self.late.list(votes.map(|vote| vote.late));
        Ok(())
    }

    /// Writes all columns, in the order of the schema.
    fn write(&mut self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ExportError> {
        self.image.write(group)?;
        self.names.write(group)?;
        self.uri.write(group)?;
        self.object_version.write(group)?;
        self.bytes.write(group)?;
        self.media_type.write(group)?;
        self.width.write(group)?;
        self.height.write(group)?;
        self.status.write(group)?;
        self.label.write(group)?;
        self.confidence.write(group)?;
        self.reason.write(group)?;
        self.detail.write(group)?;
        self.decided_at.write(group)?;
        self.operator.write(group)?;
        self.vote_label.write(group)?;
        self.abstain.write(group)?;
        self.at.write(group)?;
        self.elapsed_ms.write(group)?;
        self.weight.write(group)?;
        self.late.write(group)
    }
}

pub(super) struct Parquet {
    file: SerializedFileWriter<Vec<u8>>,
    columns: Columns,
    rows: usize,
    votes: usize,
}

impl Parquet {
    pub(super) fn new(about: &About) -> Result<Self, ExportError> {
        let schema = parse_message_type(SCHEMA).map_err(|error| failed(&error))?;
        // Every image id is different, and so is nearly every address: a dictionary of them is a waste.
        let unlike = |properties: parquet::file::properties::WriterPropertiesBuilder, column: &str| {
            let path = ColumnPath::from(column);
            properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, Encoding::PLAIN)
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(about.program.clone())
            .set_key_value_metadata(Some(vec![
                KeyValue::new("lambel.commit".to_owned(), about.commit.to_string()),
                KeyValue::new("lambel.task".to_owned(), about.task.to_string()),
            ]));
        let properties = unlike(unlike(properties, "image"), "uri").build();
        let file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))
            .map_err(|error| failed(&error))?;
        Ok(Self { file, columns: Columns::default(), rows: 0, votes: 0 })
    }

    fn group(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group().map_err(|error| failed(&error))?;
        self.columns.write(&mut group)?;
        group.close().map_err(|error| failed(&error))?;
        (self.rows, self.votes) = (0, 0);
        self.file.flush()?;
        out.append(self.file.inner_mut());
        Ok(())
    }
}

impl Encoder for Parquet {
    fn row(&mut self, _pass: usize, row: &Row, _name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.columns.push(row)?;
        self.rows += 1;
        self.votes += row.votes.len();
        if self.rows >= GROUP_ROWS || self.votes >= GROUP_VOTES {
            self.group(out)?;
        }
        Ok(())
    }

    fn end(&mut self, _pass: usize, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.group(out)?;
        self.file.finish().map_err(|error| failed(&error))?;
        out.append(self.file.inner_mut());
        Ok(())
    }
}
