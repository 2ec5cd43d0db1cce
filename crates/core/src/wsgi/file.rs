//! `wsgi.file_wrapper`: files as responses, which the kernel sends by itself where that is possible.

use std::os::fd::RawFd;

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// An iterable of the blocks of a file, as PEP 3333 has it in `environ['wsgi.file_wrapper']`.
///
/// If an application returns one for a regular file that is open for reading bytes, from where it stands to
/// its end, the response has its length, and over a connection without TLS the kernel copies the data.
#[pyclass(frozen, module = "eventlet._core")]
pub struct FileWrapper {
    /// What is read.
    #[pyo3(get)]
    filelike: Py<PyAny>,
    /// How much is read at a time, in bytes.
    #[pyo3(get)]
    blksize: usize,
}

/// A regular file, as the system sees it.
pub struct Extent {
    pub fd: RawFd,
    /// Where reading goes on.
    pub offset: u64,
    /// How many bytes there are from there on.
    pub length: u64,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize = 8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self {
            filelike,
            blksize: blksize.max(1),
        }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let file = self.filelike.bind(py);
        let block = file.call_method1(intern!(py, "read"), (self.blksize,))?;
        Ok(block.is_truthy()?.then_some(block))
    }

    /// Closes the file, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.filelike)
    }
}

impl FileWrapper {
    /// The file, if its bytes are just what reading it gives.
    pub fn extent(&self, py: Python<'_>) -> PyResult<Option<Extent>> {
        match find_extent(self.filelike.bind(py)) {
            // It is read, and says itself what is wrong with it.
            Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
            found => found,
        }
    }
}

fn find_extent(file: &Bound<'_, PyAny>) -> PyResult<Option<Extent>> {
    let py = file.py();
    let Some(file) = plain_file(file)? else {
        return Ok(None);
    };
    let fd: RawFd = file.call_method0(intern!(py, "fileno"))?.extract()?;
    // What has been read into a buffer counts as read only as far as it has been handed out.
    let offset: u64 = file.call_method0(intern!(py, "tell"))?.extract()?;
    // SAFETY: all-zero bytes are a valid `stat` (integers).
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is that of a live structure, which the call fills in.
    let result = unsafe { libc::fstat(fd, &raw mut status) };
    if result != 0 || status.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Ok(None);
    }
    let size = u64::try_from(status.st_size).unwrap_or(0);
    Ok(Some(Extent {
        fd,
        offset,
        length: size.saturating_sub(offset),
    }))
}

/// The file of the standard library that `file` is, or is a temporary file around.
///
/// Others have descriptors, too, and give something else when they are read: what they decompress or decode.
fn plain_file<'py>(file: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static RAW: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static READER: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static RANDOM: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static TEMPORARY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = file.py();
    let raw = RAW.import(py, "io", "FileIO")?;
    if file.is_exact_instance(raw) {
        return Ok(Some(file.clone()));
    }
    if file.is_exact_instance(READER.import(py, "io", "BufferedReader")?)
        || file.is_exact_instance(RANDOM.import(py, "io", "BufferedRandom")?)
    {
        let is_plain = file.getattr(intern!(py, "raw"))?.is_exact_instance(raw);
        return Ok(is_plain.then(|| file.clone()));
    }
    if file.is_exact_instance(TEMPORARY.import(py, "tempfile", "_TemporaryFileWrapper")?) {
        return plain_file(&file.getattr(intern!(py, "file"))?);
    }
    Ok(None)
}
