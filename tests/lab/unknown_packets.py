"""The enforcers of ``tests.lab.unknown_faults`` with packets: each as rules of nftables, in a cluster that shows it.

Such an enforcer is a predicate of packets, so its rules list what passes, address by address and port by port; a pod's
own node filters what it sends, and what it receives from elsewhere than pods. What an audit sees under these rules must
be what was computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TypeAlias

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.control import Control
from auditor.cluster.lab.dialects import BEHAVIOURS
from auditor.cluster.lab.lab import Lab
from auditor.cluster.lab.nftables import node_ruleset
from auditor.cluster.lab.policing import Allowance, PortSpan
from auditor.model.dialect import Dialect
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.model.verdict import Cell, Result
from auditor.probing.options import NoProgress
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.lab.auditing import HASTY
from tests.lab.naming import World
from tests.lab.unknown_faults import UNKNOWN, Answer, Enforcer, passes, ports_of, results, worlds
from tests.oracle.matching import Packet

Allowances: TypeAlias = tuple[Allowance, ...]

MOST_TRIES = 3
"""Audits of one enforcer: a machine that is busy makes a connection look denied now and then."""


class UnknownLab(Lab):
    """A lab that runs one of these enforcers on every node."""

    def __init__(self, snapshot: Snapshot, nodes: Sequence[str]) -> None:
        super().__init__(snapshot, nodes=nodes)
        self._allowed: Mapping[str, tuple[Allowances, Allowances]] = {}
        self._numbers = count(1_000)

    async def play(self, world: World, enforcer: Enforcer) -> None:
        """Put ``enforcer`` in force; ``world`` is what an audit tries."""
        self._allowed = allowances(world, enforcer)
        await self._program(self._running())

    async def _program(self, control: Control) -> None:
        generation, specification = next(self._numbers), BEHAVIOURS[Dialect.SPEC]
        rulesets = []
        for node, namespace in self._topology.nodes.items():
            links = [link for link in self._topology.links if link.pod.node == node]
            pods = {link.interface: self._allowed.get(link.pod.name, (None, None)) for link in links}
            rulesets.append((namespace, node_ruleset(specification, generation, pods)))
        await control.request("program", rulesets=rulesets, later=[])


def allowances(world: World, enforcer: Enforcer) -> dict[str, tuple[Allowances, Allowances]]:
    """What each pod on the pod network may receive and send, by its name."""
    ports = list(ports_of(world))
    others = [end for end in world.snapshot.endpoints if not end.selectable]
    every_pod = Allowance(AddressSet.of(address for pod in enforcer.pods for address in pod.addresses), None)
    return {
        pod.name: (
            (every_pod, *_pairs(enforcer, ((other, pod, other) for other in others), ports)),
            tuple(_pairs(enforcer, ((pod, other, other) for other in world.snapshot.endpoints), ports)),
        )
        for pod in enforcer.pods
    }


def _pairs(
    enforcer: Enforcer,
    pairs: Iterable[tuple[Endpoint, Endpoint, Endpoint]],
    ports: Sequence[tuple[Protocol, int]],
) -> Iterator[Allowance]:
    """What passes of ``pairs``: source, destination, and the one of them whose address the rule names."""
    for source, destination, named in pairs:
        for family in named.families:
            spans: tuple[PortSpan, ...] = tuple(
                (protocol, port, port)
                for protocol, port in ports
                if passes(enforcer, Packet(source, destination, protocol, port, family))
            )
            address = named.address(family)
            if spans and address is not None:
                yield Allowance(AddressSet.of([address]), spans)


def sample(found: Iterable[Answer]) -> dict[str, list[type[Enforcer]]]:
    """The enforcers to play, by the name of the cluster: of those that show each, by ``found``, the one with fewest
    connections.
    """
    sizes = {world.name: len(world.cells) for world in worlds()}
    shown: dict[str, list[str]] = {}
    for answer in found:
        shown.setdefault(answer.enforcer, []).append(answer.world)
    chosen: dict[str, list[type[Enforcer]]] = {}
    for kind in UNKNOWN:
        if kind.__name__ in shown:
            chosen.setdefault(min(shown[kind.__name__], key=sizes.__getitem__), []).append(kind)
    return chosen


async def play(world: World, kinds: Sequence[type[Enforcer]]) -> list[str]:
    """Audit ``world`` with packets under each of ``kinds``: what came out otherwise than computed, in words."""
    wrong = []
    async with UnknownLab(world.snapshot, nodes=world.nodes) as lab:
        for kind in kinds:
            enforcer = kind(world.snapshot)
            await lab.play(world, enforcer)
            wrong += [f"{world.name} under {kind.__name__}: {text}" for text in await _audited(lab, world, enforcer)]
    return wrong


async def _audited(lab: UnknownLab, world: World, enforcer: Enforcer) -> list[str]:
    computed = {result.cell: result.result for result in results(world, enforcer)}
    different: list[str] = []
    for patience in range(1, MOST_TRIES + 1):
        options = AuditOptions(probing=replace(HASTY, timeout=HASTY.timeout * patience))
        report = await audit(lab, type(enforcer).__name__, options, NoProgress())
        different = [_say(cell, computed[cell.cell]) for cell in report.cells if _differs(cell, computed)]
        if not different:
            break
    return different


def _differs(seen: CellResult, computed: Mapping[Cell, Result]) -> bool:
    known = computed.get(seen.cell)
    return known is not None and seen.result not in (known, Result.SKIPPED, Result.UNDEFINED)


def _say(seen: CellResult, computed: Result) -> str:
    return f"{seen.cell} was {seen.result} with packets, {computed} by computation"
