"""From samples to stacks, parts and pictures."""

import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import profile
from benchmarks.profiles import flame, page, parts, samplers, stacks, statements, threads

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"

# What py-spy writes, shortened: threads, start of the server, then what it does.
START = (
    "0x7f (libc.so.6);_run_module_as_main (<frozen runpy>:173);run (kit/serving.py:219);"
    "run (uvloop/__init__.py:38);Runner.run (asyncio/runners.py:86);"
    "run_forever (loop.c:33192);uv_run (core.c:452);task_step (_asynciomodule.c:2990)"
)
CYGRPC = "grpc/_cython/cygrpc.cpython-311-x86_64-linux-gnu.so"
PY_SPY = f"""\
thread (7): MainThread;{START};Endpoint.answer (gateway/endpoint.py:70);malloc (libc.so.6) 3
thread (7): MainThread;{START};0x7a ({CYGRPC});0x7b ({CYGRPC});Endpoint.answer (gateway/endpoint.py:70) 2
thread (7): MainThread;{START};0x7a ({CYGRPC});0x7f (libc.so.6);sendmsg (libc.so.6) 4
thread (7): MainThread;{START};0x7a ({CYGRPC});eventfd_write (libc.so.6);write (libc.so.6) 10
thread (7): MainThread;{START};_PyObject_Call (call.c:9);gc_collect_main (libpython3.11.so.1.0) 1
thread (7): MainThread;{START};uv__io_poll (linux.c:1430);epoll_pwait (libc.so.6) 90
thread (8): metrics;run (threading.py:982);select (selectors.py:402) 50
"""  # noqa: E501 - a sample is one line.

PERF = """\
postgres
\t          15a0d3 heap_update (/opt/pg/bin/postgres)
\t           129ee exec_stmt_execsql.isra.0 (/opt/pg/lib/plpgsql.so)
\t          46ebbb PostgresMain (/opt/pg/bin/postgres)
\t          1139d7 main (/opt/pg/bin/postgres)

postgres
\tffffffff812072 __x64_sys_fdatasync ([kernel.kallsyms])
\t           fece0 fdatasync@@GLIBC_2.2.5 (/usr/lib/libc.so.6)
\t          43fa98 pg_fdatasync (/opt/pg/bin/postgres)
\t               0 [unknown] ([unknown])
\t          46ebbb PostgresMain (/opt/pg/bin/postgres)

"""

LOOP = ("uvloop (C)", "asyncio (C)")


def test_of_a_python_server_only_the_busy_main_thread_is_kept_from_its_loop_on() -> None:
    found = stacks.of_python(PY_SPY)

    answer = "Endpoint.answer (gateway/endpoint.py)"
    assert found == {
        (*LOOP, answer): 3,
        (*LOOP, "gRPC core (C)", answer): 2,
        (*LOOP, "gRPC core (C)", "sendmsg (kernel)"): 4,
        (*LOOP, "gRPC core (C)", stacks.WAKE, "write (kernel)"): 10,
        (*LOOP, "garbage collection (Python)"): 1,
    }


def test_of_postgres_the_stack_below_a_backend_s_main_function_is_kept() -> None:
    found = stacks.of_perf(PERF, samplers.BEGIN_OF_BACKEND)

    assert found == {
        ("exec_stmt_execsql (plpgsql)", "heap_update (postgres)"): 1,
        ("pg_fdatasync (postgres)", "fdatasync (libc)", "__x64_sys_fdatasync (kernel)"): 1,
    }


def test_time_belongs_to_the_innermost_part_that_is_known() -> None:
    assert parts.shares(stacks.of_python(PY_SPY), "gateway") == {
        "another thread woken, in the kernel": 0.5,
        "call to answer": 0.25,
        "gRPC core (C), in the kernel": 0.2,
        "garbage collection": 0.05,
    }
    assert parts.shares(stacks.of_perf(PERF, samplers.BEGIN_OF_BACKEND), "postgres") == {
        "heap inserts and updates": 0.5,
        "log to disk (fdatasync)": 0.5,
    }


def test_what_a_load_sends_is_the_load_s() -> None:
    load = (*LOOP, "Lane._load (processor/lane.py)", "asyncpg (C)", "write (kernel)")
    apply = (*LOOP, "PostgresLaneStore.apply (storage/postgres/lane_store.py)", "write (kernel)")

    found = parts.shares(Counter({load: 1, apply: 3}), "processor")

    assert found == {"arrays for apply, in the kernel": 0.75, parts.LOADS[0]: 0.25}


@pytest.mark.parametrize("kind", ["gateway", "processor"])
def test_every_file_of_ours_that_parts_are_made_of_is_there(kind: str) -> None:
    for _, pattern in parts.RULES[kind]:
        for place, names in re.findall(
            r"\\\(((?:gateway|processor|storage|kit)/[\w/]*)(?:\(([\w|]+)\)\\\.py)?", pattern
        ):
            found = [ROOT / f"{place}{name}.py" for name in names.split("|")] if names else []
            found = found or [*(ROOT / place).parent.glob(f"{Path(place).name}*")]
            assert found, pattern
            assert all(path.exists() for path in found), pattern


