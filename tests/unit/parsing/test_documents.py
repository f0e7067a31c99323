"""Texts that are odd, broken or hostile: each gives values with the right lines, or one clear line of what is wrong."""

import json

import pytest

from auditor.lint.suppressions import read_suppressions
from auditor.model.errors import InputError
from auditor.parsing import yaml_values
from auditor.parsing.documents import read_documents
from auditor.parsing.intent import read_intent
from auditor.parsing.paths import show_path
from auditor.parsing.scenario import read_scenario
from auditor.parsing.source import Source
from tests.unit.parsing.reading import POD, POLICY, names, only_problem, problems, read

WRONG_SPEC = "spec: {podSelecto: {}}\n"

WRONG_TEXTS = [
    ("latin-1", b"a: 1\nb: \xe9\n", 2, "UTF-8"),
    ("half of UTF-16", POD.encode("utf-16") + b"x", 1, "UTF-8"),
    ("UTF-16 without a mark", POD.encode("utf-16-le"), 1, "UTF-8"),
    ("NUL", "a: 1\nb: \0\n", 2, "NUL"),
    ("control character", "a: 1\nb: \x01\n", 2, "U+0001"),
    ("form feed", "a: 1\n\f\nb: 1\n", 2, "U+000C"),
    ("tab as indentation", "a:\n\tb: 1\n", 2, "a tab: indent with spaces"),
    ("template", "{{- if .Values.x }}\na: 1\n{{- end }}\n", 1, "render it first, as 'helm template' does"),
    ("unclosed quote", 'a: 1\nb: "x\n', 3, "that starts on line 2"),
    ("cut JSON", '{"apiVersion": "v1",\n"kind": "Pod"\n', 3, "that starts on line 1"),
    ("brackets", "[" * 200_000, 1, "200 levels"),
    ("closed brackets", "[" * 200_000 + "]" * 200_000, 1, "200 levels"),
    ("braces", "a: 1\nb: " + "{a: " * 100_000, 2, "200 levels"),
    ("dashes", "- " * 200_000, 1, "200 levels"),
    ("dashes far apart", "-  " * 200_000, 1, "200 levels"),
    ("keys", "? " * 200_000, 1, "200 levels"),
    ("indented lines", "".join(" " * depth + "a:\n" for depth in range(3000)), 201, "200 levels"),
]


@pytest.mark.parametrize(
    ("data", "line", "fragment"), [case[1:] for case in WRONG_TEXTS], ids=[case[0] for case in WRONG_TEXTS]
)
def test_a_text_that_cannot_be_read(data: str | bytes, line: int, fragment: str) -> None:
    problem = only_problem(data)
    assert problem.line == line
    assert fragment in problem.message


@pytest.mark.parametrize("text", ["", " \n\n", "---", "---\n---\n---\n", "# a\n# b\n", "null", "\ufeff"])
def test_nothing_to_read_is_nothing(text: str) -> None:
    assert names(read(text)) == []


@pytest.mark.parametrize("text", ["hello", "5", "- a", "[]", '[{"kind": "Pod"}]', "true"])
def test_a_document_that_is_no_mapping(text: str) -> None:
    assert "not a Kubernetes object" in only_problem(text).message


