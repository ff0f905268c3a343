//! The bytes of a Python object, borrowed without a copy.
//!
//! The buffer protocol belongs to the stable ABI from Python 3.11 on, so `PyO3` leaves it out of
//! modules built for 3.10. Its two functions and its struct are the same there: they are declared
//! here. All of this crate's unsafe code is in this file.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use pyo3::ffi::{Py_ssize_t, PyObject};
use pyo3::prelude::*;

/// `Py_buffer`, field by field as in `pybuffer.h` of `CPython` (3.10: `cpython/object.h`).
#[repr(C)]
struct View {
    buf: *mut c_void,
    obj: *mut PyObject,
    len: Py_ssize_t,
    itemsize: Py_ssize_t,
    readonly: c_int,
    ndim: c_int,
    format: *mut c_char,
    shape: *mut Py_ssize_t,
    strides: *mut Py_ssize_t,
    suboffsets: *mut Py_ssize_t,
    internal: *mut c_void,
}

/// `PyBUF_SIMPLE`: plain bytes, one after the other.
const SIMPLE: c_int = 0;

#[cfg_attr(windows, link(name = "python3", kind = "raw-dylib"))]
unsafe extern "C" {
    fn PyObject_GetBuffer(object: *mut PyObject, view: *mut View, flags: c_int) -> c_int;
    fn PyBuffer_Release(view: *mut View);
}

/// Bytes of an object that stay where they are as long as this lives.
pub struct Body<'py> {
    // Boxed: the exporter may keep pointers into the view itself.
    view: Box<View>,
    // Releasing needs the interpreter, which this token proves is there.
    _python: Python<'py>,
}

impl<'py> Body<'py> {
    /// Borrow the bytes of `bytes`, `bytearray`, `memoryview` or anything alike.
    pub fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(View {
            buf: ptr::null_mut(),
            obj: ptr::null_mut(),
            len: 0,
            itemsize: 0,
            readonly: 0,
            ndim: 0,
            format: ptr::null_mut(),
            shape: ptr::null_mut(),
            strides: ptr::null_mut(),
            suboffsets: ptr::null_mut(),
            internal: ptr::null_mut(),
        });
        // SAFETY: the object is alive and the thread attached (both by `Bound`); the view is a
        // whole Py_buffer in memory of our own, which the call fills or leaves released.
        let status = unsafe { PyObject_GetBuffer(object.as_ptr(), &raw mut *view, SIMPLE) };
        if status != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Self { view, _python: object.py() })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        let Ok(length) = usize::try_from(self.view.len) else { return &[] };
        if length == 0 || self.view.buf.is_null() {
            return &[];
        }
        // SAFETY: a view that was got with PyBUF_SIMPLE has `len` readable bytes at `buf`, and
        // until it is released the exporter neither moves nor frees them (a bytearray refuses to be
        // resized). Nobody writes meanwhile: `bytes` cannot be written, and the bytearray that
        // bodies are read into belongs to the thread that is in this call.
        unsafe { std::slice::from_raw_parts(self.view.buf.cast::<u8>(), length) }
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        // SAFETY: the view was filled by PyObject_GetBuffer and is released this once; the thread
        // is attached as long as `'py` lasts.
        unsafe { PyBuffer_Release(&raw mut *self.view) }
    }
}
