"""Scenario files (``audit.scenario/v1``): objects, hosts and the truth table. docs/scenarios.md describes
the format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from auditor.model.addresses import IPAddress
from auditor.model.errors import InputError, Problem, UsageError
from auditor.model.policy import NetworkPolicy
from auditor.model.scenario import ExpectedProblem, Scenario
from auditor.model.snapshot import Family, Snapshot
from auditor.parsing.documents import Document, parse_documents, read_documents, refuse_other_kinds
from auditor.parsing.fields import Fields
from auditor.parsing.manifests import Objects, assemble
from auditor.parsing.placement import place
from auditor.parsing.pods import one_per_family, read_address
from auditor.parsing.source import Source
from auditor.parsing.truth import read_truth

SCHEMA = "audit.scenario/v1"
FIELDS = (
    "schema",
    "name",
    "title",
    "documents",
    "claim",
    "claim_is",
    "covers",
    "nodes",
    "node_endpoints",
    "families",
    "hosts",
    "objects",
    "manifests",
    "previous_policies",
    "truth",
    "problems",
)
PROBLEM_FIELDS = ("line", "path", "contains")
DEFAULT_NODES = ("node-1", "node-2")
REPLICAS = 2
SUFFIXES = (".yaml", ".yml", ".json")


def is_scenario(source: Source) -> bool:
    """Whether ``source`` says that it is a scenario; a cheap look, no reading."""
    return any(
        line.strip().strip(b'{", ').replace(b'"', b"").startswith(b"schema: audit.scenario/")
        for line in source.data[:4096].splitlines()
    )


def unmet_problems(found: Sequence[Problem], expected: Sequence[ExpectedProblem]) -> list[str]:
    """Where the problems ``found`` in manifests are not exactly those ``expected``, one line each."""
    left = list(found)
    unmet = []
    for wanted in expected:
        match = next(
            (
                problem
                for problem in left
                if (problem.line, problem.path) == (wanted.line, wanted.path) and wanted.contains in problem.message
            ),
            None,
        )
        if match is None:
            unmet.append(f"no problem on line {wanted.line} at {wanted.path} that contains {wanted.contains!r}")
        else:
            left.remove(match)
    return unmet + [f"unexpected problem: {problem}" for problem in left]


def read_scenario(source: Source, load: Callable[[str], Source]) -> Scenario:
    """The scenario in ``source``; ``load`` gives the manifests that it names. Raises InputError with every problem."""
    documents, problems = read_documents(source)
    refuse_other_kinds(
        documents, SCHEMA, "scenario", " (a scenario has them under objects; 'audit expect' reads them as they are)"
    )
    if problems:
        raise InputError(problems)
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise InputError([Problem(f"a scenario is one document, a mapping with schema: {SCHEMA}", source.name)])
    return _Reading(documents[0], load).scenario()


class _Reading:
    """One scenario while it is read."""

    def __init__(self, document: Document, load: Callable[[str], Source]) -> None:
        self._document = document
        self._load = load
        self._problems: list[Problem] = []
        self._fields = Fields(document, self._problems, (), document.value)

    def scenario(self) -> Scenario:
        fields = self._fields
        fields.refuse_unknown(FIELDS)
        self._check_head()
        families = self._read_families()
        nodes = tuple(fields.texts("nodes")) or DEFAULT_NODES
        if len(set(nodes)) < len(nodes):
            fields.note("a node is given twice", "nodes")
        expected = self._read_expected_problems()
        objects = self._read_objects()
        if expected:
            return self._refused(objects, expected, nodes, families)
        self._problems += objects.problems
        previous = self._read_previous()
        hosts = self._read_hosts()
        self._stop_on_problems()
        snapshot = self._place(assemble(objects, replicas=REPLICAS, hosts=hosts), nodes, families)
        truth = read_truth(fields.section("truth"), snapshot, families)
        self._stop_on_problems()
        return self._made(nodes, families, snapshot, ports=truth.ports, truth=truth.cells, previous_policies=previous)

    def _made(self, nodes: tuple[str, ...], families: tuple[Family, ...], snapshot: Snapshot, **rest: Any) -> Scenario:
        fields = self._fields
        claim_is = fields.text("claim_is")
        return Scenario(
            name=fields.text("name") or "",
            title=fields.text("title") or "",
            file=self._document.source,
            nodes=nodes,
            families=families,
            snapshot=snapshot,
            documents=tuple(fields.texts("documents")),
            claim=fields.text("claim") or "",
            claim_is_right=None if claim_is is None else claim_is == "right",
            covers=tuple(number for number in fields.items("covers") if isinstance(number, int)),
            **rest,
        )

    def _stop_on_problems(self) -> None:
        if self._problems:
            raise InputError(
                sorted(
                    self._problems,
                    key=lambda problem: (problem.file != self._document.source, problem.file, problem.line),
                )
            )

    def _check_head(self) -> None:
        fields = self._fields
        if fields.text("schema") != SCHEMA:
            fields.note(f"must be {SCHEMA}", "schema")
        name = fields.text("name")
        file_name = self._document.source.rpartition("/")[2]
        base = next((file_name.removesuffix(suffix) for suffix in SUFFIXES if file_name.endswith(suffix)), file_name)
        if not name:
            fields.note("a scenario needs a name")
        elif name != base and not base.startswith("<"):
            fields.note(f"must be the file's name, {base}", "name")
        if not fields.text("title"):
            fields.note("a scenario needs a title")
        fields.texts("documents")
        fields.text("claim")
        fields.flag("node_endpoints")
        if fields.text("claim_is") not in (None, "right", "wrong"):
            fields.note("must be right or wrong", "claim_is")
        if ("claim" in fields.value) != ("claim_is" in fields.value):
            fields.note("claim and claim_is go together")
        if ("truth" in fields.value) == ("problems" in fields.value):
            fields.note("a scenario has either truth or problems")
        for number, item in enumerate(fields.items("covers")):
            if not isinstance(item, int) or isinstance(item, bool):
                fields.wrong_type(item, int, "covers", number)

    def _read_families(self) -> tuple[Family, ...]:
        known = {str(family): family for family in Family}
        families = []
        for number, text in enumerate(self._fields.texts("families")):
            if text in known:
                families.append(known[text])
            else:
                self._fields.note(f"must be IPv4 or IPv6, not {text!r}", "families", number)
        return tuple(dict.fromkeys(families)) or (Family.IPV4,)

    def _read_hosts(self) -> Mapping[str, tuple[IPAddress, ...]]:
        section = self._fields.section("hosts")
        hosts: dict[str, tuple[IPAddress, ...]] = {}
        for name, value in section.value.items():
            if not name or "/" in name or name.split() != [name]:
                section.note(f"{name!r} is not a valid host name here: leave out '/' and white space", name)
            texts = [value] if isinstance(value, str) else section.texts(name)
            addresses = [address for text in texts if (address := read_address(section, text, name)) is not None]
            hosts[name] = one_per_family(addresses)
            if len(hosts[name]) < len(addresses):
                section.note("a host has at most one address of each family", name)
            if value is None or value == []:
                section.note("a host needs an address", name)
        return hosts

    def _read_expected_problems(self) -> tuple[ExpectedProblem, ...]:
        expected = []
        if "problems" in self._fields.value and self._fields.value["problems"] in (None, []):
            self._fields.note("list at least one problem", "problems")
        for item in self._fields.maps("problems"):
            item.refuse_unknown(PROBLEM_FIELDS)
            line, path, contains = item.number("line"), item.text("path"), item.text("contains")
            if line is None or path is None or not contains:
                item.note("needs line, path and contains")
            else:
                expected.append(ExpectedProblem(line, path, contains))
        return tuple(expected)

    def _read_objects(self) -> Objects:
        objects = Objects()
        for number, item in enumerate(self._fields.items("objects")):
            objects.add(self._document, ("objects", number), {} if item is None else item)
        for number, name in enumerate(self._fields.texts("manifests")):
            try:
                source = self._load(name)
            except OSError as error:
                self._fields.note(f"can't read {name}: {error.strerror or error}", "manifests", number)
                continue
            documents, problems = parse_documents(source)
            objects.problems += problems
            for document in documents:
                objects.add(document)
        return objects

    def _read_previous(self) -> tuple[NetworkPolicy, ...] | None:
        if "previous_policies" not in self._fields.value:
            return None
        objects = Objects()
        for number, item in enumerate(self._fields.items("previous_policies")):
            objects.add(self._document, ("previous_policies", number), {} if item is None else item)
        self._problems += objects.problems
        if len(objects.policies) != len(self._fields.items("previous_policies")) and not objects.problems:
            self._fields.note("only NetworkPolicies belong here", "previous_policies")
        return tuple(objects.policies)

    def _place(self, snapshot: Snapshot, nodes: tuple[str, ...], families: tuple[Family, ...]) -> Snapshot:
        try:
            return place(snapshot, nodes, families, node_endpoints=self._fields.flag("node_endpoints"))
        except UsageError as error:
            self._fields.note(str(error), "objects")
            self._stop_on_problems()
            raise

    def _refused(
        self,
        objects: Objects,
        expected: tuple[ExpectedProblem, ...],
        nodes: tuple[str, ...],
        families: tuple[Family, ...],
    ) -> Scenario:
        for text in unmet_problems(objects.problems, expected):
            self._fields.note(text, "problems")
        self._stop_on_problems()
        return self._made(
            nodes,
            families,
            Snapshot({}, ()),
            problems=tuple(sorted(objects.problems, key=lambda problem: (problem.file, problem.line))),
        )
