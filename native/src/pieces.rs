//! The rows of a page, piece by piece: records as they are, KPL aggregates as their user records.
//!
//! A piece has at most so many rows and so many bytes, or one row. Pages without aggregates are
//! cut without a copy.

use arrow_data::ArrayData;
use arrow_schema::DataType;

use crate::columns::{Slots, Values, count_characters, moment_type, numbers, numbers_of};
use crate::json::{HandBack, Sure};
use crate::kpl::{Aggregate, Content, MAGIC};

/// Columns of records; the data is empty if it was left out.
#[derive(Clone)]
pub struct Records {
    pub sequence_numbers: ArrayData,
    pub partition_keys: ArrayData,
    pub arrivals: ArrayData,
    pub data: ArrayData,
}

pub struct Limits {
    pub rows: usize,
    pub bytes: usize,
}

pub struct Piece {
    pub rows: Records,
    /// None: all null.
    pub sub_sequence_numbers: Option<ArrayData>,
    /// Records that have magic and digest of an aggregate and cannot be taken apart.
    pub refused: Vec<usize>,
}

pub struct Unfolding {
    records: Records,
    limits: Limits,
    keeps_data: bool,
    has_aggregates: bool,
    next_record: usize,
    /// The aggregate that is taken apart, and its user records that are done.
    aggregate: Aggregate,
    done: Option<usize>,
}

impl Unfolding {
    pub fn new(records: Records, limits: Limits, deaggregate: bool, keeps_data: bool) -> Self {
        let has_aggregates = deaggregate && has_aggregates(&records.data);
        Self {
            records,
            limits,
            keeps_data,
            has_aggregates,
            next_record: 0,
            aggregate: Aggregate::default(),
            done: None,
        }
    }

    /// The next piece; None at the end.
    pub fn next_piece(&mut self) -> Sure<Option<Piece>> {
        if self.next_record == self.records.sequence_numbers.len() {
            return Ok(None);
        }
        if self.has_aggregates { self.unfold() } else { self.cut().map(Some) }
    }

    fn cut(&mut self) -> Sure<Piece> {
        let keys = Slots::of(&self.records.partition_keys).ok_or(HandBack)?;
        let data = Slots::of(&self.records.data).ok_or(HandBack)?;
        let (first, count) = (self.next_record, keys.len());
        let mut stop = first;
        if first == 0 && count <= self.limits.rows && self.fits(&keys, &data) {
            stop = count;
        }
        let mut bytes = 0;
        while stop < count {
            let data_bytes = if data.len() == 0 { 0 } else { data.get(stop).len() };
            bytes += data_bytes + count_characters(keys.get(stop));
            let is_full = stop - first == self.limits.rows || bytes > self.limits.bytes;
            if is_full && stop > first {
                break;
            }
            stop += 1;
        }
        self.next_record = stop;
        let length = stop - first;
        let part = |array: &ArrayData| array.slice(first, length);
        let rows = Records {
            sequence_numbers: part(&self.records.sequence_numbers),
            partition_keys: part(&self.records.partition_keys),
            arrivals: part(&self.records.arrivals),
            data: if data.len() == 0 {
                self.records.data.clone()
            } else {
                part(&self.records.data)
            },
        };
        Ok(Piece { rows, sub_sequence_numbers: None, refused: Vec::new() })
    }

    fn fits(&self, keys: &Slots, data: &Slots) -> bool {
        count_characters(keys.joined()) + data.joined().len() <= self.limits.bytes
    }

