"""The jars of Apache Kafka: fetched once, whole, and by one at a time."""

from collections import deque
from pathlib import Path

import pytest

from deploy.local import supervisor
from deploy.local.kafka import jars


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pom of a test's own; the jars' folder is named after it."""
    pom = tmp_path / "pom.xml"
    pom.write_text(jars.POM.read_text())
    monkeypatch.setattr(jars, "POM", pom)
    return pom


def test_what_is_there_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    there = jars.fetch()
    monkeypatch.setenv("PATH", "/nowhere")

    assert jars.fetch() == there
    assert list(there.glob(f"kafka_*-{jars.version()}.jar"))


def test_another_pom_has_another_folder(elsewhere: Path) -> None:
    before, text = jars.folder(), elsewhere.read_text()

    elsewhere.write_text(text.replace("<version>1<", "<version>2<"))

    assert jars.folder() != before
    assert jars.folder().name.startswith(f"kafka-{jars.version()}-")


def test_what_maven_says_is_told_and_nothing_half_done_is_left(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Maven itself finds that there is no such element.
    elsewhere.write_text(elsewhere.read_text().replace("<packaging>", "<package/><packaging>"))
    to = tmp_path / "cache" / "kafka"
    monkeypatch.setattr(jars, "folder", lambda: to)

    with pytest.raises(supervisor.StartFailed, match=r"(?s)did not come.*package"):
        jars.fetch()

    assert not to.exists()


def test_two_do_not_fetch_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    lock = tmp_path / "lock"
    monkeypatch.setattr(jars, "FETCH_SECONDS_MAX", 0.5)

    with (
        jars._alone(lock, said.append),
        pytest.raises(supervisor.StartFailed, match="another run holds"),
        jars._alone(lock, said.append),
    ):
        pytest.fail("both have it")

    assert said == ["another run is fetching Apache Kafka"]
    with jars._alone(lock, said.append):
        pass


def test_progress_is_told_without_saying_where_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "SAY_SECONDS", -1.0)
    said: list[str] = []
    lines = [
        "[INFO] Downloading from central: https://x/a/kafka_2.13-4.2.1.jar\n",
        "[INFO] Downloaded from central: https://x/a/kafka_2.13-4.2.1.jar (5 MB at 1 MB/s)\n",
        "Downloaded from central: https://x/a/kafka_2.13-4.2.1.pom (5 kB at 1 kB/s)\n",
    ]

    jars._follow(iter(lines), deque(maxlen=2), said.append)

    assert said == ["Maven has fetched 1 jars, kafka_2.13-4.2.1.jar the last of them"]


def test_the_jars_are_those_of_the_lock() -> None:
    assert jars.digests(jars.fetch()) == jars.LOCK.read_text()


def test_another_jar_than_the_locked_one_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jar").write_bytes(b"as it was")
    (tmp_path / "b.jar").write_bytes(b"the same")
    monkeypatch.setattr(jars, "LOCK", tmp_path / "lock")
    jars.LOCK.write_text(jars.digests(tmp_path))
    jars._require_locked(tmp_path)

    (tmp_path / "a.jar").write_bytes(b"another")
    (tmp_path / "c.jar").write_bytes(b"one more")

    with pytest.raises(supervisor.StartFailed, match=r": a\.jar, c\.jar$"):
        jars._require_locked(tmp_path)