@pytest.mark.parametrize(
    "deep", ["x: [" + "1, [" * 150 + "]" * 151, "# " + "[" * 300, "x: '" + "[" * 300 + "'", "x: |\n" + "  {{[[\n" * 200]
)
def test_brackets_that_are_not_too_deep(deep: str) -> None:
    assert names(read(POD + deep)) == ["default/a"]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(line_break: str) -> None:
    assert only_problem((POLICY + WRONG_SPEC).replace("\n", line_break)).line == 4


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_says_the_encoding(encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    assert names(read((mark + POD).encode(encoding))) == ["default/a"]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert only_problem("\ufeff" + POLICY + WRONG_SPEC).line == 4


def test_every_document_of_a_file_is_read_with_its_lines() -> None:
    found = problems(POD + "---\n" + POLICY + WRONG_SPEC + "---\n" + POLICY.replace("p}", "q}") + WRONG_SPEC)
    assert [problem.line for problem in found] == [8, 13]


def test_documents_before_a_broken_one_are_still_checked() -> None:
    found = problems(POLICY + WRONG_SPEC + '---\na: "')
    assert ["podSelecto" in found[0].message, "not valid YAML" in found[1].message] == [True, True]


def test_a_key_given_twice_is_told_with_both_lines_and_hides_nothing() -> None:
    found = problems(POLICY + "spec: {}\nspec:\n  x: {a: 1, a: 2}\nmetdata: {}\n")
    assert [(problem.line, problem.path) for problem in found] == [(5, "spec"), (6, "spec.x.a"), (7, "metdata")]
    assert "line 4" in found[0].message


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("on", "a boolean"),
        ("1", "a number"),
        ("1.5", "a number"),
        ("null", "null"),
        ("~", "null"),
        ("yes", "a boolean"),
    ],
)
def test_a_key_that_is_no_text(key: str, kind: str) -> None:
    problem = only_problem(f"{POD}spec:\n  x:\n    - {key}: a\n")
    assert (problem.line, problem.path) == (6, "spec.x[0]")
    assert f"reads as {kind}" in problem.message
    assert "quote it" in problem.message


def test_a_key_that_is_a_mapping() -> None:
    assert (only_problem(f"{POD}? {{a: b}}\n: c\n").line) == 4


@pytest.mark.parametrize("data", ["{9000: a, true: b}", "{a: 1, a: 2}", "!vault x", "{1.5: a}"])
def test_what_is_doubtful_in_a_kind_of_which_nothing_is_read(data: str) -> None:
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {data}\n"
    in_a_list = json.dumps({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap"}]})
    assert read(text).ignored == {"ConfigMap": 1}
    assert read(in_a_list.replace('"ConfigMap"', '"ConfigMap", "x": 1, "x": 2')).ignored == {"ConfigMap": 1}


def test_what_is_doubtful_in_one_item_of_a_list_matters_there_only() -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {1: x}}}"
    secret = "{apiVersion: v1, kind: Secret, data: {1: x}}"
    problem = only_problem(f"apiVersion: v1\nkind: List\nitems:\n- {secret}\n- {pod}\n")
    assert (problem.line, problem.path) == (5, "items[1].metadata.labels")


def test_quoted_keys_are_text() -> None:
    assert names(read(POD + '"on": 1\n"1": 2\n"null": 3\n')) == ["default/a"]


def test_the_line_of_what_an_alias_stands_for_is_its_anchors() -> None:
    found = problems(
        f"{POLICY}spec:\n  ingress:\n  - from: &peers\n    - {{podSelecto: {{}}}}\n  egress:\n  - to: *peers\n"
    )
    assert [(problem.line, problem.path) for problem in found] == [
        (7, "spec.ingress[0].from[0].podSelecto"),
        (7, "spec.egress[0].to[0].podSelecto"),
    ]


def test_merged_keys_stand_on_their_own_lines_and_give_way_to_others() -> None:
    text = f"{POD}x: &x\n  hostNetwork: true\n  nodeName: n1\n  containers: 5\nspec:\n  <<: *x\n  nodeName: n2\n"
    problem = only_problem(text)
    assert (problem.line, problem.path) == (7, "spec.containers")
    (endpoint,) = read(text.replace("containers: 5", "containers: []")).endpoints
    assert (endpoint.node, endpoint.host_network) == ("n2", True)


def test_the_first_of_several_merged_mappings_wins() -> None:
    (endpoint,) = read(
        f"{POD}x: &x {{nodeName: x}}\nz: &y {{nodeName: z, hostNetwork: true}}\nspec: {{<<: [*x, *y]}}\n"
    ).endpoints
    assert (endpoint.node, endpoint.host_network) == ("x", True)


