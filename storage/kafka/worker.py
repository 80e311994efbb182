"""A thread in which calls of the client library wait, so that the event loop does not.

A daemon, unlike the threads of an executor: with brokers that do not answer, some calls of the
library never return (closing a consumer, librdkafka issue 3740), and a process has to end all the
same.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

_Result = TypeVar("_Result")


class Worker:
    """Runs what it is given, one after the other."""

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[[], _Result]) -> _Result:
        """Run a function in the thread; if the caller is cancelled, it is still waited for."""
        called = self.submit(function)
        try:
            return await asyncio.shield(called)
        except asyncio.CancelledError:
            # It cannot be stopped, and what the caller does next must not come in between.
            await asyncio.wait([called])
            called.exception()
            raise

    def submit(self, function: Callable[[], _Result]) -> "asyncio.Future[_Result]":
        """Let the thread run a function when its turn comes."""
        future: Future[_Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._waiting.put(run)
        return asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the thread once all that it was given is done."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (run := self._waiting.get()) is not None:
            run()
