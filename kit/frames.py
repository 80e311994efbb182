"""Stored text that is long and repeats itself: one Zstandard frame (RFC 8878)."""

from typing import Final

import zstandard

BYTES_MAX: Final = 1 << 30
"""What claims to be longer is no frame of ours."""

LEVEL: Final = 1
"""A journal body shrinks to a seventh for about 1 µs per payment; higher levels gain little."""

_compress = zstandard.ZstdCompressor(level=LEVEL).compress
_decompress = zstandard.ZstdDecompressor().decompress


def pack(text: bytes) -> bytes:
    """Return the text as a frame that says its length."""
    return _compress(text)


def unpack(frame: bytes) -> bytes:
    """Return the text of a frame; raises ValueError when it is none, or damaged."""
    try:
        if not 0 <= zstandard.frame_content_size(frame) <= BYTES_MAX:
            raise ValueError("a frame of unknown or unlikely length")
        return _decompress(frame)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
