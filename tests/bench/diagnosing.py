"""The time that a diagnosis takes, over every dialect in every scope: one fault, two, and what no known
fault explains.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from random import Random
from time import process_time

from auditor.diagnosis.evidence import Evidence
from auditor.diagnosis.findings import find
from auditor.diagnosis.hypotheses import faults
from auditor.diagnosis.predictors import Predictor
from auditor.diagnosis.search import diagnose
from auditor.model.dialect import Dialect, Enforcement
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import Protocol
from auditor.model.report import CellResult
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Namespace, Snapshot
from auditor.model.verdict import Cell, Observation, Observed, Result, Verdict
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from tests.bench.clusters import platform
from tests.bench.growing import listed
from tests.bench.measure import say, wall
from tests.lab.naming import SHAPE, World, injected

CELLS = 5_000
LIMIT = 2.0
MOST_POLICIES = 10_000
LARGE_CELLS, LARGE_LIMIT = 22_000, 3.0
PORTS = (53, 5432, 6379, 8080, 9999)
CASES = {
    "one fault": ("ignores-egress@node-2",),
    "two faults": ("ignores-ports@node-1", "label-key-only@node-2"),
    "nothing known": (),
}


def world(policies: int) -> World:
    """A cluster of 24 pods on 4 nodes, of whose cells 5,000 are observed."""
    shape = replace(SHAPE, pods=24, nodes=4, hosts=2, namespaces=5, policies=policies)
    return World.random(3, shape, CELLS)


def large() -> World:
    """A pod on each of 500 nodes, with the 1,600 policies of 400 teams, and 20,000 connections inside teams."""
    documents = json.dumps(listed(platform(400))).encode()
    snapshot = read_snapshot([Source("cluster.json", documents)])
    on_nodes = {end.node: end for end in snapshot.endpoints if end.selectable and end.node}
    pods = tuple(on_nodes.values())
    random = Random(1)
    teams = [[pod for pod in pods if pod.namespace == name] for name in sorted({pod.namespace for pod in pods})]
    wide = [team for team in teams if len(team) > 1]
    pairs = (random.sample(random.choice(wide), 2) for _ in range(LARGE_CELLS))
    cells = [Cell(one.name, other.name, Protocol.TCP, random.choice(PORTS), Family.IPV4) for one, other in pairs]
    return World("platform", replace(snapshot, endpoints=pods), tuple(dict.fromkeys(cells)), None)


def run_large() -> None:
    """Print the seconds of processor that a diagnosis takes on many nodes with many policies."""
    cluster = large()
    nodes = [end.node for end in cluster.snapshot.endpoints if end.labels.get("app") == "worker"]
    one, other = f"ignores-egress@{nodes[0]}", f"ignores-ports@{nodes[1]}"
    for name, enforcers in {"one fault": (one,), "two faults": (one, other)}.items():
        results = observed(cluster, enforcers)
        began = process_time()
        diagnose(cluster.snapshot, results)
        seconds = process_time() - began
        differing = sum(result.result is not Result.MATCH for result in results)
        say(
            f"diagnosis of {len(results):,} cells, 500 nodes, {len(cluster.snapshot.policies):,} policies: {name}",
            f"{seconds:.2f} s",
            f"{differing} differ; limit {LARGE_LIMIT:g} s: {seconds / LARGE_LIMIT:.2f}",
        )


def observed(world: World, enforcers: tuple[str, ...]) -> list[CellResult]:
    """What the predictors themselves say of ``enforcers``; without any, one cell in twenty is different at random."""
    predictor = Predictor(world.predictor.cells)
    expected = predictor.specification
    seen = predictor.predict(injected(Enforcement.parse(enforcers))).allowed if enforcers else expected
    random = Random(1)
    results = []
    for number, cell in enumerate(world.cells):
        verdict = Verdict.ALLOWED if expected >> number & 1 else Verdict.DENIED
        allowed = bool(seen >> number & 1) ^ (not enforcers and random.random() < 0.05)
        observation = Observation(Observed.ALLOWED if allowed else Observed.DROPPED, "")
        kind = Result.MATCH if allowed == (verdict is Verdict.ALLOWED) else Result.LEAK if allowed else Result.OUTAGE
        results.append(CellResult(cell, verdict, observation, kind))
    return results


def leaks(policies: int, *, selecting_all: bool) -> tuple[Snapshot, list[CellResult]]:
    """Twenty pods of one namespace, each pair of which leaks past some of ``policies`` or all of them."""
    pods = [
        Endpoint(f"shop/p{number}", EndpointKind.POD, "shop", {"app": f"a{number}", "tier": "web"})
        for number in range(20)
    ]
    made = tuple(
        NetworkPolicy(
            "shop",
            f"n{number}",
            _selector(tier="web") if selecting_all else _selector(app=f"a{number % 20}"),
            frozenset({Direction.INGRESS}),
            (Rule((Peer(_selector(app=f"z{number}")),), (PolicyPort(Protocol.TCP, 80),)),),
        )
        for number in range(policies)
    )
    snapshot = Snapshot({"shop": Namespace.of("shop")}, tuple(pods), made)
    cells = [
        Cell(one.name, other.name, Protocol.TCP, 80, Family.IPV4) for one in pods for other in pods if one is not other
    ]
    observation = Observation(Observed.ALLOWED, "")
    return snapshot, [CellResult(cell, Verdict.DENIED, observation, Result.LEAK) for cell in cells]


def _selector(**labels: str) -> LabelSelector:
    return LabelSelector(tuple(labels.items()))


def run_findings() -> None:
    """Print what a connection that leaks costs with thousands of policies, against the limit and a quarter of them."""
    for selecting_all in (False, True):
        times = []
        for policies in (MOST_POLICIES // 4, MOST_POLICIES):
            snapshot, results = leaks(policies, selecting_all=selecting_all)
            times.append(wall(partial(find, snapshot, results, str)))
        quarter, whole = times
        which = "all of them for each pod" if selecting_all else "one in twenty for each pod"
        say(
            f"findings: {len(results)} leaks, {MOST_POLICIES:,} policies, {which}",
            f"{whole:.2f} s",
            f"limit {LIMIT:g} s: {whole / LIMIT:.2f}; {whole / quarter:.2f} x a quarter of the policies",
        )


def run() -> None:
    """Print the times against the limit."""
    run_findings()
    run_large()
    for policies in (20, 200):
        cluster = world(policies)
        for name, enforcers in CASES.items():
            results = observed(cluster, enforcers)
            evidence = Evidence(cluster.snapshot, results)
            hypotheses = sum(1 for _ in faults(evidence.predictor, stale=False, differing=evidence.differing))
            seconds = wall(partial(diagnose, cluster.snapshot, results))
            what = (
                f"diagnosis of {len(results):,} cells, {policies} policies, {len(Dialect)} dialects, "
                f"{hypotheses:,} single faults: {name}"
            )
            say(what, f"{seconds:.2f} s", f"limit {LIMIT:g} s: {seconds / LIMIT:.2f}")