@pytest.mark.parametrize(
    ("text", "line", "fragment"),
    [
        ("spec: {<<: 5}\n", 4, "mapping"),
        ("x: &x {a: 1}\nspec: {a: 2, <<: *x}\n", 5, "put << first"),
        ("spec: {<<: {a: 1}, <<: {b: 1}}\n", 4, "'<<' is given twice"),
        ("x: *nowhere\n", 4, "*nowhere"),
        ("x: !!python/object:os.system y\n", 4, "!!python/object:os.system"),
        ("x: !mine [1]\n", 4, "!mine"),
        ("x: &x\n  z: [*x]\n", 5, "is inside what it refers to"),
    ],
)
def test_misused_yaml(text: str, line: int, fragment: str) -> None:
    problem = only_problem(POD + text)
    assert problem.line == line
    assert fragment in problem.message


def test_a_bomb_of_aliases() -> None:
    levels = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(20))
    assert "aliases" in only_problem(POD + "a: &a [1, 2, 3]\n" + levels).message


def test_a_bomb_of_aliased_peers() -> None:
    peers = "[" + ", ".join(["*p"] * 1000) + "]"
    rules = "[" + ", ".join(["*r"] * 1000) + "]"
    text = f"{POLICY}x: &p {{podSelector: {{}}}}\ny: &r {{from: {peers}}}\nspec: {{ingress: {rules}}}\n"
    assert any("aliases" in problem.message for problem in problems(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("0o17", 15),
        ("010", 8),
        ("08", 8),
        ("0b11", 3),
        ("+8", 8),
        ("-0x1F", -31),
        ("1e3", 1000),
        ("8.0", 8),
        ("5.", 5),
        (".5", 0.5),
        ("1e-1", 0.1),
        ("1e", "1e"),
        ("0x", "0x"),
        ("1.2.3", "1.2.3"),
        ("-x", "-x"),
        ("y", True),
        ("N", False),
        ("Yes", True),
        ("yEs", "yEs"),
        ("none", "none"),
        (".inf", float("inf")),
        ("-.Inf", float("-inf")),
        ("1__0", 10),
        ("0x1F", 31),
        ("1_000", 1000),
        ("12:30", "12:30"),
        ("1.5", 1.5),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("2020-99-99", "2020-99-99"),
        ("'80'", "80"),
        ("!!str 80", "80"),
        ("=", "="),
        ("9" * 5000, float("inf")),
    ],
)
def test_scalars_are_what_yaml_says(text: str, value: object) -> None:
    ((document,), found) = read_documents(Source("f", f"x: {text}\n".encode()))
    assert found == []
    assert document.value == {"x": value}
    assert type(document.value["x"]) is type(value)


def test_reading_works_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_values, "LOADER", yaml_values.yaml.SafeLoader)
    assert only_problem(POLICY + WRONG_SPEC).line == 4
    assert only_problem("a: 1\nb: \x01\n").line == 2
    assert only_problem("- " * 5000).message.startswith("nested more than")


def as_json(*objects: object, indent: int | None = 1) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, indent=indent)


def pod(name: str, **metadata: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}}


def test_json_documents_after_each_other() -> None:
    one, two = json.dumps(pod("a")), json.dumps(pod("b"))
    assert (
        names(read(f"{one}\n{two}"))
        == names(read(f"{one}{two}"))
        == names(read(f"---\n{one}\n---\n{two}"))
        == ["default/a", "default/b"]
    )


def test_json_with_what_yaml_would_not_take() -> None:
    text = json.dumps(pod("a", annotations={"x": "\ud83d\ude00 \u0001 /"}), indent="\t").replace("/", "\\/")
    assert names(read(text)) == ["default/a"]


