// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a detached box has written: two files of bounded size, of which the newer one becomes the older one
//! when it is full.
//!
//! A file is a sequence of records: the stream (1 or 2) and the length, a word of four bytes each, the time in
//! nanoseconds since 1970 in eight, then the bytes. One that is not whole is the last word of a keeper that was killed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::SystemTime;

use nix::fcntl::OFlag;

use super::directory::Directory;
use crate::errno;
use crate::supervise::Written;

const HEAD: usize = 16;
/// The longest piece that a record may have. Our own choice: what is longer was not written by a keeper.
const LONGEST: u32 = 1 << 20;

pub(super) fn newer(name: &str) -> String {
    format!("{name}.log")
}

fn older(name: &str) -> String {
    format!("{name}.log.old")
}

/// The end of a log that is written to.
#[derive(Debug)]
pub struct Log {
    directory: Arc<Directory>,
    name: String,
    file: File,
    length: u64,
    /// What one of the two files may have.
    half: u64,
}

impl Log {
    pub(super) fn new(
        directory: Arc<Directory>,
        name: &str,
        limit_bytes: u64,
    ) -> nix::Result<Self> {
        Ok(Self {
            file: directory.new_file(&newer(name))?,
            directory,
            name: name.to_owned(),
            length: 0,
            half: (limit_bytes / 2).max(1),
        })
    }

    /// Writes a piece down. What is older than the limit allows is forgotten.
    ///
    /// # Errors
    ///
    /// Those of write(2): the filesystem may be full.
    pub fn append(&mut self, stream: Written, bytes: &[u8]) -> std::io::Result<()> {
        let record = HEAD as u64 + bytes.len() as u64;
        if self.length > 0 && self.length + record > self.half {
            self.directory
                .rename(&newer(&self.name), &older(&self.name))?;
            self.file = self.directory.new_file(&newer(&self.name))?;
            self.length = 0;
        }
        let number: u32 = match stream {
            Written::Stdout => 1,
            Written::Stderr => 2,
        };
        let time = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut text = Vec::with_capacity(HEAD + bytes.len());
        text.extend(number.to_le_bytes());
        text.extend((bytes.len() as u32).to_le_bytes());
        text.extend((time.as_nanos() as u64).to_le_bytes());
        text.extend(bytes);
        self.length += record;
        self.file.write_all(&text).inspect_err(|_| {
            // A record that is not whole would hide those behind it.
            self.length -= record;
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
        })
    }
}

/// A log that is read, from its oldest piece on.
#[derive(Debug)]
pub struct LogReader {
    directory: Arc<Directory>,
    name: String,
    file: File,
}

impl LogReader {
    pub(super) fn open(directory: &Arc<Directory>, name: &str) -> nix::Result<Self> {
        let file = directory
            .open_file(&older(name), OFlag::O_RDONLY)
            .or_else(|_| directory.open_file(&newer(name), OFlag::O_RDONLY))?;
        Ok(Self {
            directory: Arc::clone(directory),
            name: name.to_owned(),
            file,
        })
    }

    /// The next piece; `None` when there is no more at the moment.
    ///
    /// # Errors
    ///
    /// Those of read(2).
    pub fn piece(&mut self) -> std::io::Result<Option<(Written, Vec<u8>)>> {
        loop {
            if let Some(found) = self.record()? {
                return Ok(Some(found));
            }
            let newer = self
                .directory
                .open_file(&newer(&self.name), OFlag::O_RDONLY);
            let own = self.file.metadata()?.ino();
            let is_own = |file: &File| file.metadata().is_ok_and(|found| found.ino() == own);
            match newer {
                Ok(newer) if !is_own(&newer) => {
                    // It was full. What came between the look and that is in it still.
                    if let Some(found) = self.record()? {
                        return Ok(Some(found));
                    }
                    let older = self
                        .directory
                        .open_file(&older(&self.name), OFlag::O_RDONLY);
                    // If it is not the older one either, that one is next.
                    self.file = older.ok().filter(|older| !is_own(older)).unwrap_or(newer);
                }
                _ => return Ok(None),
            }
        }
    }

    /// A whole record at the place of the file, behind which it goes on then.
    fn record(&mut self) -> std::io::Result<Option<(Written, Vec<u8>)>> {
        let begin = self.file.stream_position()?;
        let mut head = [0; HEAD];
        let found = match self.file.read_exact(&mut head) {
            Ok(()) => {
                let word = |at: usize| {
                    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
                };
                let stream = match word(0) {
                    1 => Written::Stdout,
                    _ => Written::Stderr,
                };
                let length = word(4).min(LONGEST);
                let mut bytes = vec![0; length as usize];
                self.file.read_exact(&mut bytes).map(|()| (stream, bytes))
            }
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.file.seek(SeekFrom::Start(begin))?;
                Ok(None)
            }
            Err(error) => Err(std::io::Error::from(errno::of(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut LogReader) -> Vec<u8> {
        let pieces = std::iter::from_fn(|| reader.piece().unwrap());
        pieces.flat_map(|(_, bytes)| bytes).collect()
    }

    #[test]
    fn a_log_keeps_its_size_and_a_reader_that_follows_misses_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let directory = Arc::new(Directory::make(&path).unwrap());
        let mut log = Log::new(Arc::clone(&directory), "web", 4096).unwrap();
        let mut reader = LogReader::open(&directory, "web").unwrap();
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for number in 0..1000u32 {
            let piece = format!("{number} ").into_bytes();
            log.append(Written::Stdout, &piece).unwrap();
            written.extend(&piece);
            if number % 7 == 0 {
                read.extend(all(&mut reader));
            }
            let sizes = [newer("web"), older("web")]
                .map(|name| path.join(name).metadata().map_or(0, |found| found.len()));
            assert!(sizes.iter().sum::<u64>() <= 4096, "{sizes:?}");
        }
        read.extend(all(&mut reader));
        assert_eq!(read, written);
        let late = all(&mut LogReader::open(&directory, "web").unwrap());
        assert!(!late.is_empty() && written.ends_with(&late) && late.len() < written.len());
    }

    #[test]
    fn a_record_that_is_not_whole_is_not_there() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let directory = Arc::new(Directory::make(&path).unwrap());
        let mut log = Log::new(Arc::clone(&directory), "web", 4096).unwrap();
        log.append(Written::Stderr, b"whole").unwrap();
        log.append(Written::Stderr, b"half").unwrap();
        let full = path.join(newer("web")).metadata().unwrap().len();
        for length in (HEAD as u64 + 5..full).rev() {
            log.file.set_len(length).unwrap();
            let mut reader = LogReader::open(&directory, "web").unwrap();
            assert_eq!(
                reader.piece().unwrap(),
                Some((Written::Stderr, b"whole".to_vec()))
            );
            assert_eq!(reader.piece().unwrap(), None);
        }
    }
}
