"""Replies that come in pieces, and with errors among them, reach the calls that they answer."""

import asyncio

import pytest

from storage.redis.link import Answered, Link

REPLIES = b"+OK\r\n+OK\r\n+OK\r\n$3\r\nyes\r\n"


class Nowhere(asyncio.Transport):
    """Where commands go that this test answers itself."""

    def write(self, data: object) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None: ...


@pytest.fixture
async def link() -> Link:
    opened = Link()
    opened.connection_made(Nowhere())
    return opened


async def test_wherever_replies_are_torn_the_last_one_counts() -> None:
    for first in range(len(REPLIES)):
        for second in range(first, len(REPLIES)):
            link = Link()
            link.connection_made(Nowhere())
            answer, behind = link.send(b"", 4), link.call("PING")

            for piece in (REPLIES[:first], REPLIES[first:second], REPLIES[second:], b"+PONG\r\n"):
                if piece:
                    link.data_received(piece)

            assert (await answer, await behind) == (b"yes", b"PONG")


async def test_an_error_among_them_is_the_answer(link: Link) -> None:
    answer, behind = link.send(b"", 4), link.call("PING")

    link.data_received(b"+OK\r\n-OOM no room\r\n+OK\r\n+OK\r\n+PONG\r\n")

    with pytest.raises(Answered, match="OOM"):
        await answer
    assert await behind == b"PONG"


async def test_where_success_is_the_answer_it_is_not_left_out(link: Link) -> None:
    answers = [link.send(b"", 2), link.send(b"", 1), link.send(b"", 3)]

    link.data_received(b"+OK\r\n" * 6)

    assert [await one for one in answers] == [b"OK"] * 3
    assert not link.is_lost
