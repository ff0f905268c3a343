//! A reader of JSON that gives up where it is not sure.
//!
//! Takes a part of what RFC 8259 allows, and nothing else: what it takes, any parser takes, with
//! the same value. [`HandBack`] says "let the Python way see to it", never why.

use std::borrow::Cow;

/// The body, or a record in it, is left to the Python way.
#[derive(Debug)]
pub struct HandBack;

pub type Sure<T> = Result<T, HandBack>;

/// Values inside one another that are skipped; AWS writes two.
const MAX_DEPTH: u32 = 64;

/// So many fit into 64 bits, whatever they are.
const MAX_DIGITS: usize = 19;

/// A number, as it is written.
pub struct Number<'a> {
    pub text: &'a [u8],
    /// All digits as one number, if there are at most 19.
    pub digits: Option<u64>,
    /// Power of ten that the digits are to be multiplied by.
    pub exponent: i32,
    pub is_negative: bool,
    /// Neither fraction nor exponent.
    pub is_whole: bool,
}

pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte that is no white space; 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    /// Pass a byte, after white space.
    #[inline]
    pub fn pass(&mut self, byte: u8) -> Sure<()> {
        if self.peek() == byte {
            self.at += 1;
            return Ok(());
        }
        Err(HandBack)
    }

    /// Pass a comma (true) or the closing byte (false).
    #[inline]
    pub fn has_more(&mut self, closing: u8) -> Sure<bool> {
        let byte = self.peek();
        self.at += 1;
        match byte {
            b',' => Ok(true),
            _ if byte == closing => Ok(false),
            _ => Err(HandBack),
        }
    }

    /// Pass the opening byte, and the closing one if nothing is between (false).
    #[inline]
    pub fn opens(&mut self, opening: u8, closing: u8) -> Sure<bool> {
        self.pass(opening)?;
        if self.peek() == closing {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether nothing but white space is left.
    pub fn is_over(&mut self) -> bool {
        self.peek();
        self.at == self.bytes.len()
    }

    /// Pass a name, quoted and with its colon, if that is what comes next, without white space.
    #[inline]
    pub fn passes(&mut self, name: &[u8]) -> bool {
        let is_next = self.bytes[self.at..].starts_with(name);
        self.at += if is_next { name.len() } else { 0 };
        is_next
    }

    /// How far it is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Pass a member's name and the colon; names with escapes are handed back.
    #[inline]
    pub fn name(&mut self) -> Sure<&'a [u8]> {
        let (raw, kind) = self.raw_string()?;
        self.pass(b':')?;
        match kind {
            Kind::Ascii => Ok(raw),
            Kind::Unicode if std::str::from_utf8(raw).is_ok() => Ok(raw),
            _ => Err(HandBack),
        }
    }

    /// Pass a string and return what it means, in UTF-8.
    #[inline]
    pub fn string(&mut self) -> Sure<Cow<'a, [u8]>> {
        let (raw, kind) = self.raw_string()?;
        match kind {
            Kind::Ascii => Ok(Cow::Borrowed(raw)),
            Kind::Unicode if std::str::from_utf8(raw).is_ok() => Ok(Cow::Borrowed(raw)),
            Kind::Unicode => Err(HandBack),
            Kind::Escaped => Ok(Cow::Owned(unescape(raw)?)),
        }
    }

    /// Pass the opening quote and return the text up to the next quote, if it has no backslash.
    ///
    /// Passes nothing more: see [`Scanner::pass_plain`].
    #[inline]
    pub fn plain_ahead(&mut self) -> Sure<Option<&'a [u8]>> {
        if self.peek() != b'"' {
            return Err(HandBack);
        }
        let rest = &self.bytes[self.at + 1..];
        let length = memchr::memchr(b'"', rest).ok_or(HandBack)?;
        let raw = &rest[..length];
        Ok((raw.last() != Some(&b'\\')).then_some(raw))
    }

    /// Pass a text that [`Scanner::plain_ahead`] returned, and its quotes.
    #[inline]
    pub fn pass_plain(&mut self, raw: &[u8]) {
        self.at += raw.len() + 2;
    }

    /// Pass `null`, if that is what is there.
    pub fn is_null(&mut self) -> Sure<bool> {
        if self.peek() == b'n' {
            self.word(b"null")?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Pass a number.
    #[inline]
    pub fn number(&mut self) -> Sure<Number<'a>> {
        self.peek();
        let start = self.at;
        let is_negative = self.bytes.get(self.at) == Some(&b'-');
        self.at += usize::from(is_negative);
        let first = self.at;
        let (mut digits, mut count) = self.digits(0)?;
        if count > 1 && self.bytes[first] == b'0' {
            return Err(HandBack);
        }
        let mut exponent = 0_i32;
        let mut is_whole = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            is_whole = false;
            let (all, fraction) = self.digits(digits)?;
            digits = all;
            count += fraction;
            exponent = -i32::try_from(fraction).map_err(|_| HandBack)?;
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            is_whole = false;
            let sign = self.bytes.get(self.at);
            let is_small = sign == Some(&b'-');
            self.at += usize::from(is_small || sign == Some(&b'+'));
            let (power, power_digits) = self.digits(0)?;
            // Nothing that AWS sends has three digits here, and some parsers have a limit.
            if power_digits > 2 {
                return Err(HandBack);
            }
            let power = i32::try_from(power).map_err(|_| HandBack)?;
            exponent += if is_small { -power } else { power };
        }
        let text = &self.bytes[start..self.at];
        let digits = (count <= MAX_DIGITS).then_some(digits);
        Ok(Number { text, digits, exponent, is_negative, is_whole })
    }

    /// Pass any value.
    pub fn skip(&mut self) -> Sure<()> {
        self.skip_inside(0)
    }

    fn skip_inside(&mut self, depth: u32) -> Sure<()> {
        if depth > MAX_DEPTH {
            return Err(HandBack);
        }
        match self.peek() {
            b'"' => self.string().map(drop),
            b'{' => {
                let mut more = self.opens(b'{', b'}')?;
                while more {
                    self.string()?;
                    self.pass(b':')?;
                    self.skip_inside(depth + 1)?;
                    more = self.has_more(b'}')?;
                }
                Ok(())
            }
            b'[' => {
                let mut more = self.opens(b'[', b']')?;
                while more {
                    self.skip_inside(depth + 1)?;
                    more = self.has_more(b']')?;
                }
                Ok(())
            }
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(drop),
        }
    }

    fn word(&mut self, word: &[u8]) -> Sure<()> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(HandBack)
    }

    /// Pass at least one digit; return them behind those before, and how many they are.
    ///
    /// The number means nothing where there are more than [`MAX_DIGITS`].
    #[inline]
    fn digits(&mut self, before: u64) -> Sure<(u64, usize)> {
        let start = self.at;
        let mut value = before;
        while let Some(digit) = self.bytes.get(self.at).map(|byte| byte.wrapping_sub(b'0')) {
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        if self.at == start { Err(HandBack) } else { Ok((value, self.at - start)) }
    }

    /// Pass a string; return what is between its quotes, as it is written.
    #[inline]
    fn raw_string(&mut self) -> Sure<(&'a [u8], Kind)> {
        self.pass(b'"')?;
        let start = self.at;
        let mut kind = Kind::Ascii;
        loop {
            let (stop, is_ascii) = plain_run(&self.bytes[self.at..]);
            self.at += stop;
            if !is_ascii && kind == Kind::Ascii {
                kind = Kind::Unicode;
            }
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok((raw, kind));
                }
                Some(b'\\') if self.at + 1 < self.bytes.len() => {
                    kind = Kind::Escaped;
                    self.at += 2;
                }
                _ => return Err(HandBack), // a control character, or the end
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ascii,
    Unicode,
    Escaped,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Return how many bytes come before a quote, a backslash or a control character, and whether all
/// of them are ASCII.
#[inline]
fn plain_run(bytes: &[u8]) -> (usize, bool) {
    let mut seen = 0_u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        // The lowest high bit that is set marks the first byte that is zero, or below a space;
        // those above it may be set by a borrow.
        let stops = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if stops != 0 {
            let before = stops.trailing_zeros() / 8;
            let mask = (1_u64 << (before * 8)) - 1;
            return (index * 8 + before as usize, (seen | word & mask) & HIGHS == 0);
        }
        seen |= word;
    }
    let first = words.len() * 8;
    let mut is_ascii = seen & HIGHS == 0;
    for (index, &byte) in rest.iter().enumerate() {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return (first + index, is_ascii);
        }
        is_ascii &= byte.is_ascii();
    }
    (bytes.len(), is_ascii)
}

