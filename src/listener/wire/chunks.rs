//! The chunked coding (RFC 9112 section 7.1), octet by octet around the data, which is skipped by count.

use super::Fault;

/// So many digits a chunk size may have, zeros included: 4 GiB, far more than any body that is read.
const DIGITS: u8 = 8;

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the number before a chunk.
    Size {
        /// The digits so far.
        digits: u8,
        /// Their value.
        size: u64,
    },
    /// Before the LF behind the number.
    SizeEnd(u64),
    /// In the data, with so many octets to go.
    Data(u64),
    /// Before the CR behind the data.
    DataCr,
    /// Before the LF behind the data.
    DataLf,
    /// Behind the last chunk, before the CR.
    LastCr,
    /// Behind the last chunk, before the LF.
    LastLf,
    /// Behind it all.
    Done,
}

impl Chunks {
    /// Before the first chunk.
    pub(super) const START: Self = Self::Size { digits: 0, size: 0 };

    /// Follows the octets to their end, the end of the body or the first one that must not be there. Answers how many are
    /// in order.
    pub(super) fn read(&mut self, octets: &[u8]) -> (usize, Result<(), Fault>) {
        let mut at = 0_usize;
        while let Some(octet) = octets.get(at) {
            match self {
                Self::Done => break,
                Self::Data(left) => {
                    let here = octets.len().saturating_sub(at);
                    let taken = here.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    at = at.saturating_add(taken);
                    *left = left.saturating_sub(taken as u64);
                    if *left == 0 {
                        *self = Self::DataCr;
                    }
                }
                _ => match self.step(*octet) {
                    Ok(next) => {
                        *self = next;
                        at = at.saturating_add(1);
                    }
                    Err(fault) => return (at, Err(fault)),
                },
            }
        }
        (at, Ok(()))
    }

    fn step(self, octet: u8) -> Result<Self, Fault> {
        Ok(match (self, octet) {
            (Self::Size { digits: 1.., size }, b'\r') => Self::SizeEnd(size),
            (Self::Size { digits: 1.., .. }, b';') => return Err(Fault::ChunkExtension),
            (Self::Size { digits, size }, _) => {
                let digit = char::from(octet).to_digit(16).filter(|_| digits < DIGITS);
                let digit = u64::from(digit.ok_or(Fault::ChunkSize)?);
                Self::Size {
                    digits: digits.saturating_add(1),
                    size: size.saturating_mul(16).saturating_add(digit),
                }
            }
            (Self::SizeEnd(0), b'\n') => Self::LastCr,
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::SizeEnd(_), _) => return Err(Fault::ChunkSize),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::DataCr | Self::DataLf, _) => return Err(Fault::ChunkEnd),
            (Self::LastCr, b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => Self::Done,
            (Self::LastCr | Self::LastLf, _) => return Err(Fault::Trailer),
            (Self::Data(_) | Self::Done, _) => self,
        })
    }
}
