"""The asynchronous and the synchronous client: the same operations, each defined once."""

import asyncio
import functools
import itertools
import operator
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from tender import (
    accounts,
    endpoints,
    errors,
    merchants,
    notifications,
    operations,
    payments,
    reporting,
    requests,
    retries,
    webhooks,
)
from tender.bulk import AsyncPayments, SyncPayments
from tender.calls import Answer, AsyncBase, Call, Listing, Method, Operation, SyncBase

TIMEOUT_DEFAULT = 10.0
# One connection carries what most callers need; a load of thousands per second wants about four.
CHANNELS_DEFAULT = 1
CHANNELS_MAX = 64

RETRY_DEFAULT = retries.RetryPolicy()

serialize = operator.methodcaller("SerializeToString")


class Operations:
    """What both clients can do. Every call that changes something takes a `request_id`, or makes
    one up, and keeps it through all retries of that call."""

    authorize_payment = Operation(payments.authorize)
    capture_payment = Operation(payments.capture)
    void_payment = Operation(payments.void)
    refund_payment = Operation(payments.refund)
    reverse_payment = Operation(payments.reverse)
    get_payment = Operation(payments.get)
    find_payment = Operation(payments.find)
    list_payments = Operation(payments.page)
    iter_payments = Listing(payments.page, lambda page: page.payments)

    create_account = Operation(accounts.create)
    get_account = Operation(accounts.get)
    list_accounts = Operation(accounts.page)
    iter_accounts = Listing(accounts.page, lambda page: page.accounts)
    freeze_account = Operation(accounts.freeze)
    unfreeze_account = Operation(accounts.unfreeze)
    close_account = Operation(accounts.close)
    create_transfer = Operation(accounts.transfer)
    list_transfers = Operation(accounts.transfers_page)
    iter_transfers = Listing(accounts.transfers_page, lambda page: page.transfers)
    get_balance_at = Operation(accounts.balance_at)

    create_merchant = Operation(merchants.create)
    get_merchant = Operation(merchants.get)
    update_merchant = Operation(merchants.update)

    get_request = Operation(requests.get)

    get_merchant_report = Operation(reporting.days)
    search_payments = Operation(reporting.search)
    iter_found_payments = Listing(reporting.search, lambda page: page.payments)
    get_account_statement = Operation(reporting.statement)
    iter_account_statement = Listing(reporting.statement, lambda page: page.lines)
    export_payments = Operation(reporting.export_payments)
    export_statement = Operation(reporting.export_statement)
    get_reporting_status = Operation(reporting.status)
    put_notification_contact = Operation(notifications.put_contact)
    get_notification_contact = Operation(notifications.get_contact)
    delete_notification_contact = Operation(notifications.delete_contact)
    put_notification_template = Operation(notifications.put_template)
    list_notification_templates = Operation(notifications.templates_page)
    iter_notification_templates = Listing(notifications.templates_page, lambda page: page.templates)
    preview_notification_template = Operation(notifications.preview_template)
    list_notifications = Operation(notifications.page)
    iter_notifications = Listing(notifications.page, lambda page: page.notifications)
    resend_notification = Operation(notifications.resend)

    create_webhook_endpoint = Operation(webhooks.create)
    get_webhook_endpoint = Operation(webhooks.get)
    list_webhook_endpoints = Operation(webhooks.page)
    iter_webhook_endpoints = Listing(webhooks.page, lambda page: page.endpoints)
    update_webhook_endpoint = Operation(webhooks.update)
    delete_webhook_endpoint = Operation(webhooks.delete)
    rotate_webhook_secret = Operation(webhooks.rotate)
    list_webhook_deliveries = Operation(webhooks.deliveries)
    iter_webhook_deliveries = Listing(webhooks.deliveries, lambda page: page.deliveries)
    redeliver_webhook = Operation(webhooks.redeliver)
    submit_payment = Operation(operations.submit)
    get_operation = Operation(operations.get)