# Pictures.

STACKS: stacks.Stacks = Counter(
    {("a (x.py)", "b (x.py)"): 60, ("a (x.py)", "c & d (kernel)"): 30, ("e (pg)",): 10}
)


def drawn(svg: str) -> dict[str, dict[str, str]]:
    """Return the boxes of a picture by their tooltips."""
    groups = ElementTree.fromstring(svg).findall(f"{SVG}g")
    return {one.findtext(f"{SVG}title", ""): one[1].attrib for one in groups}


def test_a_frame_is_as_wide_as_its_share_and_stands_on_its_caller() -> None:
    found = drawn(flame.svg(STACKS, "gateway", "100 samples", whole_us=50.0))

    whole = found["all: 100 samples, 100.0%, 50.0 µs per payment"]
    caller = found["a (x.py): 90 samples, 90.0%, 45.0 µs per payment"]
    callee = found["c & d (kernel): 30 samples, 30.0%, 15.0 µs per payment"]
    assert float(caller["width"]) == pytest.approx(0.9 * float(whole["width"]), abs=0.5)
    assert float(callee["width"]) == pytest.approx(0.3 * float(whole["width"]), abs=0.5)
    assert int(whole["y"]) > int(caller["y"]) > int(callee["y"])
    ends = [float(one["x"]) + float(one["width"]) for one in found.values()]
    assert max(ends) <= flame.WIDTH - flame.MARGIN + 0.1


def test_a_picture_needs_nothing_else_and_is_the_same_every_time() -> None:
    svg = flame.svg(STACKS, "a < b", "")

    assert svg == flame.svg(Counter(dict(reversed(STACKS.items()))), "a < b", "")
    assert not re.search(r"<script|href|url\(|@import", svg)
    assert "a &lt; b" in svg


def test_what_is_too_narrow_to_see_is_left_out() -> None:
    many: stacks.Stacks = Counter({("a (x.py)",): 1_000_000, ("b (x.py)",): 1})

    assert "b (x.py)" not in flame.svg(many, "", "")


def test_colours_say_whose_a_frame_is() -> None:
    hues = {
        name: flame.owner(name)
        for name in ("f (gateway/plain.py)", "f (asyncio/x.py)", "f (postgres)", "write (kernel)")
    }

    assert list(hues.values()) == ["ours", "library", "native", "kernel"]
    assert flame.colour("f (postgres)") == flame.colour("f (postgres)")


# What is asked of the system.


def test_without_py_spy_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert profile.main([]) == 2
    assert f"py-spy is not at {tmp_path / 'py-spy'}" in capsys.readouterr().err


def test_without_perf_postgres_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(samplers.Missing, match="perf is not installed"):
        samplers.perf()
    server = {"cpu_us": 9.0, "main_thread_cpu_us": 8.0, "samples": 9, "parts": {"decide": 1.0}}
    one = {
        "rate": 1_000.0,
        "batch_mean": 40.0,
        "others_cpu_share": 0.0,
        "servers": {"gateway": server, "processor": server},
        "statements": [{"what": "UPDATE accounts", "us": 3.0, "rows": 1}],
    }
    shown = page.profiles({"scenarios": {"unary": one}})
    assert page.NO_PERF in shown
    assert "images/gateway-unary.svg" in shown
    assert "images/postgres" not in shown
    assert "| decide | 8.0 | 100% |" in shown


def test_threads_beside_the_main_one_are_counted_apart() -> None:
    before = threads.cpu(threading.get_native_id())
    busy = threading.Thread(target=spend, args=(0.3,))
    busy.start()
    while_busy = threads.cpu(threading.get_native_id())
    busy.join()
    spend(0.3)
    after = threads.cpu(threading.get_native_id())

    assert while_busy.main - before.main < 0.2
    assert after.main - before.main >= 0.2


def spend(seconds: float) -> None:
    """Use so much CPU in this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_statements_inside_apply_are_named_by_what_they_do() -> None:
    text = (ROOT / "storage" / "migrations" / "0003_apply.sql").read_text()
    written = {match[0] for match in re.finditer(r"INSERT INTO \w+|UPDATE \w+", text)}

    assert written
    for one in written:
        assert statements.named(f"{one} SELECT n.id FROM unnest($1) AS n") == one
    assert statements.named("SELECT 1 FROM lanes WHERE shard = $1") == "SELECT FROM lanes"
    assert statements.named("p_seq = 1") == "other"


# The page.


def test_a_section_takes_the_place_of_the_one_before() -> None:
    text = "above\n<!-- one: make it -->\nold\n<!-- /one -->\nbelow\n"

    found = page.filled(text, "one", "new")

    assert found == "above\n<!-- one: make it -->\nnew\n<!-- /one -->\nbelow\n"
    with pytest.raises(page.NoMarker):
        page.filled(text, "two", "new")


def test_every_picture_on_the_page_is_there() -> None:
    text = (ROOT / page.PAGE).read_text()
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)

    assert pictures
    assert [one for one in pictures if not (ROOT / "docs" / one).exists()] == []
