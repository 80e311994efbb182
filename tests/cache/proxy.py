"""Stands before a server and hands everything on, later if it is told so."""

import asyncio


class Proxy:
    """Delays what goes to the server; answers come back at once."""

    def __init__(self, host: str, port: int, *, listen: str = "127.0.0.1:0") -> None:
        self._target = host, port
        self._listen = listen
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay_seconds = 0.0
        self.delayed = 0

    @property
    def place(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def __aenter__(self) -> "Proxy":
        host, _, port = self._listen.rpartition(":")
        self._server = await asyncio.start_server(self._serve, host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            there, away = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hand_on(reader, away, delays=True))
                group.create_task(self._hand_on(there, writer, delays=False))
        except* OSError:
            pass  # One side is gone, and so is the other.
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delays: bool
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if delays and self.delay_seconds:
                    self.delayed += 1
                    await asyncio.sleep(self.delay_seconds)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
