"""A whole run: yardstick, scenarios in interleaved rounds, yardstick, verify, history, verdict."""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import overload, remote, system
from benchmarks.events import group as events_group
from benchmarks.events import hall
from benchmarks.measure import machine
from benchmarks.run import Run, Usable
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.shards import city, group
from benchmarks.verdict import failures
from benchmarks.wanted import COLD_CACHE_ITEMS, Wanted
from deploy.local import seed
from deploy.local.options import StackOptions

FORMAT: Final = 1
OF_ONE_PART: Final = ("takeover", "bucket_move", "relay")
Say = Callable[[str], None]


def run(wanted: Wanted, say: Say) -> dict[str, Any]:
    """Measure what was asked for; return the results as they are written down."""
    started = time.time()
    chosen = [SCENARIOS[name] for name in wanted.scenarios]
    chosen = _with_hint(chosen, wanted)
    parts: list[dict[str, Any]] = []
    for is_cold in (False, True):
        some = [one for one in chosen if one.cold == is_cold]
        if some:
            tps = parts[0]["pgbench"]["tps"] if parts else None
            parts.append(_part(wanted, some, is_cold, tps, say))
    if wanted.shards:
        parts.append(_shards(wanted, say))
    if wanted.events:
        parts.append(_events(wanted, say))
    accidents = {
        name: one for part in parts for name, one in part.items() if name in OF_ONE_PART and one
    }
    results: dict[str, Any] = {
        "format": FORMAT,
        "started_at": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(),
        "seconds": time.time() - started,
        "pgbench": parts[0].get("pgbench", {"tps": None}),
        "scenarios": {name: one for part in parts for name, one in part["scenarios"].items()},
        "knee": parts[0].get("knee"),
        "overload": parts[0].get("overload"),
        "soak": parts[0].get("soak"),
        **{name: accidents.get(name) for name in OF_ONE_PART},
        "verify": _both([part["verify"] for part in parts]),
        "history": _both([part["history"] for part in parts]),
        "machine": machine.machine(),
        "versions": machine.versions() | parts[0]["versions"],
        "commit": machine.commit(),
        "settings": parts[0]["settings"],
        "lengths": vars(wanted.lengths),
    }
    return results | {"failures": failures(results, wanted)}


def _with_hint(chosen: list[Scenario], wanted: Wanted) -> list[Scenario]:
    """Put first what the rate of something else follows from."""
    needed: tuple[str, ...] = ()
    if wanted.overload:
        needed = overload.NEEDED
    elif any(one.knee_share for one in chosen):
        needed = ("unary",)
    return [SCENARIOS[name] for name in needed if SCENARIOS[name] not in chosen] + chosen


def _part(
    wanted: Wanted, some: Sequence[Scenario], is_cold: bool, tps: float | None, say: Say
) -> dict[str, Any]:
    opened = _remote(wanted, say) if wanted.target else _local(wanted, is_cold, say)
    with opened as (under_test, settings):
        part = Run(wanted, under_test, say).measure(some, tps)
        part["settings"] = part["settings"] | settings
    return part


def _both(parts: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Put verdicts together; None where nobody could look."""
    known = [part for part in parts if part is not None]
    return {"ok": all(part["ok"] for part in known) if known else None, "parts": known}


Opened = Iterator[tuple[Usable, Mapping[str, Any]]]


@contextlib.contextmanager
def _remote(wanted: Wanted, say: Say) -> Opened:
    assert wanted.target is not None
    place = wanted.data_dir / "remote"
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield remote.prepare(wanted.target, place, say), {"target": wanted.target.host}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _shards(wanted: Wanted, say: Say) -> dict[str, Any]:
    """Measure several shards, Redis and standbys on a stack of their own."""
    log_megabytes = wanted.lengths.log_megabytes
    with (
        _fresh(wanted.data_dir / "city") as (place, file_system),
        city.running(place, wanted.city, _log(wanted), log_megabytes, say) as running,
    ):
        part = group.Group(running, wanted, say).measure()
        part["settings"] |= {
            "file_system": file_system,
            **system.settings_of(running.stack.options),
        }
    return part


def _events(wanted: Wanted, say: Say) -> dict[str, Any]:
    """Measure a relay and Apache Kafka on a stack of their own."""
    with _fresh(wanted.data_dir / "hall") as (place, file_system):
        chosen = hall.options(place, _log(wanted))
        with system.running(chosen, wanted.warm, say, wanted.lengths.log_megabytes) as running:
            part = events_group.Group(hall.Hall.of(running), wanted, say).measure()
            part["settings"] |= {"file_system": file_system, **system.settings_of(chosen)}
    return part


@contextlib.contextmanager
def _fresh(place: Path) -> Iterator[tuple[Path, Any]]:
    """Give an empty folder on a disk, and what its file system is; it is gone afterwards."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    file_system = machine.require_disk(place)
    try:
        yield place, file_system
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _log(wanted: Wanted) -> dict[str, str]:
    """Return Postgres's settings of a log that is as large as it gets."""
    return {"min_wal_size": f"{wanted.lengths.log_megabytes}MB"}


@contextlib.contextmanager
def _local(wanted: Wanted, is_cold: bool, say: Say) -> Opened:
    """Start a stack of our own; a warm one is made anew, a cold one took long and is kept."""
    contents = wanted.cold if is_cold else wanted.warm
    options = StackOptions(
        data_dir=wanted.data_dir / "warm",
        postgres_settings=_log(wanted),
        processor_env=_caches() if is_cold else {},
    )
    options = dataclasses.replace(options, **wanted.stack)
    place = options.data_dir
    if is_cold:
        place = wanted.data_dir / f"cold-{_digest(options, contents)}"
        options = dataclasses.replace(options, data_dir=place)
    if not is_cold or not (place / "world" / "world.json").exists():
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    file_system = machine.require_disk(place)
    try:
        with system.running(options, contents, say, wanted.lengths.log_megabytes) as running:
            yield running, {"file_system": file_system, **system.settings_of(options)}
    finally:
        if not is_cold:
            shutil.rmtree(place, ignore_errors=True)


def _caches() -> dict[str, str]:
    return {"TENDER_CACHE_ITEMS_MAX": str(COLD_CACHE_ITEMS)}


def _digest(options: StackOptions, contents: seed.Seed) -> str:
    """Name what a filled folder holds: this schema, and so much in it."""
    digest = hashlib.sha256(repr(contents).encode())
    assert options.migrations is not None
    for path in sorted(options.migrations.glob("*.sql")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def write(results: dict[str, Any], path: Path) -> None:
    """Write results down, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(results, indent=1))
    unfinished.replace(path)
