"""Puts a rebuild of the reports together: journals, archives, topics and the reports' database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg

from deploy.local.commands import reports
from services.reporting import ledgers, told
from services.reporting import verify as comparing
from services.reporting.bodies import BadRow, JournalRow
from services.reporting.ledgers import ShardJournal
from services.reporting.rebuild import Busy, Done, Rebuild, Stuck, Topics
from services.reporting.verify import Verdict
from storage.archive.archiver import Archiver, Wishes
from storage.archive.folder import Folder
from storage.archive.manifest import Manifest
from storage.archive.ports import ArchiveAway, Damaged, Files
from storage.archive.reader import ArchiveReader
from storage.kafka import config
from storage.kafka.offsets import TopicReader
from storage.kafka.topic_plan import BrokersAway

CLIENT_ID = "tender-report"
NEVER_SECONDS = 3e9
"""A retention that no row outlives."""


def rebuild(
    report_url: str,
    shards: Mapping[str, str],
    archive: Path,
    bootstrap: str,
    security_file: Path | None,
    prefix: str,
    say: Callable[[str], None],
) -> Done:
    """Rebuild; `shards` are URLs by the shard's name. Raises Problem."""
    topics = [prefix + topic for topic in told.TOPICS]
    configuration = config.common(bootstrap, CLIENT_ID, security_file)

    def open_topics(since: float) -> Topics:
        return TopicReader(configuration, topics, since)

    files = Folder(archive)
    journals = [
        ShardJournal(shard, url, archived_rows(shard, url, files))
        for shard, url in sorted(shards.items())
    ]
    with explained():
        return asyncio.run(Rebuild(journals, open_topics, say).run(report_url))


def archive(shards: Mapping[str, str], folder: Path) -> int:
    """Archive all rows that there are, and delete none; return how many. Raises Problem.

    `shards` are URLs of primaries by the shard's name, as the relay's role.
    """
    wishes = Wishes(retention_seconds=NEVER_SECONDS, after_seconds=0.0, range_rows_min=1)

    async def each() -> int:
        count = 0
        for shard in shards:
            did = await Archiver(shard, shards, Folder(folder), wishes).once()
            count += did.archived if did is not None else 0
        return count

    with explained():
        return asyncio.run(each())


def archived_rows(shard: str, url: str, files: Files) -> ledgers.Archived:
    """Return what reads the rows of a shard's archive."""

    async def rows(after: int, through: int) -> AsyncIterator[Sequence[JournalRow]]:
        async with ledgers.connected(url) as connection:
            noted = await Manifest(connection).ranges(after)
        async for part in ArchiveReader(files, noted).rows(after, through):
            yield [
                JournalRow(shard, row.incarnation, row.seq, row.body, row.created_at)
                for _, row in part
            ]

    return rows


def verify(shards: Mapping[str, str], report_url: str, wait_seconds: float) -> Verdict:
    """Compare. Raises Problem."""
    with explained():
        return asyncio.run(comparing.verify(shards, report_url, wait_seconds))


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Tell what could not be done; what was there before is still there."""
    try:
        yield
    except Busy as error:
        raise reports.Problem(str(error), "Wait for it, or end it.") from None
    except (Stuck, BadRow, LookupError) as error:
        raise reports.Problem(str(error), "The reports are as they were.") from None
    except (ArchiveAway, Damaged) as error:
        raise reports.Problem(f"The archive: {error}", "The reports are as they were.") from None
    except BrokersAway as error:
        raise reports.Problem(f"Kafka: {error}", "The reports are as they were.") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"A database does not do it: {str(error) or type(error).__name__}"
        raise reports.Problem(message, "The reports are as they were.") from None
