//! Column: an Arrow array that Python code takes for a sequence.
//!
//! Whoever looks at a record or two gets Python objects of those alone, as from a list; Arrow
//! takes the whole by the `PyCapsule` interface. Neither copies, nor does a slice.

use std::ffi::CStr;

use arrow_data::ArrayData;
use arrow_data::ffi::FFI_ArrowArray;
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{DataType, Field};
use pyo3::exceptions::{PyIndexError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList, PySlice, PyString, PyTuple};

use crate::columns::{Slots, count_characters, numbers_of};

/// The Arrow `PyCapsule` interface names the capsules.
const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// Texts (str), data (bytes), arrival times (int, ms) or numbers (int or None).
#[pyclass(frozen, sequence, module = "kinesis_source_native")]
pub struct Column {
    pub array: ArrayData,
}

impl Column {
    fn item<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        if let Some(slots) = Slots::of(&self.array) {
            let value = slots.get(index);
            return match self.array.data_type() {
                DataType::Utf8 => Ok(PyString::from_bytes(py, value)?.into_any()),
                _ => Ok(PyBytes::new(py, value).into_any()),
            };
        }
        let number = numbers_of(&self.array)[index];
        match self.array.data_type() {
            DataType::Int64 if self.array.is_null(index) => Ok(py.None().into_bound(py)),
            DataType::Int64 => Ok(number.into_pyobject(py)?.into_any()),
            _ => Ok((number / 1000).into_pyobject(py)?.into_any()),
        }
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let items = PyList::empty(py);
        for index in 0..self.array.len() {
            items.append(self.item(py, index)?)?;
        }
        Ok(items)
    }
}

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.array.len()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        let count = self.array.len();
        if let Ok(slice) = index.cast::<PySlice>() {
            let wanted = slice.indices(isize::try_from(count)?)?;
            if wanted.step != 1 {
                return self.list(py)?.as_any().get_item(slice);
            }
            let array = self.array.slice(usize::try_from(wanted.start)?, wanted.slicelength);
            return Ok(Bound::new(py, Self { array })?.into_any());
        }
        let index: isize = index.extract()?;
        let place = if index < 0 { index + isize::try_from(count)? } else { index };
        match usize::try_from(place) {
            Ok(place) if place < count => self.item(py, place),
            _ => Err(PyIndexError::new_err("column index out of range")),
        }
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.list(py)?.into_any().try_iter()?.into_any())
    }

    /// Equal to any sequence of equal items.
    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = other.py();
        let Ok(other_items) = other.try_iter() else { return Ok(false) };
        let others = PyList::empty(py);
        for item in other_items {
            others.append(item?)?;
        }
        self.list(py)?.eq(others)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Column({})", self.list(py)?.repr()?))
    }

    /// All lengths together: bytes of data, characters of texts; of numbers 0.
    #[getter]
    fn total_length(&self) -> usize {
        match (Slots::of(&self.array), self.array.data_type()) {
            (Some(slots), DataType::Utf8) => count_characters(slots.joined()),
            (Some(slots), _) => slots.joined().len(),
            (None, _) => 0,
        }
    }

    /// Hand the array over, as the Arrow `PyCapsule` interface wants it.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // By that interface a producer may leave conversions to the consumer.
        let _ = requested_schema;
        let field = Field::new("", self.array.data_type().clone(), true);
        let schema = FFI_ArrowSchema::try_from(&field)
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let array = FFI_ArrowArray::new(&self.array);
        PyTuple::new(
            py,
            [
                PyCapsule::new_with_value(py, schema, SCHEMA)?,
                PyCapsule::new_with_value(py, array, ARRAY)?,
            ],
        )
    }
}
