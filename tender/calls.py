"""An operation of the contract, defined once and offered by both clients with its full type."""

import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, overload

from google.protobuf.message import Message

P = ParamSpec("P")
Answer = TypeVar("Answer", bound=Message)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Method(Generic[Answer]):
    """A unary method of the contract."""

    path: str
    parse: Callable[[bytes], Answer]

    @classmethod
    def of(cls, path: str, answer: type[Answer]) -> Self:
        return cls(f"/tender.v1.{path}", answer.FromString)


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One call, ready to be sent any number of times: the request_id is in the request."""

    method: Method[Answer]
    request: Message
    # Seconds for all attempts together; the client's default when None.
    timeout: float | None
    # None for calls that only read.
    request_id: str | None = None


class AsyncBase:
    """Marks a client whose operations are awaited."""

    async def invoke(self, call: Call[Answer]) -> Answer:
        raise NotImplementedError


class SyncBase:
    """Marks a client whose operations block."""

    def invoke(self, call: Call[Answer]) -> Answer:
        raise NotImplementedError


class Operation(Generic[P, Answer]):
    """A method of both clients: awaited on one, blocking on the other."""

    def __init__(self, prepare: Callable[P, Call[Answer]]) -> None:
        self._prepare = prepare
        self._name = prepare.__name__
        self.__doc__ = prepare.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self, client: AsyncBase, owner: type
    ) -> Callable[P, Coroutine[Any, Any, Answer]]: ...
    @overload
    def __get__(self, client: SyncBase, owner: type) -> Callable[P, Answer]: ...
    def __get__(self, client: AsyncBase | SyncBase | None, owner: type) -> Any:
        if client is None:
            return self
        prepare, invoke = self._prepare, client.invoke

        def operation(*args: P.args, **kwargs: P.kwargs) -> Any:
            return invoke(prepare(*args, **kwargs))

        operation.__name__ = self._name
        return operation


class Listing(Generic[P, Answer, Item]):
    """A method of both clients that goes through all pages of a list."""

    def __init__(
        self, prepare: Callable[P, Call[Answer]], items: Callable[[Answer], Sequence[Item]]
    ) -> None:
        self._prepare = prepare
        self._items = items
        self.__doc__ = f"{prepare.__doc__} Goes on to the last page."

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: AsyncBase, owner: type) -> Callable[P, AsyncIterator[Item]]: ...
    @overload
    def __get__(self, client: SyncBase, owner: type) -> Callable[P, Iterator[Item]]: ...
    def __get__(self, client: AsyncBase | SyncBase | None, owner: type) -> Any:
        if client is None:
            return self
        pages = self._awaited if isinstance(client, AsyncBase) else self._blocking

        def listing(*args: P.args, **kwargs: P.kwargs) -> Any:
            return pages(cast(Any, client), self._prepare(*args, **kwargs))

        return listing

    async def _awaited(self, client: AsyncBase, call: Call[Answer]) -> AsyncIterator[Item]:
        page: Call[Answer] | None = call
        while page:
            answer = await client.invoke(page)
            for item in self._items(answer):
                yield item
            page = next_page(page, answer)

    def _blocking(self, client: SyncBase, call: Call[Answer]) -> Iterator[Item]:
        page: Call[Answer] | None = call
        while page:
            answer = client.invoke(page)
            yield from self._items(answer)
            page = next_page(page, answer)


def next_page(call: Call[Answer], answer: Answer) -> Call[Answer] | None:
    """The call for the page after the answer; None after the last one."""
    token: str = cast(Any, answer).next_page_token
    if not token:
        return None
    request: Any = type(call.request)()
    request.CopyFrom(call.request)
    request.page_token = token
    return replace(call, request=request)


def new_request_id() -> str:
    """A unique id whose order is that of time, so that its index entry is a warm one."""
    return f"req_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def chosen(request_id: str | None) -> str:
    """The caller's request_id, or a new one; an empty one is left for the server to refuse."""
    return new_request_id() if request_id is None else request_id
