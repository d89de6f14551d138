//! Where one Kafka request or answer ends and the next one begins, however the bytes come.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest request or answer, in bytes: what is longer is none.
const FRAME_BYTES_MAX: usize = 256 << 20;

/// The bytes of the number at `from`.
pub fn number<const BYTES: usize>(frame: &[u8], from: usize) -> Option<[u8; BYTES]> {
    frame.get(from..from + BYTES)?.try_into().ok()
}

/// Bytes as they come, requests or answers as they go: each begins with its length, in four bytes.
#[derive(Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    /// The next whole one, its length included. Whoever gives up waiting loses nothing.
    pub async fn next(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
        loop {
            if let Some(length) = number(&self.0, 0) {
                let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if length > FRAME_BYTES_MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if self.0.len() >= 4 + length {
                    return Ok(self.0.drain(..4 + length).collect());
                }
            }
            if from.read_buf(&mut self.0).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn frames_are_whole_however_they_come() {
        let sent: Vec<Vec<u8>> = [&b"abc"[..], b"", b"0123456789"]
            .iter()
            .map(|body| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat())
            .collect();
        for size in 1..=sent.concat().len() {
            let (mut to, mut from) = tokio::io::duplex(size);
            let all = sent.concat();
            tokio::spawn(async move { to.write_all(&all).await.unwrap() });
            let mut frames = Frames::default();
            for frame in &sent {
                assert_eq!(&frames.next(&mut from).await.unwrap(), frame, "{size} bytes at a time");
            }
            assert!(frames.next(&mut from).await.is_err(), "nothing is left");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_a_frame_is_an_error() {
        for nonsense in [&[0xFF; 8][..], &[0x7F; 8], &[0, 0, 0, 9, 1]] {
            assert!(Frames::default().next(&mut &*nonsense).await.is_err(), "{nonsense:?}");
        }
    }
}