    fn unfold(&mut self) -> Sure<Option<Piece>> {
        let Self { records, limits, aggregate, .. } = self;
        let numbers = Slots::of(&records.sequence_numbers).ok_or(HandBack)?;
        let keys = Slots::of(&records.partition_keys).ok_or(HandBack)?;
        let arrivals = numbers_of(&records.arrivals);
        let data = Slots::of(&records.data).ok_or(HandBack)?;
        let left_bytes = data.joined().len().min(limits.bytes);
        let mut rows = Rows::new(limits, if self.keeps_data { left_bytes } else { 0 });
        while self.next_record < numbers.len() {
            let index = self.next_record;
            let payload = data.get(index);
            let source = Source { number: numbers.get(index), arrival: arrivals[index] };
            if self.done.is_none() {
                match aggregate.open(payload) {
                    Content::Aggregate => self.done = Some(0),
                    content => {
                        if !rows.add(&source, keys.get(index), payload, None, self.keeps_data)? {
                            break;
                        }
                        if content == Content::Refused {
                            rows.refused.push(index);
                        }
                        self.next_record += 1;
                        continue;
                    }
                }
            }
            let mut done = self.done.unwrap_or(0);
            while done < aggregate.len() {
                let (key, inner) = aggregate.get(payload, done);
                if !rows.add(&source, key, inner, Some(done), self.keeps_data)? {
                    break;
                }
                done += 1;
            }
            if done < aggregate.len() {
                self.done = Some(done);
                break;
            }
            self.done = None;
            self.next_record += 1;
        }
        // Nothing is left, and the last ones were aggregates of nothing.
        if rows.count() == 0 { Ok(None) } else { rows.into_piece().map(Some) }
    }
}

fn has_aggregates(data: &ArrayData) -> bool {
    Slots::of(data)
        .is_some_and(|slots| (0..slots.len()).any(|index| slots.get(index).starts_with(&MAGIC)))
}

/// What the user records of one Kinesis record share.
struct Source<'a> {
    number: &'a [u8],
    arrival: i64,
}

/// The rows of a piece in the making.
struct Rows<'a> {
    limits: &'a Limits,
    bytes: usize,
    sequence_numbers: Values,
    partition_keys: Values,
    arrivals: Vec<i64>,
    data: Values,
    subs: Vec<Option<i64>>,
    refused: Vec<usize>,
}

impl<'a> Rows<'a> {
    fn new(limits: &'a Limits, data_bytes: usize) -> Self {
        let none = || Values::with_capacity(0, 0);
        Self {
            limits,
            bytes: 0,
            sequence_numbers: none(),
            partition_keys: none(),
            arrivals: Vec::new(),
            data: Values::with_capacity(0, data_bytes),
            subs: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn count(&self) -> usize {
        self.arrivals.len()
    }

    /// Add a row; false if there is no room for it.
    #[inline]
    fn add(
        &mut self,
        source: &Source,
        key: &[u8],
        payload: &[u8],
        sub: Option<usize>,
        keeps_data: bool,
    ) -> Sure<bool> {
        let bytes = self.bytes + payload.len() + count_characters(key);
        let is_full = self.count() == self.limits.rows || bytes > self.limits.bytes;
        if is_full && self.count() > 0 {
            return Ok(false);
        }
        self.bytes = bytes;
        self.sequence_numbers.push(source.number)?;
        self.partition_keys.push(key)?;
        self.arrivals.push(source.arrival);
        if keeps_data {
            self.data.push(payload)?;
        }
        self.subs.push(sub.map(i64::try_from).transpose().map_err(|_| HandBack)?);
        Ok(true)
    }

    fn into_piece(self) -> Sure<Piece> {
        Ok(Piece {
            sub_sequence_numbers: Some(optional_numbers(&self.subs)?),
            rows: Records {
                sequence_numbers: self.sequence_numbers.into_array(DataType::Utf8)?,
                partition_keys: self.partition_keys.into_array(DataType::Utf8)?,
                arrivals: numbers(moment_type(), self.arrivals)?,
                data: self.data.into_array(DataType::Binary)?,
            },
            refused: self.refused,
        })
    }
}

fn optional_numbers(values: &[Option<i64>]) -> Sure<ArrayData> {
    let filled = values.iter().map(|value| value.unwrap_or(0)).collect();
    let plain = numbers(DataType::Int64, filled)?;
    if values.iter().all(Option::is_some) {
        return Ok(plain);
    }
    let known: arrow_buffer::BooleanBuffer = values.iter().map(Option::is_some).collect();
    plain
        .into_builder()
        .nulls(Some(arrow_buffer::NullBuffer::new(known)))
        .build()
        .map_err(|_| HandBack)
}
