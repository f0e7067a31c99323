"""Manifests in which one thing is there thousands of times, and what commands take for them: time has to grow with the
input.

Each shape is a function from a number to documents; ``python -m tests.bench.growing [COMMAND [SHAPE...]]`` prints
seconds, memory and the exponent between a quarter of the number and all of it. Whatever grows with the square stands
out with an exponent of 2."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tests.bench.clusters import Document, labelled, namespace, pod, policy
from tests.bench.measure import measured, say

Shape = Callable[[int], Iterable[Document]]

MOST = 10_000
LIMIT = 5.0
EXPONENT = 1.2
SHAPES: dict[str, Shape] = {}
"""By name: what there are many of, and where."""
BRIEFLY = (
    "excepts in one block",
    "excepts opened again",
    "rules with a port each",
    "rules with a selector each",
    "peers in one rule",
    "values of one label",
    "equal policies",
    "policies with a pod each",
    "policies spread over namespaces",
    "wrong fields",
)
"""The shapes that are measured, for lint alone, among all benchmarks; all of them take a quarter of an hour."""

SPREAD = ("policies spread over namespaces", "policies with a pod each")
"""The shapes for which other commands are measured, too."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "lint": ("lint", "--fail-on", "error"),
    "expect": ("expect", "-o", "json"),
    "explain": ("explain", "shop/web", "shop/db", "TCP/5432"),
}


def shape(make: Shape) -> Shape:
    """Register ``make`` under its name."""
    SHAPES[make.__name__.replace("_", " ")] = make
    return make


def address(number: int, base: int = 10) -> str:
    """The ``number``th second address of BASE.0.0.0/8, so that no two are neighbours."""
    number *= 2
    return f"{base}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def world() -> Iterator[Document]:
    """Two namespaces with three pods, one of which is behind a Service."""
    yield namespace("shop", {"team": "shop"})
    yield namespace("other", {"team": "other"})
    yield pod("web", {"app": "web"}, "10.0.0.20")
    yield pod("db", {"app": "db"}, "10.0.0.21", port=5432)
    yield pod("far", {"app": "far"}, "10.0.0.22", "other")
    ports = [{"port": 80, "targetPort": 8080}]
    spec = {"selector": {"app": "web"}, "clusterIP": "10.96.0.10", "ports": ports}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}


def block(cidr: str, excepts: Sequence[str] = ()) -> Document:
    """A peer with an ipBlock."""
    return {"ipBlock": {"cidr": cidr, **({"except": list(excepts)} if excepts else {})}}


@shape
def excepts_in_one_block(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", egress=[{"to": [block("10.0.0.0/8", [f"{address(each)}/32" for each in range(number)])]}])


@shape
def excepts_opened_again(number: int) -> Iterator[Document]:
    yield from world()
    excepts = [f"{address(each)}/32" for each in range(number)]
    yield policy("many", egress=[{"to": [block("10.0.0.0/8", excepts), block("10.0.0.0/9", excepts[: number // 2])]}])


@shape
def blocks_with_an_except_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    yield policy(
        "many", egress=[{"to": [block(f"{address(each)}/31", [f"{address(each)}/32"]) for each in range(number)]}]
    )


@shape
def two_blocks_with_all_excepts(number: int) -> Iterator[Document]:
    yield from world()
    excepts = [f"{address(each)}/32" for each in range(number // 2)]
    yield policy("one", egress=[{"to": [block("10.0.0.0/8", excepts)]}])
    yield policy("two", egress=[{"to": [block("10.0.0.0/8", [*reversed(excepts)])]}])


@shape
def blocks_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", egress=[{"to": [block(f"{address(each)}/32") for each in range(number)]}])


@shape
def nested_blocks_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    cidrs = [f"10.{each >> 8 & 255}.{each & 255}.0/{24 if each % 2 else 16}" for each in range(number)]
    yield policy("many", egress=[{"to": [block(cidr) for cidr in cidrs]}])


@shape
def rules_with_a_block_each(number: int) -> Iterator[Document]:
    yield from world()
    yield policy(
        "many", egress=[{"to": [block(f"{address(each)}/32")], "ports": [{"port": 443}]} for each in range(number)]
    )


@shape
def rules_with_a_port_each(number: int) -> Iterator[Document]:
    yield from world()
    peers = [{"podSelector": labelled(app="web")}]
    yield policy("many", ingress=[{"from": peers, "ports": [{"port": 1 + each}]} for each in range(number)])


@shape
def rules_with_a_selector_each(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"from": [{"podSelector": labelled(app=f"a{each}")}]} for each in range(number)])


@shape
def rules_for_all_each_with_a_port(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"ports": [{"port": 1 + each}]} for each in range(number)])


@shape
def equal_rules(number: int) -> Iterator[Document]:
    yield from world()
    yield policy(
        "many",
        ingress=[{"from": [{"podSelector": labelled(app="web")}], "ports": [{"port": 80}]} for _ in range(number)],
    )


@shape
def rules_that_allow_all(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{} for _ in range(number)])


@shape
def equal_peers_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"from": [{"podSelector": labelled(app="web")} for _ in range(number)]}])


@shape
def peers_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"from": [{"podSelector": labelled(app=f"a{each}")} for each in range(number)]}])


