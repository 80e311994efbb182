"""Which part of a server a stack was in: tables, read from the innermost frame outwards."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.profiles.stacks import Stacks

OTHER: Final = "other"
SYSTEM_CALL: Final = re.compile(r"^\w+ \(kernel\)$")
AND_KERNEL: Final = ", in the kernel"

Rules = Sequence[tuple[str, str]]
"""(part, pattern of a frame). The first frame from the inside that any pattern knows decides."""

SPLIT: Final = frozenset({"gateway", "processor"})
"""Servers of which a part's system calls, all of them on sockets, are told apart from the rest."""

_COMMON: Final = (("garbage collection", r"^garbage collection"),)
_TRANSPORT: Final = (
    ("another thread woken", r"^wake another thread"),
    ("gRPC core (C)", r"^gRPC core"),
    ("gRPC, Python part", r"\(grpc/"),
    ("event loop", r"^(uvloop|asyncio) \(C\)|\((asyncio|uvloop)/|\(_weakrefset\.py|\(inspect\.py"),
)

GATEWAY: Final[Rules] = (
    *_COMMON,
    ("HTTP/2 edge", r"\(gateway/edge/http2/"),
    ("gRPC edge", r"\(gateway/edge/"),
    ("who calls, and may they", r"\(gateway/(identity|access|front)\.py"),
    ("fields are valid", r"\(gateway/(plain|validation|checks)\.py|\(kit/card_numbers"),
    ("to and from the lane", r"\(gateway/(lane_\w+|commands|backlog|pressure|tenants|window)\.py"),
    ("bulk messages", r"\(gateway/(bulk|batches|streams)\.py"),
    ("call to answer", r"\(gateway/"),
    *_TRANSPORT,
)

PROCESSOR: Final[Rules] = (
    *_COMMON,
    ("arrays to the wire (asyncpg)", r"^asyncpg|\(asyncpg/"),
    ("arrays for apply", r"\(storage/postgres/"),
    ("journal row", r"\(processor/(journal|openbatch)\.py|^msgspec"),
    ("answers encoded", r"\(processor/(answers|wire)\.py"),
    ("commands read", r"\(processor/(servicer|translate|entries)\.py|\(kit/(fingerprint|internal)"),
    ("waiting room", r"\(processor/(waiting|admission)\.py|\(processor/domain/needs\.py"),
    ("decide", r"\(processor/(domain/|work|cache|clock)"),
    ("lane's beats", r"\(processor/"),
    *_TRANSPORT,
)

POSTGRES: Final[Rules] = (
    ("new log files, filled with zeros", r"^XLogFileInit"),
    ("tables grown, filled with zeros", r"^(ExtendBufferedRel|RelationAddBlocks|smgrzeroextend)"),
    ("log to disk (fdatasync)", r"^(pg_fdatasync|issue_xlog_fsync|fdatasync) "),
    ("log into the page cache", r"^XLogWrite "),
    ("log records", r"^(XLogInsert|XLogRecordAssemble|XLogFlush|log_heap_)"),
    ("index inserts", r"^(btinsert|index_insert|ExecInsertIndexTuples|_bt_doinsert) "),
    ("index look-ups", r"^(index_getnext|btgettuple|index_fetch|IndexNext|_bt_search)"),
    ("checks", r"^ExecConstraints "),
    ("large values", r"^(heap_toast_|toast_|pglz_)"),
    ("heap inserts and updates", r"^(heap_(insert|multi_insert|update|lock|page)|heapam_tuple_)"),
    ("arguments into rows", r"^(array_|split_text|text_to_|FunctionNext|ExecMakeTableFunction)"),
    ("executor: rows made and joined", r"^(Exec|standard_Executor)"),
    ("plans taken", r"^(GetCachedPlan|RevalidateCachedQuery|pg_plan|standard_planner)"),
    ("function apply itself", r"\(plpgsql\)$|^_?SPI_"),
    ("commit, without the log", r"^(CommitTransaction|AbortTransaction|StartTransaction)"),
    ("protocol", r"^(exec_bind|pq_|secure_|ReadCommand|socket_|be_|internal_|PostgresMain)"),
    ("protocol", r"^(ReceiveFunction|OidReceive|\w+recv )"),
)

LOADS: Final = (
    "accounts that are not in memory, loaded",
    re.compile(r"^Lane\._load |^PostgresLaneStore\.load "),
)
"""Whatever these do is theirs, sending included."""

RULES: Final[Mapping[str, Rules]] = {
    "gateway": GATEWAY,
    "processor": PROCESSOR,
    "postgres": POSTGRES,
}


def shares(stacks: Stacks, kind: str) -> dict[str, float]:
    """Return the share of samples in each part of a server of this kind, largest first."""
    rules = [(part, re.compile(pattern)) for part, pattern in RULES[kind]]
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        if any(LOADS[1].search(frame) for frame in stack):
            counts[LOADS[0]] += count
            continue
        part = _part(stack, rules)
        is_call = kind in SPLIT and SYSTEM_CALL.search(stack[-1]) is not None
        counts[part + AND_KERNEL if is_call else part] += count
    whole = counts.total()
    return {part: count / whole for part, count in counts.most_common()}


def _part(stack: tuple[str, ...], rules: Sequence[tuple[str, re.Pattern[str]]]) -> str:
    for frame in reversed(stack):
        for part, pattern in rules:
            if pattern.search(frame):
                return part
    return OTHER
