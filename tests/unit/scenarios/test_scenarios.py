"""The scenarios themselves: each reads, is complete, and its hand-written truth table agrees with the evaluator, cell
by cell.
"""

import re
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import yaml

import auditor
from auditor.model.dialect import DEFAULT_VALUES, FAULTLESS, Dialect, Enforcement, Enforcer
from auditor.model.errors import InputError
from auditor.model.scenario import Scenario
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.scenario import is_scenario, read_scenario
from auditor.parsing.source import Source
from auditor.policy.evaluator import evaluate
from tests.oracle.evaluator import may_flake, verdict
from tests.schemas import validator

ROOT = Path(auditor.__file__).parents[1]
FILES = sorted((ROOT / "scenarios").glob("*.yaml"))
NAMES = [path.stem for path in FILES]

CLAIMS = {
    "every pod reaches every pod by default": ("000 001 002", "right", "seed-default-allow"),
    "only the API pod reaches the database, on 3306": ("000 001 002", "right", "seed-db-from-api-only"),
    "replies need no rule": ("000 001 002", "right", "seed-replies-need-no-rule"),
    "a podSelector alone blocks everything in and out": ("000", "wrong", "seed-pod-selector-alone"),
    "a podSelector peer means any namespace": ("000 002", "wrong", "seed-pod-selector-own-namespace"),
    "an ingress policy also blocks egress": ("001", "wrong", "seed-ingress-only-leaves-egress-open"),
    "two selectors in one item mean AND": ("000 001 002", "right", "seed-namespace-and-pod-selector"),
    "a namespaceSelector alone means the namespace": ("000 001 002", "right", "seed-namespace-selector-alone"),
    "the backup server gets in by address": ("000 001 002", "right", "seed-backup-host"),
    "the extra dash makes three peers": ("000", "right", "seed-extra-dash"),
    "the extra dash lets any namespace in": ("002", "wrong", "seed-extra-dash-any-namespace"),
    "the database pushes to the backup server": ("000 002", "right", "seed-db-pushes-backup"),
    "three tiers": ("002", "right", "seed-three-tier"),
    "several from and to items": ("002", "right", "seed-prod-and-staging"),
    "the short form of the long policy": ("002", "wrong", "seed-final-yaml"),
    "the short form put right": ("002", "right", "seed-final-yaml-corrected"),
    "Flannel does not enforce": ("001 002 003", "right", "seed-cni-must-enforce"),
    "frontend to backend on 80": ("003", "right", "seed-allow-frontend-to-backend"),
    "deny all ingress": ("003", "right", "seed-deny-all-ingress"),
    "egress to DNS alone": ("003", "right", "seed-allow-dns-egress"),
    "from one namespace to another": ("003", "right", "seed-cross-namespace"),
    "policies are per namespace": ("003", "right", "seed-policies-are-per-namespace"),
    "policies add up": ("003", "right", "seed-policies-add-up"),
    "forgotten DNS": ("003", "right", "seed-forgotten-dns"),
    "public port, metrics port, one service": ("004", "right", "seed-kangaroo"),
    "the egress rule as it is written": ("004", "wrong", "seed-kangaroo-as-written"),
    "itself and its own node": ("004", "right", "seed-self-and-own-node"),
    "default deny as best practice": ("004", "right", "seed-default-deny-then-allow"),
}
"""What the source documents show or claim: in which of them, whether it is right, and the scenario that shows it."""

SHOWN_BY_PACKETS = {*range(1, 14), 15, 16}
"""The lines of docs/semantics.md that a scenario can show; 14 is a property of the probing, 16 and 17 are not
implemented.
"""


def source(path: Path) -> Source:
    return Source(str(path.relative_to(ROOT)), path.read_bytes())


@cache
def scenario(name: str) -> Scenario:
    return read_scenario(source(ROOT / f"scenarios/{name}.yaml"), lambda entry: source(ROOT / "scenarios" / entry))


