"""The header blocks of one connection: put together, decoded, read, and remembered."""

from collections.abc import Callable
from typing import Final

from gateway.edge.http2 import frames, heads, hpack, limits
from gateway.edge.http2.heads import Head

_TOO_LARGE: Final = "a header block that is too large"


class HeaderBlocks:
    """Turns blocks into heads. A block that left the table alone means the same the next time."""

    def __init__(self, route: Callable[[Head], None]) -> None:
        self._route = route
        self._decoder = hpack.Decoder()
        self._heads: dict[bytes, Head | None] = {}
        self._begun: tuple[int, int] | None = None
        self._octets = b""
        self._continuations = 0

    @property
    def is_open(self) -> bool:
        """Whether a block is begun: no other frame may come before its end."""
        return self._begun is not None

    def begin(self, stream: int, flags: int, octets: bytes) -> None:
        """Keep the first part of a block."""
        self._begun = stream, flags
        self._octets, self._continuations = octets, 0

    def go_on(self, stream: int, flags: int, octets: bytes) -> tuple[int, bytes] | None:
        """Add a part; return the first frame's flags and the block once it is whole."""
        if self._begun is None or self._begun[0] != stream:
            raise frames.BadConnection(frames.PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._continuations += 1
        self._octets += octets
        if (
            self._continuations > limits.CONTINUATIONS_MAX
            or len(self._octets) > limits.HEADER_BLOCK_BYTES_MAX
        ):
            raise frames.BadConnection(frames.ENHANCE_YOUR_CALM, _TOO_LARGE)
        if not flags & frames.END_HEADERS:
            return None
        (_, first_flags), self._begun = self._begun, None
        block, self._octets = self._octets, b""
        return first_flags, block

    def head(self, block: bytes) -> Head | None:
        """Return what a block says, None when it is no request; raises BadConnection."""
        try:
            return self._heads[block]
        except KeyError:
            return self._new(block)

    def _new(self, block: bytes) -> Head | None:
        try:
            decoded = self._decoder.decode(block)
        except hpack.BadHeaders as bad:
            raise frames.BadConnection(frames.COMPRESSION_ERROR, str(bad)) from None
        head: Head | None
        try:
            head = heads.read(decoded)
        except heads.BadHead:
            head = None
        if head is not None:
            self._route(head)
        if decoded.changed_table or len(self._heads) >= limits.HEADS_MAX:
            self._heads.clear()
        if not decoded.changed_table and len(block) <= limits.HEAD_BYTES_MAX:
            self._heads[block] = head
        return head
