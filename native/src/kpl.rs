//! KPL aggregates: the same records, and the same refusals, as `kinesis_source/records/kpl.py`.
//!
//! That file describes the format and what is no aggregate. Numbers in here are as wide as its
//! own (a varint of ten bytes holds 70 bits), so that nothing wraps to a value that fits.

use md5::{Digest, Md5};

pub const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// As in the Python way: data and keys of all user records in one aggregate.
const MAX_UNFOLDED_BYTES: usize = 256 * 1024 * 1024;
const MAX_KEY_CHARACTERS: usize = 256;
const MAX_HASH_KEY_DIGITS: usize = 39;
const DIGEST_BYTES: usize = 16;

const VARINT: u128 = 0;
const FIXED64: u128 = 1;
const BYTES: u128 = 2;
const GROUP: u128 = 3;
const GROUP_END: u128 = 4;
const FIXED32: u128 = 5;
// Tags: field number << 3 | wire type.
const TABLE_KEY: u128 = 1 << 3 | BYTES;
const TABLE_HASH_KEY: u128 = 2 << 3 | BYTES;
const TABLE_RECORD: u128 = 3 << 3 | BYTES;
const RECORD_KEY_INDEX: u128 = 1 << 3 | VARINT;
const RECORD_HASH_KEY_INDEX: u128 = 2 << 3 | VARINT;
const RECORD_DATA: u128 = 3 << 3 | BYTES;

/// Has the magic and the right digest, and is no aggregate all the same.
#[derive(Debug)]
pub struct Refused;

type Parsed<T> = Result<T, Refused>;

/// From where to where, in the record's data.
type Place = (u32, u32);

/// What one Kinesis record's data is.
#[derive(Debug, PartialEq)]
pub enum Content {
    Plain,
    Refused,
    Aggregate,
}

/// Places of the user records of one aggregate; reused for the next one.
#[derive(Default)]
pub struct Aggregate {
    keys: Vec<Place>,
    records: Vec<(u32, Place)>,
}

impl Aggregate {
    /// Take one record's data apart, up to where its user records are.
    pub fn open(&mut self, data: &[u8]) -> Content {
        let Some(body) = protobuf_part(data) else { return Content::Plain };
        match self.parse(data, MAGIC.len() + body.len()) {
            Ok(()) => Content::Aggregate,
            Err(Refused) => Content::Refused,
        }
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Partition key and payload of a user record.
    #[inline]
    pub fn get<'a>(&self, data: &'a [u8], index: usize) -> (&'a [u8], &'a [u8]) {
        let (key, place) = self.records[index];
        (slice(data, self.keys[key as usize]), slice(data, place))
    }

    fn parse(&mut self, data: &[u8], end: usize) -> Parsed<()> {
        self.keys.clear();
        self.records.clear();
        let mut hash_keys = 0_u128;
        let mut hash_keys_used = 0_u128;
        let mut position = MAGIC.len();
        while position < end {
            let field = read_field(data, position, end)?;
            position = field.stop;
            match field.tag {
                TABLE_RECORD => {
                    let record = read_record(data, field.start, field.stop)?;
                    let key = u32::try_from(record.key).map_err(|_| Refused)?;
                    self.records.push((key, record.place));
                    hash_keys_used = hash_keys_used.max(record.hash_keys_used);
                }
                TABLE_KEY => {
                    check_key(&data[field.start..field.stop])?;
                    self.keys.push(place(field.start, field.stop)?);
                }
                TABLE_HASH_KEY => {
                    check_hash_key(&data[field.start..field.stop])?;
                    hash_keys += 1;
                }
                _ => {}
            }
        }
        // Only now: protobuf lets the tables come after the records.
        let keys = self.keys.len();
        if hash_keys_used > hash_keys || self.records.iter().any(|&(key, _)| key as usize >= keys) {
            return Err(Refused);
        }
        self.check_size()
    }

    fn check_size(&self) -> Parsed<()> {
        let unfolded_bytes: usize = self
            .records
            .iter()
            .map(|&(key, place)| size(place) + size(self.keys[key as usize]))
            .sum();
        if unfolded_bytes > MAX_UNFOLDED_BYTES { Err(Refused) } else { Ok(()) }
    }
}

/// What is between magic and digest, if both are right.
fn protobuf_part(data: &[u8]) -> Option<&[u8]> {
    let (body, digest) = data.strip_prefix(&MAGIC)?.split_last_chunk::<DIGEST_BYTES>()?;
    (Md5::digest(body)[..] == digest[..]).then_some(body)
}

