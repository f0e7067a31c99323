"""The graph of who may reach whom."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import MatrixView
from auditor.report.expected_graph import MOST_EDGES, MOST_NODES, Edge, graph_of
from auditor.report.registry import EXPECT, renderer
from tests.unit.report.hostile import is_harmless, texts


def pods(*names):
    return tuple(Endpoint(name, EndpointKind.POD, name.split("/")[0], {"app": name.split("/", 1)[1]}) for name in names)


def view(endpoints, *policies):
    namespaces = {one.namespace: Namespace.of(one.namespace) for one in endpoints}
    snapshot = Snapshot(namespaces, endpoints, policies)
    return MatrixView(evaluate(snapshot), endpoints, endpoints)


def only_from(namespace, app, source, port):
    peer = Peer(LabelSelector((("app", source),)))
    rule = Rule((peer,), (PolicyPort(number=port),))
    chosen = LabelSelector((("app", app),))
    return NetworkPolicy(namespace, app, chosen, frozenset({Direction.INGRESS}), (rule,))


def test_arrows_are_what_the_policies_allow():
    graph = graph_of(view(pods("prod/web", "prod/db"), only_from("prod", "db", "web", 5432), DENY_WEB))
    names = [node.label for node in graph.nodes]
    assert [(names[edge.source], names[edge.destination], edge.ports) for edge in graph.edges] == [
        ("prod/web", "prod/db", "TCP/5432")
    ]
    assert graph.edges[0].sure
    assert graph.groups == {"prod": [0, 1]}
    assert not graph.remark


DENY_WEB = NetworkPolicy("prod", "web", LabelSelector((("app", "web"),)), frozenset({Direction.INGRESS}))


def alone(name):
    """A pod that a policy of its own tells apart."""
    namespace, _, app = name.partition("/")
    return only_from(namespace, app, app, 1)


def test_what_is_too_much_to_draw_is_drawn_by_namespace():
    names = [f"{namespace}/p{number}" for namespace in ("a", "b") for number in range(MOST_NODES // 2 + 1)]
    opened = only_from("b", "p0", "p1", 80)
    from_a = NetworkPolicy(
        "b",
        "p1",
        LabelSelector((("app", "p1"),)),
        frozenset({Direction.INGRESS}),
        (Rule((), (PolicyPort(number=80),)),),
    )
    graph = graph_of(view(pods(*names), *map(alone, names), opened, from_a))
    assert [node.label for node in graph.nodes] == ["a", "b"]
    assert graph.edges == (Edge(0, 1, "TCP/80", sure=False),)
    assert "by namespace" in graph.remark


def test_arrows_beyond_what_can_be_drawn_are_counted():
    names = [f"n{number}/p{number}" for number in range(20)]
    graph = graph_of(view(pods(*names), *map(_open, names)))
    assert len(graph.edges) == MOST_EDGES
    assert f"{20 * 19 - MOST_EDGES} more arrows are not drawn" in graph.remark


def _open(name):
    """Isolated, and open to all: told apart, and reached by everybody."""
    namespace, _, app = name.partition("/")
    rule = Rule((), (PolicyPort(number=1000 + int(app[1:])),))
    return NetworkPolicy(namespace, app, LabelSelector((("app", app),)), frozenset({Direction.INGRESS}), (rule,))


def rendered(name, shown):
    stream = io.StringIO()
    renderer(EXPECT, name)(shown, stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["dot", "mermaid"])
@given(text=texts)
def test_names_stay_inside_their_quotes(name, text):
    shown = rendered(name, view(pods("prod/web", f"prod/x{text}"), DENY_WEB))
    assert is_harmless(shown)
    strings = re.compile(r'"(?:[^"\\]|\\.)*"' if name == "dot" else r'"[^"]*"')
    assert strings.sub("", shown) == strings.sub("", rendered(name, view(pods("prod/web", "prod/plain"), DENY_WEB)))


def test_a_mermaid_name_is_no_markup():
    shown = rendered("mermaid", view(pods("prod/web", 'prod/<b>"`x`"#'), DENY_WEB))
    assert "prod/#60;b#62;#34;#96;x#96;#34;#35;" in shown