class Connected(Operations):
    """Where a client connects, as whom, and how patiently. Opens its channels at the first call.

    `tls` is True for the system's roots or credentials from `tender.tls_credentials`; it is the
    default for targets that are not on this machine, which `insecure=True` overrides. `channels`
    is the number of HTTP/2 connections that calls take in turn; `timeout` is for all attempts of a
    call together, in seconds, unless the call has its own.
    """

    def __init__(
        self,
        target: str,
        api_key: str,
        *,
        tls: grpc.ChannelCredentials | bool | None = None,
        insecure: bool = False,
        channels: int = CHANNELS_DEFAULT,
        timeout: float = TIMEOUT_DEFAULT,
        retry: retries.RetryPolicy = RETRY_DEFAULT,
        options: Sequence[tuple[str, int | str]] = (),
    ) -> None:
        if not 1 <= channels <= CHANNELS_MAX:
            raise ValueError(f"channels is 1 to {CHANNELS_MAX}, not {channels}")
        self._endpoint = endpoints.endpoint(target, tls, insecure)
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        self._channels_count = channels
        self._timeout = timeout
        self._retry = retry
        self._options = (*endpoints.OPTIONS, *options)

    def unary(self, method: Method[Any]) -> Callable[..., Any]:
        """A method of the next channel, called as whom this client calls."""
        return functools.partial(self._open().find(method), metadata=self._metadata)

    def bidirectional(self, method: Method[Any]) -> Callable[..., Any]:
        """A streaming method of the next channel, called as whom this client calls."""
        stub = self._open().channel.stream_stream(method.path, serialize, method.parse)
        return functools.partial(stub, metadata=self._metadata)

    def _open(self) -> "Stubs":
        raise NotImplementedError

    @classmethod
    def from_env(
        cls,
        *,
        tls: grpc.ChannelCredentials | bool | None = None,
        insecure: bool = False,
        channels: int = CHANNELS_DEFAULT,
        timeout: float = TIMEOUT_DEFAULT,
        retry: retries.RetryPolicy = RETRY_DEFAULT,
    ) -> Self:
        """Connects to TENDER_TARGET as TENDER_API_KEY."""
        try:
            target, api_key = os.environ["TENDER_TARGET"], os.environ["TENDER_API_KEY"]
        except KeyError as missing:
            raise LookupError(f"The environment variable {missing.args[0]} is not set.") from None
        return cls(
            target.strip(),
            api_key.strip(),
            tls=tls,
            insecure=insecure,
            channels=channels,
            timeout=timeout,
            retry=retry,
        )

    def timeout_of(self, call: Call[Any]) -> float:
        """Seconds that a call may take with all its attempts."""
        return self._timeout if call.timeout is None else call.timeout

    def budget_of(self, call: Call[Any]) -> retries.Budget:
        """What a call that starts now may spend."""
        timeout = self.timeout_of(call)
        return retries.Budget(self._retry, timeout, time.monotonic(), call.request_id)


class Stubs:
    """The methods of one channel, bound when first called."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        self.channel = channel
        self._by_path: dict[str, Callable[..., Any]] = {}

    def find(self, method: Method[Any]) -> Callable[..., Any]:
        stub = self._by_path.get(method.path)
        if stub is None:
            stub = self.channel.unary_unary(method.path, serialize, method.parse)
            self._by_path[method.path] = stub
        return stub


class Client(Connected, AsyncBase):
    """The asynchronous client; belongs to the event loop of its first call."""

    _channels: Sequence[grpc.aio.Channel] = ()
    _stubs: Iterator[Stubs] | None = None

    @property
    def payments(self) -> AsyncPayments:
        """What takes payment commands many at a time."""
        return AsyncPayments(self)

    async def invoke(self, call: Call[Answer]) -> Answer:
        """Sends a prepared call until it is answered or its budget is spent."""
        budget = self.budget_of(call)
        now = time.monotonic()
        while True:
            stub = self._open().find(call.method)
            timeout = budget.attempt_timeout(now)
            try:
                answer: Answer = await stub(call.request, timeout=timeout, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                failure = errors.read(error)
            else:
                return answer
            await asyncio.sleep(budget.delay_after(failure, time.monotonic(), random.random()))
            now = time.monotonic()

    async def close(self) -> None:
        """Closes the channels; the outcome of calls under way is unknown."""
        opened, self._channels, self._stubs = self._channels, (), None
        for channel in opened:
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _open(self) -> Stubs:
        if self._stubs is None:
            # Only here, because a channel binds itself to the running event loop.
            self._channels = [self._channel() for _ in range(self._channels_count)]
            self._stubs = itertools.cycle([Stubs(channel) for channel in self._channels])
        return next(self._stubs)

    def _channel(self) -> grpc.aio.Channel:
        target, credentials = self._endpoint.target, self._endpoint.credentials
        if credentials is None:
            return grpc.aio.insecure_channel(target, self._options)
        return grpc.aio.secure_channel(target, credentials, self._options)


class SyncClient(Connected, SyncBase):
    """The synchronous client; threads may share it, processes may not."""

    _channels: Sequence[grpc.Channel] = ()
    _stubs: Iterator[Stubs] | None = None
    _opening = threading.Lock()

    @property
    def payments(self) -> SyncPayments:
        """What takes payment commands many at a time."""
        return SyncPayments(self)

    def invoke(self, call: Call[Answer]) -> Answer:
        """Sends a prepared call until it is answered or its budget is spent."""
        budget = self.budget_of(call)
        now = time.monotonic()
        while True:
            stub = self._open().find(call.method)
            timeout = budget.attempt_timeout(now)
            try:
                answer: Answer = stub(call.request, timeout=timeout, metadata=self._metadata)
            except grpc.RpcError as error:
                failure = errors.read(error)
            else:
                return answer
            time.sleep(budget.delay_after(failure, time.monotonic(), random.random()))
            now = time.monotonic()

    def close(self) -> None:
        """Closes the channels; the outcome of calls under way is unknown."""
        opened, self._channels, self._stubs = self._channels, (), None
        for channel in opened:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Stubs:
        stubs = self._stubs
        if stubs is None:
            with self._opening:
                stubs = self._stubs or self._connect()
        return next(stubs)

    def _connect(self) -> Iterator[Stubs]:
        self._channels = [self._channel() for _ in range(self._channels_count)]
        self._stubs = itertools.cycle([Stubs(channel) for channel in self._channels])
        return self._stubs

    def _channel(self) -> grpc.Channel:
        target, credentials = self._endpoint.target, self._endpoint.credentials
        if credentials is None:
            return grpc.insecure_channel(target, self._options)
        return grpc.secure_channel(target, credentials, self._options)
