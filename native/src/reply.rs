//! A `GetRecords` body, or the payload of a `SubscribeToShard` event, to columns, in one pass.
//!
//! Members come in any order, unknown ones are skipped, and a name that comes twice hands the body
//! back. So does anything that AWS does not write: the Python way knows what becomes of it.

use arrow_data::ArrayData;
use arrow_schema::DataType;

use crate::columns::{Values, moment_type, numbers};
use crate::json::{HandBack, Number, Scanner, Sure};

/// 9999-12-31 23:59:59.999, in seconds.
const LAST_EPOCH_S: f64 = 253_402_300_799.999;

/// Which data is wanted.
#[derive(Clone, Copy)]
pub enum Wanted<'a> {
    All,
    /// All, if that of one record begins so; none otherwise.
    Beginning(&'a [u8]),
    Nothing,
}

pub struct Reply {
    pub sequence_numbers: ArrayData,
    pub partition_keys: ArrayData,
    pub arrivals: ArrayData,
    pub data: ArrayData,
    /// Data that was left out, at most two bytes a record more.
    pub skipped_bytes: usize,
    pub next_iterator: Option<String>,
    pub millis_behind_latest: i64,
    pub child_shard_ids: Vec<String>,
    /// Of an event of `SubscribeToShard`.
    pub continuation: Option<String>,
}

pub fn read_reply(body: &[u8], wanted: Wanted) -> Sure<Reply> {
    if i32::try_from(body.len()).is_err() {
        return Err(HandBack);
    }
    let mut scanner = Scanner::new(body);
    let mut members = Members::default();
    let mut more = scanner.opens(b'{', b'}')?;
    while more {
        match scanner.name()? {
            b"Records" => {
                let records = read_records(&mut scanner, body, wanted)?;
                once(&mut members.records, records)?;
            }
            b"NextShardIterator" => once(&mut members.next, optional_text(&mut scanner)?)?,
            b"ContinuationSequenceNumber" => {
                once(&mut members.continuation, optional_text(&mut scanner)?)?;
            }
            b"MillisBehindLatest" => once(&mut members.millis, read_millis(&mut scanner)?)?,
            b"ChildShards" => once(&mut members.children, read_children(&mut scanner)?)?,
            _ => scanner.skip()?,
        }
        more = scanner.has_more(b'}')?;
    }
    if !scanner.is_over() {
        return Err(HandBack);
    }
    let mut records = members.records.ok_or(HandBack)?;
    let (data, skipped_bytes) = records.finish_data(wanted)?;
    Ok(Reply {
        sequence_numbers: records.sequence_numbers.into_array(DataType::Utf8)?,
        partition_keys: records.partition_keys.into_array(DataType::Utf8)?,
        arrivals: numbers(moment_type(), records.arrivals)?,
        data: data.into_array(DataType::Binary)?,
        skipped_bytes,
        next_iterator: members.next.and_then(|text| text.0),
        millis_behind_latest: members.millis.unwrap_or(0),
        child_shard_ids: members.children.unwrap_or_default(),
        continuation: members.continuation.and_then(|text| text.0),
    })
}

#[derive(Default)]
struct Members<'a> {
    records: Option<Records<'a>>,
    next: Option<Nullable>,
    millis: Option<i64>,
    children: Option<Vec<String>>,
    continuation: Option<Nullable>,
}

struct Records<'a> {
    sequence_numbers: Values,
    partition_keys: Values,
    arrivals: Vec<i64>,
    data: Values,
    /// Base64 texts, where it is not known yet whether they are wanted.
    texts: Vec<&'a [u8]>,
    coded_chars: usize,
}

