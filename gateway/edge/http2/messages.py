"""Puts together the messages of a call from the octets of its DATA frames."""

from typing import Final

from gateway.edge.http2 import frames
from gateway.errors import Refused

PREFIX_BYTES: Final = 5


class Assembler:
    """The octets of one call that are no whole message yet."""

    __slots__ = ("_bytes_max", "_octets")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._octets = bytearray()

    @property
    def held(self) -> int:
        """Octets that wait for the rest of their message."""
        return len(self._octets)

    def feed(self, octets: bytes) -> list[bytes]:
        """Return the messages that are whole now; raises Refused for one that may not be."""
        held = self._octets
        held += octets
        found: list[bytes] = []
        at = 0
        while len(held) - at >= PREFIX_BYTES:
            if held[at]:
                raise Refused("COMPRESSION_UNSUPPORTED")
            (length,) = frames.NUMBER.unpack_from(held, at + 1)
            if length > self._bytes_max:
                raise Refused("MESSAGE_TOO_LARGE")
            begin = at + PREFIX_BYTES
            if len(held) - begin < length:
                break
            at = begin + length
            found.append(bytes(held[begin:at]))
        if at:
            del held[:at]
        return found
