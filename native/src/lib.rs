//! `kinesis_source_native`: `GetRecords` replies to Arrow columns, for `kinesis_source`.
//!
//! Runs on driver and executors, with the interpreter released. [`decode_reply`] returns None for
//! any body that it is not sure of, and [`unfold`] takes apart what `records/kpl.py` takes apart:
//! the rows are those of the Python way, or the body is left to it.

mod body;
mod column;
mod columns;
mod json;
mod kpl;
mod pieces;
mod reply;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::body::Body;
use crate::column::Column;
use crate::pieces::{Limits, Records, Unfolding};
use crate::reply::{Reply, Wanted, read_reply};

/// Of the functions below; `kinesis_source/native.py` knows the same number.
const INTERFACE: u32 = 1;
/// Far below the 2 GiB of 32-bit offsets, with four bytes for each character of a key.
const MAX_PIECE_BYTES: usize = 256 * 1024 * 1024;

/// A reply: columns of its records, and its other members.
#[pyclass(frozen, get_all, name = "Reply", module = "kinesis_source_native")]
struct PyReply {
    sequence_numbers: Py<Column>,
    partition_keys: Py<Column>,
    arrival_ms: Py<Column>,
    data: Py<Column>,
    skipped_bytes: usize,
    next_iterator: Option<String>,
    millis_behind_latest: i64,
    child_shard_ids: Py<PyTuple>,
    continuation: Option<String>,
}

impl PyReply {
    fn new(py: Python<'_>, reply: Reply) -> PyResult<Self> {
        Ok(Self {
            sequence_numbers: Py::new(py, Column { array: reply.sequence_numbers })?,
            partition_keys: Py::new(py, Column { array: reply.partition_keys })?,
            arrival_ms: Py::new(py, Column { array: reply.arrivals })?,
            data: Py::new(py, Column { array: reply.data })?,
            skipped_bytes: reply.skipped_bytes,
            next_iterator: reply.next_iterator,
            millis_behind_latest: reply.millis_behind_latest,
            child_shard_ids: PyTuple::new(py, reply.child_shard_ids)?.unbind(),
            continuation: reply.continuation,
        })
    }
}

/// Decode a body; None if it is left to the Python way.
///
/// `data_prefix` says which data is wanted: `b""` all, None none, else all if that of one record
/// begins so. Nothing of the body is kept.
#[pyfunction]
#[pyo3(signature = (body, data_prefix))]
fn decode_reply(
    py: Python<'_>,
    body: &Bound<'_, PyAny>,
    data_prefix: Option<&[u8]>,
) -> PyResult<Option<PyReply>> {
    let body = Body::of(body)?;
    let wanted = match data_prefix {
        None => Wanted::Nothing,
        Some(b"") => Wanted::All,
        Some(prefix) => Wanted::Beginning(prefix),
    };
    let bytes = body.bytes();
    match py.detach(|| read_reply(bytes, wanted)) {
        Ok(reply) => PyReply::new(py, reply).map(Some),
        Err(json::HandBack) => Ok(None),
    }
}

/// Rows of a page, piece by piece.
#[pyclass(module = "kinesis_source_native")]
struct Pieces {
    unfolding: Unfolding,
}

/// Sequence numbers, keys, arrival times, data, sub-sequence numbers (None: all null), and the
/// indexes of records that look like aggregates and are none.
type PyPiece = (Column, Column, Column, Column, Option<Column>, Vec<usize>);

#[pymethods]
impl Pieces {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<PyPiece>> {
        let unfolding = &mut self.unfolding;
        let piece = py
            .detach(|| unfolding.next_piece())
            .map_err(|_| PyRuntimeError::new_err("columns that no reply has"))?;
        Ok(piece.map(|piece| {
            (
                Column { array: piece.rows.sequence_numbers },
                Column { array: piece.rows.partition_keys },
                Column { array: piece.rows.arrivals },
                Column { array: piece.rows.data },
                piece.sub_sequence_numbers.map(|array| Column { array }),
                piece.refused,
            )
        }))
    }
}

/// Cut a page's columns into pieces of at most so many rows and bytes (data, and characters of
/// keys); with `deaggregate`, KPL aggregates become their user records. Without `keeps_data` the
/// pieces of pages with aggregates have no data.
#[pyfunction]
#[pyo3(signature = (columns, *, deaggregate, keeps_data, max_rows, max_bytes))]
fn unfold(
    columns: (PyRef<'_, Column>, PyRef<'_, Column>, PyRef<'_, Column>, PyRef<'_, Column>),
    deaggregate: bool,
    keeps_data: bool,
    max_rows: usize,
    max_bytes: usize,
) -> PyResult<Pieces> {
    let (sequence_numbers, partition_keys, arrivals, data) = columns;
    if max_rows == 0 || max_bytes > MAX_PIECE_BYTES {
        return Err(PyValueError::new_err("a piece has a row at least, and at most 256 MiB"));
    }
    let count = sequence_numbers.array.len();
    let is_even = [&partition_keys, &arrivals].iter().all(|column| column.array.len() == count);
    if !is_even || ![0, count].contains(&data.array.len()) {
        return Err(PyValueError::new_err("the columns have different lengths"));
    }
    let records = Records {
        sequence_numbers: sequence_numbers.array.clone(),
        partition_keys: partition_keys.array.clone(),
        arrivals: arrivals.array.clone(),
        data: data.array.clone(),
    };
    let limits = Limits { rows: max_rows, bytes: max_bytes };
    Ok(Pieces { unfolding: Unfolding::new(records, limits, deaggregate, keeps_data) })
}

#[pymodule]
fn kinesis_source_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("INTERFACE", INTERFACE)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Column>()?;
    module.add_class::<PyReply>()?;
    module.add_function(wrap_pyfunction!(decode_reply, module)?)?;
    module.add_function(wrap_pyfunction!(unfold, module)?)
}