impl Records<'_> {
    /// Return the data, and how many bytes were left out.
    fn finish_data(&mut self, wanted: Wanted) -> Sure<(Values, usize)> {
        let none = Values::with_capacity(0, 0);
        let data = std::mem::replace(&mut self.data, none);
        let Wanted::Beginning(prefix) = wanted else { return Ok((data, self.coded_chars)) };
        let coded = base64_simd::STANDARD.encode_to_string(prefix);
        // The characters that the prefix alone decides: almost no other text begins so.
        let decided = &coded.as_bytes()[..prefix.len() * 8 / 6];
        let mut is_wanted = false;
        for text in self.texts.iter().filter(|text| text.starts_with(decided)) {
            // Whole groups of four characters that hold the prefix.
            let chars = prefix.len().div_ceil(3) * 4;
            let head = text.get(..chars).unwrap_or(text);
            let bytes = base64_simd::STANDARD.decode_to_vec(head).map_err(|_| HandBack)?;
            is_wanted |= bytes.starts_with(prefix);
        }
        if !is_wanted {
            return Ok((data, self.coded_chars));
        }
        let mut all = Values::with_capacity(self.texts.len(), self.coded_chars);
        for text in &self.texts {
            all.push_base64(text)?;
        }
        Ok((all, 0))
    }
}

fn read_records<'a>(scanner: &mut Scanner<'a>, body: &[u8], wanted: Wanted) -> Sure<Records<'a>> {
    let data_bytes = if let Wanted::All = wanted { body.len() / 4 * 3 } else { 0 };
    let mut records = Records {
        sequence_numbers: Values::with_capacity(0, 0),
        partition_keys: Values::with_capacity(0, 0),
        arrivals: Vec::new(),
        data: Values::with_capacity(0, data_bytes),
        texts: Vec::new(),
        coded_chars: 0,
    };
    let start = scanner.position();
    let mut more = scanner.opens(b'[', b']')?;
    while more {
        read_record(scanner, &mut records, wanted)?;
        more = scanner.has_more(b']')?;
        if more && records.arrivals.len() == 1 {
            // Those of a shard are mostly alike.
            let count = (body.len() - start) / (scanner.position() - start) + 1;
            records.sequence_numbers.expect_more(count);
            records.partition_keys.expect_more(count);
            records.arrivals.reserve(count);
        }
    }
    Ok(records)
}

const SEQUENCE_NUMBER: u8 = 1;
const PARTITION_KEY: u8 = 2;
const ARRIVAL: u8 = 4;
const DATA: u8 = 8;
const WHOLE: u8 = SEQUENCE_NUMBER | PARTITION_KEY | ARRIVAL | DATA;

fn read_record<'a>(
    scanner: &mut Scanner<'a>,
    records: &mut Records<'a>,
    wanted: Wanted,
) -> Sure<()> {
    let mut seen = 0_u8;
    let mut more = scanner.opens(b'{', b'}')?;
    while more {
        let member = read_name(scanner)?;
        match member {
            SEQUENCE_NUMBER => records.sequence_numbers.push(&scanner.string()?)?,
            PARTITION_KEY => records.partition_keys.push(&scanner.string()?)?,
            ARRIVAL => records.arrivals.push(microseconds(&scanner.number()?)?),
            DATA => read_data(scanner, records, wanted)?,
            _ => scanner.skip()?,
        }
        if seen & member != 0 {
            return Err(HandBack);
        }
        seen |= member;
        more = scanner.has_more(b'}')?;
    }
    if seen == WHOLE { Ok(()) } else { Err(HandBack) }
}

/// Pass a member's name; return which it is, 0 for an unknown one.
#[inline]
fn read_name(scanner: &mut Scanner) -> Sure<u8> {
    scanner.peek();
    // As AWS writes them; the rest is for whoever writes JSON in another way.
    if scanner.passes(b"\"SequenceNumber\":") {
        return Ok(SEQUENCE_NUMBER);
    }
    if scanner.passes(b"\"ApproximateArrivalTimestamp\":") {
        return Ok(ARRIVAL);
    }
    if scanner.passes(b"\"Data\":") {
        return Ok(DATA);
    }
    if scanner.passes(b"\"PartitionKey\":") {
        return Ok(PARTITION_KEY);
    }
    Ok(match scanner.name()? {
        b"SequenceNumber" => SEQUENCE_NUMBER,
        b"ApproximateArrivalTimestamp" => ARRIVAL,
        b"Data" => DATA,
        b"PartitionKey" => PARTITION_KEY,
        _ => 0,
    })
}

