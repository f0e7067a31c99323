"""``audit cleanup``: what earlier runs have left in a cluster, found and removed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from auditor.cli import parameters
from auditor.cli.connection import DURATION, UNITS, connection_options, read_connection
from auditor.cli.exit_codes import AS_EXPECTED, ENVIRONMENT
from auditor.cli.help import SectionedCommand
from auditor.model.words import pluralize

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.client.options import ConnectionOptions
    from auditor.cluster.kubernetes.session.cleanup import Deletion
    from auditor.cluster.kubernetes.session.leftovers import Leftover, Leftovers

RUN_ID = re.compile(r"[0-9a-f]{8}\Z")


@dataclass(frozen=True, slots=True)
class CleanupOptions:
    """Where to look (no namespaces: everywhere), and what of it to delete: of one run or of all dead ones,
    ``older_than`` seconds.
    """

    connection: ConnectionOptions
    namespaces: tuple[str, ...] = ()
    run_id: str | None = None
    older_than: float = 0.0
    dry_run: bool = False


def _read_run(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is not None and not RUN_ID.match(text):
        raise click.BadParameter(
            f"{text!r} is not a run id: it is eight of 0-9 and a-f, as in the report and the Lease"
        )
    return text


def _read_age(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Seconds."""
    found = DURATION.match(text)
    if not found:
        raise click.BadParameter(f"{text!r} is not a valid duration: write 30s, 10m or 1h")
    return float(found[1]) * UNITS[found[2]]


@click.command("cleanup", cls=SectionedCommand)
@parameters.namespace_option("Only this namespace; may be repeated.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, which is also the default.")
@click.option("--run", "run_id", callback=_read_run, metavar="ID", help="Only this run, even if it is still going on.")
@click.option(
    "--older-than",
    callback=_read_age,
    default="0",
    metavar="TIME",
    help="Only what was created at least this long ago: 10m, 1h.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; delete nothing.")
@connection_options
def command(
    *,
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    run_id: str | None,
    older_than: float,
    dry_run: bool,
    **connection: Any,
) -> int:
    """Remove what earlier audits have left in a cluster: Leases, ConfigMaps and probe pods, and of 'audit conformance'
    namespaces and policies of administrators.

    Runs that are still going on are left alone unless --run names them. Nothing that an audit did not create is ever
    touched.
    """
    parameters.check_scope(namespaces, all_namespaces=all_namespaces)
    return cleanup(CleanupOptions(read_connection(**connection), namespaces, run_id, older_than, dry_run))


def cleanup(options: CleanupOptions) -> int:
    """Do what ``options`` say. Returns the exit code."""
    from auditor.cli.interruption import LEAVES_THE_REST, run_interruptibly

    return run_interruptibly(_clean(options), LEAVES_THE_REST)


async def _clean(options: CleanupOptions) -> int:
    from auditor.cluster.kubernetes.client.config import connect
    from auditor.cluster.kubernetes.client.server import ApiServer
    from auditor.cluster.kubernetes.session.cleanup import delete_leftovers
    from auditor.cluster.kubernetes.session.leftovers import find_leftovers
    from auditor.report.lines import say, say_aside

    async with ApiServer(await connect(options.connection)) as api:
        found = await find_leftovers(api, options.namespaces)
        chosen = found.chosen(options.run_id, options.older_than)
        for line in (*describe(found, chosen), *found.strangers):
            say(line)
        done = None if options.dry_run or not chosen else await delete_leftovers(api, chosen)
    for line in () if done is None else conclude(chosen, done):
        say(line)
    failures = () if done is None else done.failures
    for line in (*failures, *found.unseen):
        say_aside(f"error: {line}")
    return ENVIRONMENT if failures or found.unseen else AS_EXPECTED


def conclude(chosen: Sequence[Leftover], done: Deletion) -> Iterator[str]:
    """What became of ``chosen``. What somebody else keeps is reported and is not an error: only they can fix it."""
    yield from done.kept
    if done.failures:
        yield f"{len(done.failures)} of {len(chosen)} could not be deleted"
    elif not done.kept:
        yield f"deleted {counts(chosen)}"
    elif len(done.kept) < len(chosen):
        yield f"deleted {len(chosen) - len(done.kept)} of {len(chosen)} objects"


def describe(found: Leftovers, chosen: tuple[Leftover, ...]) -> list[str]:
    """A line for each run of which there is anything, or for each of its parts that have different Leases or fates."""
    if not found.objects:
        return ["no audit has left anything behind"]
    parts: dict[tuple[str, str, bool], list[Leftover]] = {}
    for item in found.objects:
        of = found.holders.get(item.judged_by) or f"run {item.run_id}, whose Lease is gone"
        parts.setdefault((item.run_id, of, item.judged_by in found.alive), []).append(item)
    lines = []
    for (run_id, of, alive), objects in parts.items():
        where = ", ".join(sorted({item.place for item in objects}))
        kept = ""
        if not any(item.uid == other.uid for item in chosen for other in objects):
            kept = f": still going on, so it is left alone; --run {run_id} ends it" if alive else ": left alone"
        lines.append(f"{of}: {counts(objects)} in {where}{kept}")
    return lines


def counts(objects: Iterable[Leftover]) -> str:
    """``1 Lease, 9 Pods``."""
    return ", ".join(pluralize(count, kind) for kind, count in Counter(item.kind for item in objects).items())
