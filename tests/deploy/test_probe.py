"""What engines start to find out whether a server is well."""

import asyncio
import subprocess
import sys

import pytest

from kit import serving
from tests.deploy import files

SECONDS_MAX = 20


async def exit_code(*addresses: str) -> int:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "deploy.probe", *addresses],
        cwd=files.ROOT,
        timeout=SECONDS_MAX,
        check=False,
    )
    return done.returncode


@pytest.mark.parametrize(("is_serving", "code"), [(True, 0), (False, 1)])
async def test_the_answer_is_the_server_s(is_serving: bool, code: int) -> None:
    server, health = serving.create_server(rpcs_max=10), serving.Health()
    health.add_to(server)
    port = serving.bind(server, "127.0.0.1:0")
    await server.start()
    health.set_serving(is_serving)
    try:
        # Nobody listens on the first port: the other server of the image is asked.
        assert await exit_code("127.0.0.1:1", f"127.0.0.1:{port}") == code
    finally:
        await server.stop(0)


async def test_where_nobody_listens_nobody_is_well() -> None:
    assert await exit_code("127.0.0.1:1") == 1