@shape
def peers_of_two_dashes_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    peers = [{"podSelector": labelled(app="web")}, {"namespaceSelector": labelled(team="shop")}]
    yield policy("many", ingress=[{"from": peers * (number // 2)}])


@shape
def peers_with_a_key_each(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"from": [{"podSelector": labelled(**{f"k{each}": "x"})} for each in range(number)]}])


@shape
def ports_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"ports": [{"port": 1 + 2 * each} for each in range(number)]}])


@shape
def named_ports_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"ports": [{"port": f"p{each}"} for each in range(number)]}])


@shape
def ranges_in_one_rule(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"ports": [{"port": 1 + each, "endPort": 40000 + each} for each in range(number)]}])


@shape
def values_of_one_label(number: int) -> Iterator[Document]:
    yield from world()
    values = [f"v{each}" for each in range(number)]
    chosen = {"matchExpressions": [{"key": "app", "operator": "In", "values": values}]}
    yield policy(
        "many", ingress=[{"from": [{"podSelector": chosen, "namespaceSelector": chosen}, {"podSelector": chosen}]}]
    )
    yield policy("subjects", subjects=chosen, ingress=[{}])


@shape
def values_not_wanted(number: int) -> Iterator[Document]:
    yield from world()
    values = [f"v{each}" for each in range(number)]
    chosen = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": values}]}
    yield policy("many", subjects=chosen, ingress=[{"from": [{"podSelector": chosen}, {"namespaceSelector": chosen}]}])


@shape
def labels_in_one_selector(number: int) -> Iterator[Document]:
    yield from world()
    chosen = labelled(**{f"k{each}": "x" for each in range(number)})
    yield policy("many", ingress=[{"from": [{"podSelector": chosen}, {"namespaceSelector": chosen}]}])


@shape
def expressions_in_one_selector(number: int) -> Iterator[Document]:
    yield from world()
    chosen = {
        "matchExpressions": [{"key": "app", "operator": "NotIn", "values": [f"v{each}"]} for each in range(number)]
    }
    yield policy("many", ingress=[{"from": [{"podSelector": chosen}, {"namespaceSelector": chosen}]}])


@shape
def policies_in_one_namespace(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number):
        peers = [{"podSelector": labelled(app=f"a{each}")}]
        yield policy(f"p{each}", subjects=labelled(app="web"), ingress=[{"from": peers, "ports": [{"port": 1 + each}]}])


@shape
def equal_policies(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number):
        peers = [{"podSelector": labelled(app="db")}]
        yield policy(f"p{each}", subjects=labelled(app="web"), ingress=[{"from": peers, "ports": [{"port": 80}]}])


@shape
def policies_that_select_nobody(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number):
        yield policy(
            f"p{each}", subjects=labelled(app=f"a{each}"), egress=[{"to": [{"podSelector": labelled(app="db")}]}]
        )