def judged(case: Scenario, enforcer: Enforcer) -> dict[Cell, Verdict | None]:
    """The verdicts that ``enforcer`` would give to the cells of the table, by the tests' own evaluator."""
    ends = {endpoint.name: endpoint for endpoint in case.snapshot.endpoints}
    return {
        cell: verdict(
            case.snapshot,
            ends[cell.source],
            ends[cell.destination],
            *cell[2:],
            enforcement=Enforcement(enforcer),
            previous_policies=case.previous_policies,
        )
        for cell in case.truth
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_reads(name: str) -> None:
    path = ROOT / f"scenarios/{name}.yaml"
    assert is_scenario(source(path))
    assert scenario(name).name == name
    assert bool(scenario(name).truth) != bool(scenario(name).problems)


@pytest.mark.parametrize("name", NAMES)
def test_it_fits_the_schema(name: str) -> None:
    validator("scenario.schema.json").validate(yaml.safe_load((ROOT / f"scenarios/{name}.yaml").read_text()))


def test_the_schema_refuses_an_unknown_field() -> None:
    document = yaml.safe_load((ROOT / "scenarios/seed-three-tier.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError):
        validator("scenario.schema.json").validate({**document, "expects": []})


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_table_is_what_the_evaluator_says(name: str) -> None:
    case = scenario(name)
    requests = [port for port in case.ports if port.name]
    matrix = evaluate(case.snapshot, named_ports=requests)
    assert {cell: matrix.verdict(*cell) for cell in case.truth} == case.truth


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_table_is_what_the_slow_evaluator_says(name: str) -> None:
    case = scenario(name)
    assert judged(case, Enforcer()) == case.truth


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_enough_to_run_in_a_moment(name: str) -> None:
    case = scenario(name)
    assert len(case.snapshot.endpoints) <= (10 if name == "demo" else 7)
    assert len(case.ports) <= 5


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_of_the_documents_has_its_scenario(claim: str) -> None:
    documents, answer, name = CLAIMS[claim]
    case = scenario(name)
    assert set(documents.split()) <= set(case.documents)
    assert case.claim
    assert case.claim_is_right is (answer == "right")


def test_every_scenario_of_the_documents_shows_a_listed_claim() -> None:
    assert {name for _, _, name in CLAIMS.values()} == {name for name in NAMES if name.startswith("seed-")}


def test_every_line_of_the_semantics_that_packets_can_show_is_covered() -> None:
    assert {line for name in NAMES for line in scenario(name).covers} == SHOWN_BY_PACKETS


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("rule-")])
def test_a_rule_scenario_covers_the_line_that_it_is_named_after(name: str) -> None:
    assert int(name.split("-")[1]) in scenario(name).covers


@pytest.mark.parametrize("dialect", sorted(set(Dialect) - FAULTLESS - {Dialect.SLOW, Dialect.FLAKY}))
def test_every_dialect_gives_itself_away_somewhere(dialect: Dialect) -> None:
    assert any(judged(scenario(name), Enforcer(dialect)) != scenario(name).truth for name in NAMES)


def test_flaky_can_give_itself_away() -> None:
    flaky = Enforcement(Enforcer(Dialect.FLAKY, DEFAULT_VALUES[Dialect.FLAKY]))
    case = scenario("seed-default-allow")
    may = [
        cell
        for cell in case.truth
        if may_flake(case.snapshot.endpoint(cell.source), case.snapshot.endpoint(cell.destination), flaky)
    ]
    assert len(may) > len(case.truth) // 2


@pytest.mark.parametrize("dialect", sorted(FAULTLESS - {Dialect.IP_BLOCK_SKIPS_PODS}))
def test_a_faultless_dialect_changes_nothing(dialect: Dialect) -> None:
    assert all(judged(scenario(name), Enforcer(dialect)) == scenario(name).truth for name in NAMES)


def test_ip_blocks_that_skip_pods_change_only_cells_that_are_noted() -> None:
    changed = 0
    for name in NAMES:
        case = scenario(name)
        matrix = evaluate(case.snapshot)
        for cell, answer in judged(case, Enforcer(Dialect.IP_BLOCK_SKIPS_PODS)).items():
            if answer != case.truth[cell]:
                changed += 1
                assert {"cni-dependent", "undefined"} & set(matrix.notes(*cell)), f"{name}: {cell}"
    assert changed


def test_the_refused_policy_is_not_half_applied() -> None:
    case = scenario("seed-final-yaml")
    assert case.snapshot.policies == ()
    with pytest.raises(InputError) as caught:
        read_snapshot([source(ROOT / "scenarios/objects/final-yaml.yaml")])
    places = [(34, "spec.ingress[0].from[0].matchExpressions"), (50, "spec.egress[0].ports")]
    assert [(problem.line, problem.path) for problem in case.problems] == places
    assert [problem.message for problem in case.problems] == [problem.message for problem in caught.value.problems]


def test_the_long_policy_and_the_corrected_short_one_mean_the_same() -> None:
    assert scenario("seed-final-yaml-corrected").truth == scenario("seed-prod-and-staging").truth


def test_the_documentation_lists_every_scenario() -> None:
    text = (ROOT / "docs/scenarios.md").read_text()
    rows = re.findall(r"^\| \[(.+?)\]\(\.\./scenarios/(.+?)\.yaml\) \| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    answers = {True: "right", False: "wrong", None: ""}
    cases = map(scenario, NAMES)
    assert sorted(rows) == sorted(
        (c.name, c.name, " ".join(c.documents), answers[c.claim_is_right], c.title) for c in cases
    )


def test_the_documented_example_reads() -> None:
    text = (ROOT / "docs/scenarios.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    case = read_scenario(
        Source("db-from-api-only.yaml", example.encode()), lambda entry: pytest.fail(f"asked for {entry}")
    )
    assert set(case.truth.values()) == {Verdict.ALLOWED, Verdict.DENIED}
    assert isinstance(case.snapshot, Snapshot)


@pytest.mark.parametrize("line", range(1, 18))
def test_the_semantics_name_exactly_the_scenarios_that_cover_a_line(line: int) -> None:
    text = (ROOT / "docs/semantics.md").read_text()
    (section,) = re.findall(rf"^## {line}\. .*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    shown = re.findall(r"`([a-z0-9-]+)`", section.partition("\nScenarios: ")[2])
    assert sorted(shown) == sorted(name for name in NAMES if line in scenario(name).covers)


@pytest.mark.parametrize("line", range(1, 16))
def test_every_line_of_the_semantics_has_a_unit_test(line: int) -> None:
    files = ("test_semantics.py", "test_semantics_of_manifests.py")
    assert any(f"def test_{line:02}_" in (ROOT / "tests/unit/policy" / file).read_text() for file in files)
