"""Answers NotificationService: contacts, templates and the log of messages."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from kit import logs, page_tokens
from services.calls import Calls, Problem, Refused
from services.database import ACQUIRE_SECONDS_MAX, Connection, Pool
from services.notifications import (
    answers,
    checks,
    contact_store,
    log_store,
    template_store,
    templates,
)
from services.notifications.checks import Problems
from services.notifications.engine import Broken
from services.notifications.worker import LOST
from tender.v1 import lane_pb2
from tender.v1 import notification_pb2 as pb

Principal = lane_pb2.Principal
log: Final = logs.logger()

_FIRST: Final = ("", "", "", "")


class NotificationCalls:
    """The calls, on a database."""

    def __init__(
        self, pool: Pool, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._pool = pool
        self._clock = clock

    def calls(self) -> Calls:
        """Return what gateways may hand on."""
        return Calls(
            {
                "PutNotificationContact": (pb.PutNotificationContactRequest, self.put_contact),
                "GetNotificationContact": (pb.GetNotificationContactRequest, self.get_contact),
                "DeleteNotificationContact": (
                    pb.DeleteNotificationContactRequest,
                    self.delete_contact,
                ),
                "PutNotificationTemplate": (pb.PutNotificationTemplateRequest, self.put_template),
                "ListNotificationTemplates": (
                    pb.ListNotificationTemplatesRequest,
                    self.list_templates,
                ),
                "PreviewNotificationTemplate": (
                    pb.PreviewNotificationTemplateRequest,
                    self.preview_template,
                ),
                "ListNotifications": (pb.ListNotificationsRequest, self.list_notifications),
                "ResendNotification": (pb.ResendNotificationRequest, self.resend),
            }
        )

    async def put_contact(
        self, request: pb.PutNotificationContactRequest, principal: Principal
    ) -> pb.PutNotificationContactResponse:
        """Set a contact."""
        contact = checks.contact(principal.tenant_id, request.contact)
        _check_own(contact.user_id, principal)
        async with self._connection() as connection:
            stored = await contact_store.put(connection, contact)
        log.info("notification_contact_put", tenant_id=principal.tenant_id)
        return pb.PutNotificationContactResponse(contact=answers.contact(stored))

    async def get_contact(
        self, request: pb.GetNotificationContactRequest, principal: Principal
    ) -> pb.GetNotificationContactResponse:
        """Return a contact."""
        user_id = _user_id(request.user_id)
        _check_own(user_id, principal)
        async with self._connection() as connection:
            stored = await contact_store.get(connection, principal.tenant_id, user_id)
        if stored is None:
            raise Refused("CONTACT_UNKNOWN")
        return pb.GetNotificationContactResponse(contact=answers.contact(stored))

    async def delete_contact(
        self, request: pb.DeleteNotificationContactRequest, principal: Principal
    ) -> pb.DeleteNotificationContactResponse:
        """Erase a contact."""
        user_id = _user_id(request.user_id)
        _check_own(user_id, principal)
        async with self._connection() as connection:
            await contact_store.erase(connection, principal.tenant_id, user_id)
        log.info("notification_contact_erased", tenant_id=principal.tenant_id)
        return pb.DeleteNotificationContactResponse()

    async def put_template(
        self, request: pb.PutNotificationTemplateRequest, principal: Principal
    ) -> pb.PutNotificationTemplateResponse:
        """Put another version of a template."""
        template = checks.template(request.template)
        _tried(template)
        async with self._connection() as connection:
            stored = await template_store.put(connection, principal.tenant_id, template)
        return pb.PutNotificationTemplateResponse(template=answers.template(stored))

    async def list_templates(
        self, request: pb.ListNotificationTemplatesRequest, principal: Principal
    ) -> pb.ListNotificationTemplatesResponse:
        """Return a page of templates."""
        problems = Problems()
        type_name = checks.filter_text(request.type, "type", problems)
        problems.refuse_if_any()
        size = checks.page_size(request.page_size)
        sealed = ["templates", principal.tenant_id, type_name]
        after = _FIRST
        if request.page_token:
            after = _texts(_read(request.page_token, sealed))
        async with self._connection() as connection:
            found = await template_store.page(
                connection, principal.tenant_id, type_name, after, size + 1
            )
        page = found[:size]
        token = ""
        if len(found) > size:
            last = page[-1]
            place = [last.template.type, last.template.channel, last.template.language]
            token = page_tokens.write(json.dumps([*place, last.tenant_id]).encode(), sealed)
        return pb.ListNotificationTemplatesResponse(
            templates=[answers.template(it) for it in page], next_page_token=token
        )

    async def preview_template(
        self, request: pb.PreviewNotificationTemplateRequest, principal: Principal
    ) -> pb.PreviewNotificationTemplateResponse:
        """Show what a template makes of a sample."""
        given = request.template
        if given.text:
            template = checks.template(given)
            shown = pb.NotificationTemplate()
            shown.CopyFrom(given)
        else:
            stored = await self._stored(given, principal)
            template, shown = stored.template, answers.template(stored)
        made = _tried(template)
        return pb.PreviewNotificationTemplateResponse(
            template=shown, subject=made.subject, text=made.text, html=made.html
        )

    async def list_notifications(
        self, request: pb.ListNotificationsRequest, principal: Principal
    ) -> pb.ListNotificationsResponse:
        """Return a page of the log."""
        filters = _filters(request)
        if principal.merchant_id:
            if filters.user_id not in {"", principal.merchant_id}:
                return pb.ListNotificationsResponse()
            filters = replace(filters, user_id=principal.merchant_id)
        size = checks.page_size(request.page_size)
        sealed = ["notifications", principal.tenant_id]
        sealed += [filters.user_id, filters.event_id, filters.state, filters.notification_id]
        before = log_store.NUMBER_MAX
        if request.page_token:
            before = _number(_read(request.page_token, sealed))
        async with self._connection() as connection:
            found = await log_store.page(connection, principal.tenant_id, filters, before, size + 1)
        page = found[:size]
        token = ""
        if len(found) > size:
            token = page_tokens.write(str(page[-1].number).encode(), sealed)
        return pb.ListNotificationsResponse(
            notifications=[answers.notification(it) for it in page], next_page_token=token
        )

    async def resend(
        self, request: pb.ResendNotificationRequest, principal: Principal
    ) -> pb.ResendNotificationResponse:
        """Send a message again."""
        problems = Problems()
        request_id = checks.request_id(request.request_id, problems)
        notification_id = checks.filter_text(request.notification_id, "notification_id", problems)
        problems.refuse_if_any()
        tenant_id = principal.tenant_id
        async with self._connection() as connection:
            found = await log_store.get(connection, tenant_id, notification_id)
            if found is None or principal.merchant_id not in {"", found.user_id}:
                raise Refused("NOTIFICATION_UNKNOWN")
            made = await log_store.resend(
                connection, tenant_id, notification_id, request_id, self._clock()
            )
        if made is None:
            raise Refused("NOTIFICATION_STATE", metadata={"state": found.state.upper()})
        return pb.ResendNotificationResponse(notification=answers.notification(made))

    async def _stored(
        self, given: pb.NotificationTemplate, principal: Principal
    ) -> template_store.Stored:
        problems = Problems()
        channel = checks.channel(given.channel, "template.channel", problems)
        type_name = checks.message_type(given.type, "template.type", problems)
        language = checks.language(given.language or "en", "template.language", problems)
        problems.refuse_if_any()
        async with self._connection() as connection:
            shelf = await template_store.shelf(connection, [principal.tenant_id], [type_name])
        found = shelf.stored(principal.tenant_id, type_name, channel, language)
        if found is None:
            raise Refused("TEMPLATE_UNKNOWN")
        return found

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                yield connection
        except LOST as error:
            log.warning("notifications_wait", on="database", reason=type(error).__name__)
            raise Refused("SERVICE_UNAVAILABLE", metadata={"service": "notifications"}) from None


def _check_own(user_id: str, principal: Principal) -> None:
    """Let a merchant's own key see that merchant's contact alone."""
    if principal.merchant_id not in {"", user_id}:
        raise Refused("CONTACT_UNKNOWN")


def _user_id(text: str) -> str:
    problems = Problems()
    checks.user_id(text, "user_id", problems)
    problems.refuse_if_any()
    return text


def _tried(template: templates.Template) -> templates.Parts:
    try:
        return templates.try_out(template)
    except Broken as broken:
        problem = Problem("template", str(broken))
        raise Refused("TEMPLATE_BROKEN", problems=(problem,)) from None


def _filters(request: pb.ListNotificationsRequest) -> log_store.Filters:
    problems = Problems()
    by_number = {number: name for name, number in answers.STATES.items()}
    state = ""
    if request.state:
        state = by_number.get(request.state, "")
        if not state:
            problems.note("state", "is not known")
    filters = log_store.Filters(
        checks.filter_text(request.user_id, "user_id", problems),
        checks.filter_text(request.event_id, "event_id", problems),
        state,
        checks.filter_text(request.notification_id, "notification_id", problems),
    )
    problems.refuse_if_any()
    return filters


def _read(token: str, sealed: list[str]) -> bytes:
    try:
        return page_tokens.read(token, sealed)
    except page_tokens.BadPageToken:
        raise Refused("PAGE_TOKEN_INVALID") from None


def _texts(content: bytes) -> tuple[str, str, str, str]:
    try:
        type_name, channel, language, tenant = json.loads(content)
    except ValueError:
        raise Refused("PAGE_TOKEN_INVALID") from None
    place = (type_name, channel, language, tenant)
    if not all(isinstance(it, str) for it in place):
        raise Refused("PAGE_TOKEN_INVALID")
    return place


def _number(content: bytes) -> int:
    if not content.isdigit() or len(content) > 19:
        raise Refused("PAGE_TOKEN_INVALID")
    return min(int(content), log_store.NUMBER_MAX)