def test_flow_mappings_are_no_json_and_still_read() -> None:
    assert names(read("{apiVersion: v1, kind: Pod, metadata: {name: a}}")) == ["default/a"]


def test_the_line_of_a_problem_in_json() -> None:
    text = as_json(pod("a"), pod("b", labels={"x": 1}))
    problem = only_problem(text)
    assert problem.path == "items[1].metadata.labels.x"
    assert '"x": 1' in text.splitlines()[problem.line - 1]


def test_the_line_of_an_unknown_field_in_large_json() -> None:
    bad = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p"},
        "spec": {"podSelecto": {}},
    }
    text = as_json(*(pod(f"pod-{number}", annotations={"x": "y" * 300}) for number in range(4000)), bad)
    assert len(text) > 1 << 20
    problem = only_problem(text)
    assert "podSelecto" in text.splitlines()[problem.line - 1]


def test_a_key_given_twice_in_large_json() -> None:
    text = as_json(*(pod(f"pod-{number}", annotations={"x": "y" * 300}) for number in range(4000)))
    twice = text.replace('"name": "pod-3999"', '"name": "pod-3999",\n"name": "other"')
    problem = only_problem(twice)
    assert problem.path == "items[3999].metadata.name"
    assert '"name": "other"' in twice.splitlines()[problem.line - 1]
    assert f"line {problem.line - 1}" in problem.message


def test_a_key_given_twice_in_json_hides_nothing() -> None:
    found = problems(
        '{"apiVersion": "v1",\n"kind": "Pod",\n"metadata": {"name": "a",\n"name": "b",\n"labels": {"x": 1}}}'
    )
    assert sorted((problem.line, problem.path) for problem in found) == [(4, "metadata.name"), (5, "metadata.labels.x")]


def test_cut_json_in_a_json_file_is_called_so() -> None:
    problem = only_problem('{"apiVersion": "v1",\n"kind": "Pod",', "f.json")
    assert problem.line == 2
    assert problem.message.startswith("not valid JSON")


def test_a_number_of_many_digits_in_json() -> None:
    assert (
        only_problem('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": %s}}' % ("9" * 5000)).path
        == "metadata.name"
    )


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("spec", "ingress", 0, "from", 1, "ipBlock", "cidr"), "spec.ingress[0].from[1].ipBlock.cidr"),
        (("matchLabels", "kubernetes.io/x"), "matchLabels[kubernetes.io/x]"),
        (("items", 3), "items[3]"),
        (("a", "b\n"), "a['b\\n']"),
        ((), ""),
    ],
)
def test_paths_are_shown_as_kubectl_does(path: tuple[str | int, ...], shown: str) -> None:
    assert show_path(path) == shown


OTHER_KINDS = [
    (read_intent, POD, "f.yaml:1: these are Kubernetes objects, and no intent with schema: audit.intent/v1"),
    (
        read_intent,
        POD + "---\n" + POD,
        "f.yaml:1: these are Kubernetes objects, and no intent with schema: audit.intent/v1",
    ),
    (
        read_intent,
        "schema: audit.suppressions/v1\n",
        "f.yaml:1: this is audit.suppressions/v1, and no intent with schema: audit.intent/v1",
    ),
    (
        read_suppressions,
        POD,
        "f.yaml:1: these are Kubernetes objects, and no suppressions with schema: audit.suppressions/v1",
    ),
    (
        lambda source: read_scenario(source, None),
        POD + "---\n" + POD,
        (
            "f.yaml:1: these are Kubernetes objects, and no scenario with schema: audit.scenario/v1"
            " (a scenario has them under objects; 'audit expect' reads them as they are)"
        ),
    ),
]


@pytest.mark.parametrize(("read_it", "text", "said"), OTHER_KINDS)
def test_a_file_of_another_kind_is_told_in_one_line(read_it, text, said):
    with pytest.raises(InputError) as caught:
        read_it(Source("f.yaml", text.encode()))
    assert str(caught.value) == said
