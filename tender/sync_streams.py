"""The synchronous client's stream of payment commands."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from tender import errors
from tender.calls import Call
from tender.outcomes import Flight, Outcome
from tender.streams import BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN, ENDED, EXPIRY_SECONDS
from tender.v1 import payment_pb2 as pb

# Opens a stream with an iterator of messages.
Open = Callable[[Iterator[pb.StreamPaymentsRequest]], Any]


class BlockingStream:
    """Sends commands from an iterator, and gives their outcomes as they come.

    Three threads share the flight under one lock: one takes commands from the caller's iterator,
    one of gRPC sends them, one reads outcomes. The caller's own waits for what they find.
    """

    def __init__(self, open_stream: Open, flight: Flight[None], calls: Iterable[Call[Any]]) -> None:
        self._open = open_stream
        self._flight = flight
        self._calls = calls
        self._changed = threading.Condition()
        self._found: list[Outcome[Any]] = []
        self._is_exhausted = False
        self._is_closed = False
        self._fault: BaseException | None = None

    def outcomes(self) -> Iterator[Outcome[Any]]:
        """Gives every outcome once, then raises what the iterator of commands raised, if it did."""
        # It may wait for its next command for ever; that must not keep a program from ending.
        threading.Thread(target=self._take_calls, name="commands", daemon=True).start()
        backoff = BACKOFF_SECONDS_MIN
        try:
            while not self._is_done():
                for outcome in self._use_one_stream():
                    backoff = BACKOFF_SECONDS_MIN
                    yield outcome
                if not self._is_done():
                    time.sleep(backoff * (1 + random.random()) / 2)
                    backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
        finally:
            with self._changed:
                self._is_closed = True
                self._changed.notify_all()
        if self._fault is not None:
            raise self._fault

    def _is_done(self) -> bool:
        return self._is_exhausted and not len(self._flight) and not self._found

    def _use_one_stream(self) -> Iterator[Outcome[Any]]:
        ended = threading.Event()
        stream = self._open(self._messages(ended))
        reader = threading.Thread(target=self._read, args=(stream, ended), name="outcomes")
        reader.start()
        try:
            while not ended.is_set() or self._found:
                yield from self._next_found()
        finally:
            ended.set()
            stream.cancel()
            reader.join()

    def _next_found(self) -> list[Outcome[Any]]:
        with self._changed:
            if not self._found:
                self._changed.wait(EXPIRY_SECONDS)
            self._note(self._flight.expired(time.monotonic()))
            found, self._found = self._found, []
            return found

    def _note(self, settled: Iterable[tuple[None, Outcome[Any]]]) -> None:
        self._found += [outcome for _, outcome in settled]
        self._changed.notify_all()

    def _take_calls(self) -> None:
        try:
            for call in self._calls:
                with self._changed:
                    while not self._flight.has_room and not self._is_closed:
                        self._changed.wait()
                    if self._is_closed:
                        return
                    self._flight.put(call, None, time.monotonic())
                    self._changed.notify_all()
        except BaseException as fault:
            # It belongs to the caller's thread, which raises it once all is answered.
            self._fault = fault
        finally:
            with self._changed:
                self._is_exhausted = True
                self._changed.notify_all()

    def _messages(self, ended: threading.Event) -> Iterator[pb.StreamPaymentsRequest]:
        while (message := self._next_message(ended)) is not None:
            yield message

    def _next_message(self, ended: threading.Event) -> pb.StreamPaymentsRequest | None:
        """Wait for something to send; None when there will be nothing more."""
        with self._changed:
            while not ended.is_set() and not self._is_closed:
                message = self._flight.message(time.monotonic())
                if message is not None:
                    return message
                if self._is_exhausted and not len(self._flight):
                    return None
                self._changed.wait(EXPIRY_SECONDS)
        return None

    def _read(self, stream: Any, ended: threading.Event) -> None:
        failure = ENDED
        try:
            for message in stream:
                self._settle(message)
        except grpc.RpcError as error:
            failure = errors.read(error)
        finally:
            with self._changed:
                if not ended.is_set():
                    ended.set()
                    now = time.monotonic()
                    self._note(self._flight.broken(failure, now, random.random()))

    def _settle(self, message: pb.StreamPaymentsResponse) -> None:
        now, jitter = time.monotonic(), random.random()
        with self._changed:
            settled = [self._flight.settle(each, now, jitter) for each in message.outcomes]
            self._note(each for each in settled if each is not None)