@shape
def policies_with_a_pod_each(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number // 2):
        peers = [{"podSelector": labelled(app=f"a{each + 1}")}]
        yield pod(f"a{each}", {"app": f"a{each}"}, address(each))
        yield policy(f"p{each}", subjects=labelled(app=f"a{each}"), ingress=[{"from": peers}], egress=[{"to": peers}])


@shape
def policies_spread_over_namespaces(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number // 3):
        where = f"n{each}"
        yield namespace(where, {"team": f"t{each}"})
        yield pod("web", {"app": "web"}, address(each), where)
        peers = [{"namespaceSelector": labelled(team=f"t{each + 1}")}]
        yield policy("in", where, labelled(app="web"), ingress=[{"from": peers}], egress=[{"to": peers}])


@shape
def namespaces_and_a_selector_each(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number // 2):
        yield namespace(f"n{each}", {"team": f"t{each}"})
        yield policy(f"p{each}", ingress=[{"from": [{"namespaceSelector": labelled(team=f"x{each}")}]}])


@shape
def pods_with_labels_of_their_own(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"from": [{"podSelector": labelled(app="nobody")}]}])
    for each in range(number):
        yield pod(f"a{each}", {"app": f"a{each}"}, address(each))


@shape
def pods_on_nodes_network(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number // 2):
        found = pod(f"a{each}", {"app": f"a{each}"}, address(each))
        found["spec"]["hostNetwork"] = True
        yield found
        yield policy(f"p{each}", subjects=labelled(app=f"a{each}"), ingress=[{}])


@shape
def services_and_their_ports(number: int) -> Iterator[Document]:
    yield from world()
    for each in range(number // 2):
        spec = {
            "selector": {"app": "web"},
            "clusterIP": address(each, 11),
            "ports": [{"port": 10_000 + each, "targetPort": 8080}],
        }
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{each}", "namespace": "shop"},
            "spec": spec,
        }
    ports = [{"port": 10_000 + each} for each in range(number // 2)]
    yield policy(
        "many",
        subjects=labelled(app="web"),
        ingress=[{"ports": ports}],
        egress=[{"to": [block("11.0.0.0/9"), block("11.0.0.0/10")]}],
    )


@shape
def wrong_fields(number: int) -> Iterator[Document]:
    yield from world()
    yield policy("many", ingress=[{"from": [{"podSelektor": {}} for _ in range(number)]}])


@shape
def policies_of_one_name(number: int) -> Iterator[Document]:
    yield from world()
    for _ in range(number):
        yield policy("same", ingress=[{}])


def run(commands: Iterable[str] = COMMANDS, shapes: Iterable[str] = ()) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        for name in shapes or SHAPES:
            for number in (MOST // 4, MOST):
                write(Path(folder) / f"{number}.json", SHAPES[name](number))
            for command in commands:
                _measure(name, command, Path(folder))


def run_briefly() -> None:
    """Measure and print what is worth it every time."""
    run(["lint"], BRIEFLY)
    run(["expect", "explain"], SPREAD)


def listed(documents: Iterable[Document]) -> Document:
    """``documents`` as one List."""
    return {"apiVersion": "v1", "kind": "List", "items": list(documents)}


def write(path: Path, documents: Iterable[Document]) -> None:
    """Write ``documents`` as one List, indented as kubectl does it."""
    path.write_text(json.dumps(listed(documents), indent=4), encoding="utf-8")


def _measure(name: str, command: str, folder: Path) -> None:
    first, *rest = COMMANDS[command]
    base, _, _ = measured([sys.executable, "-m", "auditor", "--help"])
    runs = [
        measured([sys.executable, "-m", "auditor", first, "-f", str(folder / f"{number}.json"), *rest])
        for number in (MOST // 4, MOST)
    ]
    (quarter, _, _), (whole, memory, code) = runs
    exponent = math.log(max(whole - base, 0.01) / max(quarter - base, 0.01), 4)
    mark = "" if whole <= LIMIT and exponent <= EXPONENT else " <-- too slow"
    say(
        f"{command}: {name}",
        f"{whole:.2f} s",
        f"limit {LIMIT:g} s: {whole / LIMIT:.2f}; {whole / quarter:.2f} x a quarter of it, exponent {exponent:.2f} "
        f"(limit {EXPONENT:g}); {memory:.0f} MiB, exit {code}{mark}",
    )


if __name__ == "__main__":
    run(sys.argv[1:2] or COMMANDS, sys.argv[2:])