fn size(place: Place) -> usize {
    (place.1 - place.0) as usize
}

#[inline]
fn slice(data: &[u8], place: Place) -> &[u8] {
    &data[place.0 as usize..place.1 as usize]
}

fn place(start: usize, stop: usize) -> Parsed<Place> {
    let narrow = |position: usize| u32::try_from(position).map_err(|_| Refused);
    Ok((narrow(start)?, narrow(stop)?))
}

fn check_key(key: &[u8]) -> Parsed<()> {
    if key.len() > 4 * MAX_KEY_CHARACTERS {
        return Err(Refused);
    }
    let text = std::str::from_utf8(key).map_err(|_| Refused)?;
    if key.len() > MAX_KEY_CHARACTERS && text.chars().count() > MAX_KEY_CHARACTERS {
        return Err(Refused);
    }
    Ok(())
}

fn check_hash_key(key: &[u8]) -> Parsed<()> {
    if key.len() > MAX_HASH_KEY_DIGITS || !key.iter().all(u8::is_ascii_digit) {
        return Err(Refused);
    }
    Ok(())
}

struct Record {
    key: u128,
    /// Explicit hash keys that its index needs: one more than the index, 0 without one.
    hash_keys_used: u128,
    place: Place,
}

#[inline]
fn read_record(data: &[u8], mut position: usize, end: usize) -> Parsed<Record> {
    let mut key = None;
    let mut hash_keys_used = 0;
    let mut payload = None;
    while position < end {
        let field = read_field(data, position, end)?;
        position = field.stop;
        match field.tag {
            RECORD_KEY_INDEX => key = Some(read_varint(data, field.start)?.0),
            RECORD_HASH_KEY_INDEX => hash_keys_used = read_varint(data, field.start)?.0 + 1,
            RECORD_DATA => payload = Some(place(field.start, field.stop)?),
            _ => {}
        }
    }
    Ok(Record { key: key.ok_or(Refused)?, hash_keys_used, place: payload.ok_or(Refused)? })
}

struct Field {
    tag: u128,
    start: usize,
    stop: usize,
}

/// Read a field's tag, and where its value starts and stops.
#[inline]
fn read_field(data: &[u8], position: usize, end: usize) -> Parsed<Field> {
    let (tag, mut start) = read_varint(data, position)?;
    let stop = match tag & 7 {
        BYTES => {
            let (length, after) = read_varint(data, start)?;
            start = after;
            let length = usize::try_from(length).map_err(|_| Refused)?;
            start.checked_add(length).ok_or(Refused)?
        }
        VARINT => read_varint(data, start)?.1,
        _ => skip_rare(data, tag, start, end)?,
    };
    if stop > end || tag < 8 {
        return Err(Refused);
    }
    Ok(Field { tag, start, stop })
}

/// Return where a value stops whose wire type the format itself never uses.
fn skip_rare(data: &[u8], tag: u128, mut position: usize, end: usize) -> Parsed<usize> {
    match tag & 7 {
        FIXED64 => return Ok(position + 8),
        FIXED32 => return Ok(position + 4),
        GROUP => {}
        _ => return Err(Refused),
    }
    // Groups are walked with a list, not by recursion: their depth is the producer's choice.
    let mut open_groups = vec![tag - GROUP + GROUP_END];
    while let Some(&group_end) = open_groups.last() {
        let (inner, after) = read_varint(data, position)?;
        if inner == group_end {
            open_groups.pop();
            position = after;
        } else if inner & 7 == GROUP {
            open_groups.push(inner - GROUP + GROUP_END);
            position = after;
        } else {
            position = read_field(data, position, end)?.stop;
        }
    }
    Ok(position)
}

/// Return the number at a position, and the position after it.
#[inline]
fn read_varint(data: &[u8], mut position: usize) -> Parsed<(u128, usize)> {
    let first = *data.get(position).ok_or(Refused)?;
    position += 1;
    if first < 0x80 {
        return Ok((u128::from(first), position));
    }
    let mut value = u128::from(first & 0x7F);
    for shift in (7..70).step_by(7) {
        let byte = *data.get(position).ok_or(Refused)?;
        position += 1;
        value |= u128::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok((value, position));
        }
    }
    Err(Refused)
}
