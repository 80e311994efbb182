"""Without the unique key in the database the same payment is made twice, and the bench says so."""

import shutil
from pathlib import Path

from benchmarks import check, generator, rounds, system
from benchmarks.load.process import Job
from deploy.local import seed
from deploy.local.options import StackOptions
from storage import migrate
from tests.mutants import table

SMALL = seed.Seed(payers=200, merchants=5)
STARTED_MS = 1_700_000_000_000
ALTERATIONS = {
    "lost": ["lost: request req_lost", "lost: payment pay_lost"],
    "amount": ["payments are as answered"],
    "untold": ["is stored, nobody was told"],
}
"""What is done to an answer that was written down, and what the check must say of it."""


def _options(folder: Path, *, mutant: bool) -> StackOptions:
    migrations = folder / "migrations"
    shutil.copytree(migrate.MIGRATIONS, migrations)
    if mutant:
        altered = table.MUTANTS["no-unique-key"]
        (migrations / altered.path.name).write_text(altered.altered())
    module = "tests.benchmarks.forgetful" if mutant else "deploy.servers.processor"
    return StackOptions(
        data_dir=folder / "stack", replicas=0, migrations=migrations, processor_module=module
    )


def _altered(histories: list[Path], how: str) -> list[Path]:
    """Return copies in which the first answer is another than was given, or left out."""
    first = histories[0].read_text().split("\n", 1)[0]
    _, request_id, payment_id, _, amount, _, _ = first.split("\t")
    copies = []
    for history in histories:
        lines = history.read_text().splitlines(keepends=True)
        ours = [line for line in lines if request_id in line]
        others = [line for line in lines if request_id not in line]
        if how == "lost":
            renamed = first.replace(request_id, "req_lost").replace(payment_id, "pay_lost")
            ours.append(renamed + "\n")
        elif how == "amount":
            ours[0] = ours[0].replace(f"\t{amount}\t", f"\t{int(amount) + 1}\t")
        else:
            ours = []
        copies.append(history.with_suffix(f".{how}"))
        copies[-1].write_text("".join([*ours, *others]))
    return copies


def _twice(folder: Path, *, mutant: bool) -> tuple[check.Found, list[list[str]]]:
    """Send the same requests twice, with a processor that starts anew in between."""
    with system.running(_options(folder, mutant=mutant), SMALL, lambda _: None) as running:
        head = running.journal_head() or 0
        histories = [folder / "first.tsv", folder / "again.tsv"]
        for history in histories:
            running.stack.restart("processor")
            system.await_lane(running.endpoints)
            host, port = running.address
            job = Job(
                host,
                port,
                running.api_key,
                world=str(running.world_folder),
                history=str(history),
                shape="closed",
                workload="pay",
                in_flight=8,
                connections=2,
                warm_seconds=0.2,
                seconds=0.5,
                seed=1,
                started_ms=STARTED_MS,
            )
            result = generator.run(job, lambda _: None, folder / "generator.log")
            assert result["errors"] == 0, result["error_kinds"]
        found = running.check(histories, head)
        return check.Found(**{name: found[name] for name in check.Found._fields}), [
            running.check(_altered(histories, how), head)["problems"] for how in ALTERATIONS
        ]


def test_the_same_requests_sent_twice_are_carried_out_once(tmp_path: Path) -> None:
    found, altered = _twice(tmp_path, mutant=False)

    assert found.answers > 50
    assert found.problems == []
    for texts, problems in zip(ALTERATIONS.values(), altered, strict=True):
        for text in texts:
            assert any(text in problem for problem in problems), (text, problems)


def test_the_check_names_duplicates_when_nothing_keeps_a_key_unique(tmp_path: Path) -> None:
    found, _ = _twice(tmp_path, mutant=True)

    assert not found.ok
    assert any("duplicate: request" in problem for problem in found.problems)
    assert any("is stored 2 times" in problem for problem in found.problems)


def test_a_round_has_no_figures_of_what_cannot_be_looked_at() -> None:
    quiet = {"rate": 1.0, "p50_ms": 1.0, "p99_ms": 1.0, "p999_ms": 1.0, "max_ms": 1.0}
    counts = {"done": 1, "declined": 0, "repeated": 0, "errors": 0, "others_cpu_share": 0.0}
    one = {**quiet, **counts, "batch_mean": None, "cpu_us": {"generator": 3.0}}

    found = rounds.together([one], None)

    assert found["ratio"] is None
    assert "batch_mean" not in found
    assert found["servers_cpu_us"] == 0
