"""Documents of which nothing but apiVersion and kind counts: read by their heading, they come to what they come to
when read whole.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.parsing import found, kustomizations
from auditor.parsing.headings import read_heading
from auditor.parsing.manifests import Objects, read_objects
from auditor.parsing.source import Source

HEADS = (
    "apiVersion: example.org/v1\nkind: Widget",
    "kind: 'Widget'\napiVersion: \"example.org/v1\" # why",
    "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization",
    "apiVersion: example.org/v1\nkind: Deployment",
    "apiVersion: apps/v1\nkind: deployment",
    "apiVersion: v1\nkind: Endpoints",
    "apiVersion: example.org/v1\nkind: WidgetList",
    "apiVersion: example.org/v1\nkind: yes",
    "apiVersion: example.org/v1\nkind: Widget\n  of another kind",
    "apiVersion: example.org/v1\nkind: Widget\n\n  of another kind",
    "apiVersion: example.org/v1\nkind: >-\n  Widget",
    "apiVersion: example.org/v1\nkind:\n  Widget",
    "apiVersion: example.org/v1\nkind: Widget\nkind: Gadget",
    "apiVersion: example.org/v1\n? kind\n: Widget",
    "apiVersion: example.org/v1\nkind: Widget'",
    "apiVersion: template.openshift.io/v1\nkind: Template",
    "apiVersion: example.org/v1\nkind: &a Widget",
    "a: 'x\nkind: Widget\napiVersion: example.org/v1'\napiVersion: v1\n\"kind\": Pod",
    "apiVersion: argoproj.io/v1alpha1\nkind: Rollout",
    "kind: Widget",
)
BEFORE = (
    "",
    "# why\n",
    "---\n",
    "\n\n# why\n  # so\n",
    "--- # why\n",
    "--- {}\n",
    "- a\n",
    "a: b\n",
    "&a\n",
    "--- !!map\n",
)
POD = "metadata: {name: web}\nspec:\n  template:\n    spec:\n      containers: [{name: main}]"
REST = (
    "metadata: {name: a}",
    POD,
    POD.replace("containers", '"\\x63ontainers"'),
    POD.replace("containers", "? containers\n      "),
    "spec: {$patch: delete}",
    "spec: {$retainKeys: [a]}",
    "spec: {a: b",
    "spec:\n\ta: b",
    "spec: {{ .Values.spec }}",
    "spec: '{{ x }}'",
    "...\nkind: Pod\napiVersion: v1\nmetadata: {name: second}",
    "items: [{kind: Pod, apiVersion: v1, metadata: {name: item}}]",
    "spec: " + "[" * 250 + "]" * 250,
    "spec: {a: 1, a: 2}",
    "spec: *nothing",
    "a: &a [x]\n" + "".join(f"b{n}: &{b} [{f'*{a}, ' * 12}]\n" for n, (a, b) in enumerate(pairwise("abcdef"))),
    "a: b\rkind: Pod",
    "a: b\x85kind: Pod",
    "script: |\n  a && b *\n  kind: Pod",
    "subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]",
    "a: \x01",
    "",
)


def source(name: str, text: str) -> Source:
    return Source(name, text.encode(), found=True)


def outcome(objects: Objects) -> list[Any]:
    """All that reading comes to."""
    names = ("namespaces", "pods", "nodes", "workloads", "policies", "services", "ignored", "skipped", "unknown")
    more = ("problems", "unreadable", "absent", "service_endpoints", "calls")
    return [getattr(objects, name) for name in (*names, *more)]


def both_ways(*sources: Source) -> tuple[list[Any], list[Any]]:
    """What ``sources`` come to, and what they come to where every document is read whole."""
    as_headings = outcome(read_objects(sources))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "read_heading", lambda *_: None)
        return as_headings, outcome(read_objects(sources))


@pytest.mark.parametrize("head", HEADS)
def test_whatever_follows_the_heading_counts_as_if_it_were_read(head: str) -> None:
    for rest in REST:
        for text in (f"{head}\n{rest}", f"{rest}\n{head}"):
            as_headings, whole = both_ways(source("d/a.yaml", text))
            assert as_headings == whole, text


@pytest.mark.parametrize("before", BEFORE)
def test_whatever_comes_before_the_heading_counts_as_if_it_were_read(before: str) -> None:
    for head in HEADS:
        as_headings, whole = both_ways(source("d/a.yaml", before + head))
        assert as_headings == whole, head


@given(
    name=st.sampled_from(["d/a.yaml", "d/kustomization.yaml", "d/00-assert.yaml", "d/patch.yaml", "d/values.yaml"]),
    documents=st.lists(st.tuples(*map(st.sampled_from, (BEFORE, HEADS, REST))), min_size=1, max_size=3),
    line_break=st.sampled_from(["\n", "\n", "\r\n"]),
)
def test_documents_count_by_their_headings_as_if_they_were_read(
    name: str, documents: list[tuple[str, str, str]], line_break: str
) -> None:
    text = "\n---\n".join(f"{before}{head}\n{rest}" for before, head, rest in documents)
    patches = source("d/kustomization.yml", "kind: Kustomization\napiVersion: a/v1\npatches: [{path: patch.yaml}]")
    as_headings, whole = both_ways(patches, source(name, text.replace("\n", line_break)))
    assert as_headings == whole


def test_kinds_of_which_nothing_is_read_are_not_turned_into_values(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "apiVersion: example.org/v1\nkind: Widget\nspec: {a: [1, 2]}\n---\n# why\n" * 3
    monkeypatch.setattr(found, "read_yaml", None)
    assert read_objects([source(f"d/{number}.yaml", text) for number in range(5)]).ignored == {"Widget": 15}


def test_a_kustomization_without_patches_is_not_read_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = source("d/kustomization.yaml", "resources: [a.yaml]")
    patching = source("e/kustomization.yaml", "patches: [{path: a.yaml}]")
    escaped = source("f/kustomization.yaml", '"\\x70atches": [{path: a.yaml}]')
    read: list[Source] = []
    parse = kustomizations.parse_documents
    monkeypatch.setattr(kustomizations, "parse_documents", lambda each: read.append(each) or parse(each))
    assert kustomizations.patch_files([plain, patching, escaped]) == {"e/a.yaml", "f/a.yaml"}
    assert read == [patching, escaped]


def test_the_line_of_a_heading_is_that_of_its_first_key() -> None:
    parsed = read_heading(b"---\n# why\n\nkind: Widget\napiVersion: a/v1\n", 7)
    assert parsed is not None
    assert (parsed.value, parsed.lines(())) == ({"kind": "Widget", "apiVersion": "a/v1"}, 11)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"- op: add\n  path: /a", True),
        (b'[{"op": "replace"}]', True),
        (b"a: [\n  'op' : test]", True),
        (b"drop: add", False),
        (b"a: op: add", False),
        (b"op: added", False),
        (b"  -op: move", True),
    ],
)
def test_operations_of_patches(text: bytes, *, expected: bool) -> None:
    assert found.has_operations(text) is expected