/// Return what a string with escapes means.
fn unescape(raw: &[u8]) -> Sure<Vec<u8>> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = std::str::from_utf8(raw).map_err(|_| HandBack)?;
    while let Some((plain, after)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = after.chars();
        let escape = chars.next().ok_or(HandBack)?;
        rest = chars.as_str();
        text.push(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = escaped_character(rest)?;
                rest = after;
                character
            }
            _ => return Err(HandBack),
        });
    }
    text.push_str(rest);
    Ok(text.into_bytes())
}

/// Return the character whose escape has begun with `\u`, and what is left behind it.
fn escaped_character(rest: &str) -> Sure<(char, &str)> {
    let (high, rest) = four_digits(rest)?;
    if let Some(character) = char::from_u32(high) {
        return Ok((character, rest));
    }
    // A surrogate; alone it is no character.
    let (low, rest) = four_digits(rest.strip_prefix("\\u").ok_or(HandBack)?)?;
    if high >= 0xDC00 || !(0xDC00..0xE000).contains(&low) {
        return Err(HandBack);
    }
    let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    Ok((char::from_u32(code).ok_or(HandBack)?, rest))
}

fn four_digits(rest: &str) -> Sure<(u32, &str)> {
    let (digits, rest) = rest.split_at_checked(4).ok_or(HandBack)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(HandBack);
    }
    Ok((u32::from_str_radix(digits, 16).map_err(|_| HandBack)?, rest))
}
