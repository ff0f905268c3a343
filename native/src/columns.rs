//! Columns in the making: values one after the other, as Arrow lays them out.

use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType, TimeUnit};

use crate::json::{HandBack, Sure};

/// What is set aside at most for values that are not there yet: 10,000 keys of 256 characters.
const MAX_GUESS_BYTES: usize = 4 * 1024 * 1024;

/// Texts or bytes, with 32-bit offsets.
pub struct Values {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Values {
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(count + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(bytes) }
    }

    /// Make room for so many more values like the first one.
    pub fn expect_more(&mut self, count: usize) {
        self.offsets.reserve(count);
        self.bytes.reserve(count.saturating_mul(self.bytes.len()).min(MAX_GUESS_BYTES));
    }

    #[inline]
    pub fn push(&mut self, value: &[u8]) -> Sure<()> {
        self.bytes.extend_from_slice(value);
        self.end_value()
    }

    /// Add the bytes of a base64 text; nothing is added if it is none of the standard, padded,
    /// canonical form.
    #[inline]
    pub fn push_base64(&mut self, text: &[u8]) -> Sure<()> {
        base64_simd::STANDARD.decode_append(text, &mut self.bytes).map_err(|_| HandBack)?;
        self.end_value()
    }

    pub fn into_array(mut self, data_type: DataType) -> Sure<ArrayData> {
        self.bytes.shrink_to_fit();
        let count = self.offsets.len() - 1;
        let buffers = vec![Buffer::from_vec(self.offsets), Buffer::from_vec(self.bytes)];
        array(data_type, count, buffers)
    }

    fn end_value(&mut self) -> Sure<()> {
        self.offsets.push(i32::try_from(self.bytes.len()).map_err(|_| HandBack)?);
        Ok(())
    }
}

/// The type of arrival times: what Spark's timestamps are, and milliseconds times 1,000.
pub fn moment_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// An array of 64-bit numbers.
pub fn numbers(data_type: DataType, values: Vec<i64>) -> Sure<ArrayData> {
    array(data_type, values.len(), vec![Buffer::from_vec(values)])
}

/// The texts or bytes of an array, one by one.
pub struct Slots<'a> {
    offsets: &'a [i32],
    bytes: &'a [u8],
}

impl<'a> Slots<'a> {
    /// None for an array of numbers.
    pub fn of(array: &'a ArrayData) -> Option<Self> {
        let [offsets, bytes] = array.buffers() else { return None };
        let all: &[i32] = offsets.typed_data();
        let offsets = all.get(array.offset()..=array.offset() + array.len()).unwrap_or(&[0]);
        Some(Self { offsets, bytes: bytes.as_slice() })
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        &self.bytes[at(self.offsets[index])..at(self.offsets[index + 1])]
    }

    /// All of them together.
    pub fn joined(&self) -> &'a [u8] {
        &self.bytes[at(self.offsets[0])..at(self.offsets[self.len()])]
    }
}

/// The numbers of an array.
pub fn numbers_of(array: &ArrayData) -> &[i64] {
    let [values] = array.buffers() else { return &[] };
    let all: &[i64] = values.typed_data();
    all.get(array.offset()..array.offset() + array.len()).unwrap_or(&[])
}

/// How many characters a text of UTF-8 has.
#[inline]
pub fn count_characters(text: &[u8]) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
    }
}

/// Offsets are never negative: `ArrayData::try_new` looked at each.
#[inline]
fn at(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

/// Offsets, lengths and UTF-8 are looked at here once more, by arrow-rs.
fn array(data_type: DataType, count: usize, buffers: Vec<Buffer>) -> Sure<ArrayData> {
    ArrayData::try_new(data_type, count, None, 0, buffers, vec![]).map_err(|_| HandBack)
}
