"""A provider's HTTP interface on this machine, which answers as it is told to."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import web

TOKEN = "token-of-the-provider"


class Post(NamedTuple):
    """What came."""

    key: str
    authorization: str
    content: dict[str, Any]


Answer = Callable[[Post], web.StreamResponse | Awaitable[web.StreamResponse]]


class Provider:
    """What came, and what is answered to the next ones; it takes everything otherwise."""

    def __init__(self, folder: Path) -> None:
        self.posts: list[Post] = []
        self.answers: list[Answer] = []
        self.token_file = folder / "provider_token"
        self.token_file.write_text(f"{TOKEN}\n")
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/messages"

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/messages", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        post = Post(
            request.headers.get("Idempotency-Key", ""),
            request.headers.get("Authorization", ""),
            await request.json(),
        )
        self.posts.append(post)
        if not self.answers:
            return web.json_response({"id": f"p-{len(self.posts)}"})
        answer = self.answers.pop(0)(post)
        if isinstance(answer, web.StreamResponse):
            return answer
        return await answer


def says(status: int, text: str = "", **headers: str) -> Answer:
    """Answer with a status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda post: web.Response(status=status, text=text, headers=named)


def sleeps(post: Post) -> Awaitable[web.StreamResponse]:
    """Take a message and answer nothing for long."""

    async def wait() -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.json_response({"id": "late"})

    return wait()