#[inline]
fn read_data<'a>(scanner: &mut Scanner<'a>, records: &mut Records<'a>, wanted: Wanted) -> Sure<()> {
    let plain = scanner.plain_ahead()?;
    if let Wanted::All = wanted {
        match plain {
            // What is base64 has neither escapes nor control characters.
            Some(text) if records.data.push_base64(text).is_ok() => scanner.pass_plain(text),
            _ => records.data.push_base64(&scanner.string()?)?,
        }
        return Ok(());
    }
    let text = plain.filter(|text| is_plain(text)).ok_or(HandBack)?;
    scanner.pass_plain(text);
    records.coded_chars += text.len() / 4 * 3;
    if let Wanted::Beginning(_) = wanted {
        records.texts.push(text);
    }
    Ok(())
}

/// Whether a string is ASCII, without escapes and control characters; base64 or not is only seen
/// where data is decoded, as in the Python way.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    // One bit for each way to be odd, and no way out in the middle: 16 or 32 bytes at a time.
    let odd = text.iter().fold(0_u8, |odd, &byte| {
        odd | u8::from(byte < 0x20) | (byte & 0x80) | u8::from(byte == b'\\')
    });
    odd == 0
}

/// The milliseconds nearest to a number of seconds, in microseconds.
///
/// The steps are those of Python's `round(float(text) * 1000)`: the double nearest to the number, a
/// product of doubles, halves to even.
#[inline]
fn microseconds(number: &Number) -> Sure<i64> {
    let seconds = seconds(number)?;
    if number.is_negative || !(0.0..=LAST_EPOCH_S).contains(&seconds) {
        return Err(HandBack);
    }
    // At most 253,402,300,799,999, which a double holds exactly.
    #[allow(clippy::cast_possible_truncation)]
    let milliseconds = (seconds * 1000.0).round_ties_even() as i64;
    Ok(milliseconds * 1000)
}

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

#[inline]
fn seconds(number: &Number) -> Sure<f64> {
    // One division or multiplication of two exact doubles gives the nearest one.
    if let Some(digits) = number.digits.filter(|&digits| digits < 1 << 53) {
        #[allow(clippy::cast_precision_loss)]
        let exact = digits as f64;
        let power = POWERS.get(number.exponent.unsigned_abs() as usize);
        if let Some(power) = power {
            return Ok(if number.exponent < 0 { exact / power } else { exact * power });
        }
    }
    let text = std::str::from_utf8(number.text).map_err(|_| HandBack)?;
    text.parse().map_err(|_| HandBack)
}

fn read_millis(scanner: &mut Scanner) -> Sure<i64> {
    if scanner.is_null()? {
        return Ok(0);
    }
    let number = scanner.number()?;
    if number.is_negative || !number.is_whole {
        return Err(HandBack);
    }
    i64::try_from(number.digits.ok_or(HandBack)?).map_err(|_| HandBack)
}

fn read_children(scanner: &mut Scanner) -> Sure<Vec<String>> {
    let mut shard_ids = Vec::new();
    if scanner.is_null()? {
        return Ok(shard_ids);
    }
    let mut more = scanner.opens(b'[', b']')?;
    while more {
        let mut shard_id = None;
        let mut more_members = scanner.opens(b'{', b'}')?;
        while more_members {
            match scanner.name()? {
                b"ShardId" => once(&mut shard_id, text(scanner)?)?,
                _ => scanner.skip()?,
            }
            more_members = scanner.has_more(b'}')?;
        }
        shard_ids.push(shard_id.ok_or(HandBack)?);
        more = scanner.has_more(b']')?;
    }
    Ok(shard_ids)
}

/// A text, or null.
struct Nullable(Option<String>);

fn optional_text(scanner: &mut Scanner) -> Sure<Nullable> {
    if scanner.is_null()? { Ok(Nullable(None)) } else { Ok(Nullable(Some(text(scanner)?))) }
}

fn text(scanner: &mut Scanner) -> Sure<String> {
    String::from_utf8(scanner.string()?.into_owned()).map_err(|_| HandBack)
}

fn once<T>(place: &mut Option<T>, value: T) -> Sure<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(HandBack),
    }
}
