"""Files that nobody named: what was found in a directory need not be a manifest at all.

Only what holds no object may be skipped, so a text is looked at before it is read: without the words ``apiVersion`` and
``kind`` there can be none, and a document that says on its first level that it is a ConfigMap is one, whatever else is
in it. All others are read as if somebody had named them; what then can't be read is skipped unless it names a kind on
which verdicts hang.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from auditor.model.errors import Problem
from auditor.model.skipped import Cause, Skipped
from auditor.parsing.documents import Document, as_documents, parse_documents, utf_8
from auditor.parsing.headings import DECISIVE, first_level, read_heading
from auditor.parsing.json_values import looks_like_json
from auditor.parsing.source import Source
from auditor.parsing.yaml_values import NO_YAML, read_yaml

NAMES_DECISIVE = re.compile(rb"""["']?kind["']?\s*:\s*["']?(%s)(?:List)?\b""" % "|".join(DECISIVE).encode())
BETWEEN_DOCUMENTS = re.compile(rb"\n---(?=[ \t\r\n]|\Z)")
NEVER_PODS = frozenset(
    {
        b"Certificate",
        b"ClusterIssuer",
        b"ClusterRole",
        b"ClusterRoleBinding",
        b"ConfigMap",
        b"CustomResourceDefinition",
        b"HorizontalPodAutoscaler",
        b"Issuer",
        b"LimitRange",
        b"PersistentVolume",
        b"PersistentVolumeClaim",
        b"PodDisruptionBudget",
        b"PodMonitor",
        b"PriorityClass",
        b"PrometheusRule",
        b"ResourceQuota",
        b"Role",
        b"RoleBinding",
        b"Secret",
        b"ServiceAccount",
        b"ServiceMonitor",
        b"StorageClass",
    }
)
"""Kinds that make no pods and of which nothing is read, so that their text, often long, need not be."""
TEMPLATING = re.compile(
    r"\{\{|\{%|<%|\$\{[^}]*\}|\$\([A-Za-z_][^)]*\)|<[A-Za-z][^<>\n]*>|%[A-Z_]{2,}%|\$\$\w+\$\$|@[A-Z_]{2,}@"
)
"""What stands for something that is filled in later: Helm, Go and Jinja, ERB, envsubst, make, and words for people."""
BEGINS_ENCRYPTED = (b"\0GITCRYPT", b"$ANSIBLE_VAULT", b"age-encryption")
ENCRYPTED = (b"-----BEGIN AGE", b"-----BEGIN PGP", b"ENC[AES256_GCM")
FILLED_IN = re.compile(r"@\w+@|%\w+%|\{\w+\}|\$\w+|\$[({]|<[A-Za-z][^<>\n]*>|\[[A-Za-z]\w*\][^\s,\]}]")
"""The same where it stands on the very line at which a text is not YAML."""
LEFT_OUT = re.compile(r"\s*(?:-\s*)?(?:\.\.\.|\u2026)\s*")
"""A line of a document for people, in the place of others."""
NULLS = (b"", b"null", b"~", b"Null", b"NULL")
OPERATION = re.compile(rb"""op["']?\s*:\s*["']?(?:add|remove|replace|move|copy|test)\b""")
BEFORE_OPERATION = re.compile(rb"""(?:^|[\[{,])\s*-?\s*["']?\Z""")
"""What may stand before an operation on its line."""
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml")
CHARTS = ("chart.yaml", "chart.yml", "requirements.yaml", "requirements.yml")
WORKFLOWS = re.compile(
    r"(?:^|/)(?:\.github|\.circleci|\.gitlab|\.woodpecker|\.tekton-ci|\.buildkite)/"
    r"|(?:^|/)(?:\.gitlab-ci|\.travis|\.drone|azure-pipelines|cloudbuild|skaffold|\.pre-commit-config)[^/]*$"
)
COMPOSE = re.compile(r"(?:^|[/.-])compose(?:[.-][^/]*)?\.ya?ml$")
VALUES = re.compile(r"(?:^|[/._-])values(?:[._-][^/]*)?\.(?:ya?ml|json)$|/ci/[^/]*\.ya?ml$")


@dataclass(slots=True)
class Found:
    """What is in one source: objects to be read, what can't be, what is skipped, and how many objects play no part."""

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def read_found(source: Source) -> Found:
    """What is in ``source``, which was found in a directory."""
    found = Found()
    data = utf_8(source.data)
    if not data.strip():
        return found
    if _is_encrypted(data[:4096]) and not _says_its_kind(data):
        found.skipped.append(Skipped(Cause.ENCRYPTED, source.name))
    elif not _is_text(data):
        _read_binary(source, data, found)
    elif not _may_hold_object(data):
        if _says_something(data):
            found.skipped.append(Skipped(cause_of(source.name, data), source.name))
    elif looks_like_json(data[:1024].decode("utf-8", "replace")):
        _read_whole(source, data, found)
    else:
        _read_pieces(source, data, found)
    return found


def _may_hold_object(text: bytes) -> bool:
    kind = b"kind" in text
    if (kind and b"apiVersion" in text) or b"networking.k8s.io" in text:
        return True
    return kind and NAMES_DECISIVE.search(text) is not None


def _is_encrypted(text: bytes) -> bool:
    return text.startswith(BEGINS_ENCRYPTED) or any(mark in text for mark in ENCRYPTED)


def has_operations(text: bytes) -> bool:
    """Whether ``text`` has what a JSON patch consists of (RFC 6902)."""
    starts = (found.start() for found in OPERATION.finditer(text))
    return any(BEFORE_OPERATION.search(text[text.rfind(b"\n", 0, start) + 1 : start]) for start in starts)


def _says_its_kind(data: bytes) -> bool:
    """Whether an encrypted text still says what it is: sops leaves the names of kinds as they are, if asked to."""
    kinds = [found[2] for found in first_level(data) if found[1] == b"kind"]
    return bool(NAMES_DECISIVE.search(data) or (kinds and not any(kind.startswith(b"ENC[") for kind in kinds)))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _read_binary(source: Source, data: bytes, found: Found) -> None:
    """Skip what is no text, but not a manifest in another encoding."""
    if NAMES_DECISIVE.search(data.replace(b"\0", b"")):
        found.problems += parse_documents(source)[1]
    else:
        found.skipped.append(Skipped(Cause.BINARY, source.name))


def _read_whole(source: Source, data: bytes, found: Found) -> None:
    documents, problems = parse_documents(source)
    found.documents += documents
    _settle(source, data, problems, 0, found)


def _read_pieces(source: Source, data: bytes, found: Found) -> None:
    """Read each document by itself: one that can't be read says nothing of the others."""
    for piece, lines_before in _pieces(data):
        kind = _never_pods(piece)
        if kind:
            found.ignored[kind] += 1
            continue
        if not _may_hold_object(piece):
            if _says_something(piece):
                found.skipped.append(Skipped(cause_of(source.name, piece), source.name, lines_before + 1))
            continue
        heading = read_heading(piece, lines_before)
        parsed, problems = ([heading], []) if heading else read_yaml(source.name, piece, lines_before)
        documents, problems = as_documents(source, piece.decode(), parsed, problems, lines_before)
        found.documents += documents
        _settle(source, piece, problems, lines_before, found)


def _pieces(data: bytes) -> Iterator[tuple[bytes, int]]:
    """The documents of ``data``, each with the number of lines before it; all in one where directives come first."""
    if data.startswith(b"%"):
        yield data, 0
        return
    starts = [0, *(mark.start() + 1 for mark in BETWEEN_DOCUMENTS.finditer(data))]
    lines = 0
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        piece = data[start:end]
        yield piece, lines
        lines += piece.count(b"\n")


def _says_something(piece: bytes) -> bool:
    """Whether there is more in ``piece`` than comments, ends of documents and nulls."""
    return any(
        line.strip() not in NULLS and not line.lstrip().startswith(b"#") and not line.startswith((b"---", b"..."))
        for line in piece.splitlines()
    )


def _never_pods(piece: bytes) -> str:
    """The kind of ``piece`` where it is one of ``NEVER_PODS``, or a list of them, without doubt; else empty."""
    found: dict[bytes, bytes] = {}
    for name, value in (each.groups() for each in first_level(piece)):
        if name in found:
            return ""
        found[name] = value
    kind = found.get(b"kind", b"")
    never = kind.removesuffix(b"List") in NEVER_PODS
    return kind.decode() if never and found.get(b"apiVersion") else ""


def _settle(source: Source, text: bytes, problems: list[Problem], lines_before: int, found: Found) -> None:
    """Decide what ``problems`` with ``text`` mean: nothing, where it is a template or names no kind that matters."""
    if not problems:
        return
    decisive = NAMES_DECISIVE.search(text)
    kind = decisive[1].decode() if decisive else ""
    line = lines_before + 1 if lines_before else 0
    decoded = text.decode("utf-8", "replace")
    if is_template(decoded) or _breaks_where_filled_in(decoded, problems, lines_before):
        found.skipped.append(Skipped(Cause.TEMPLATE, source.name, line, kind))
    elif decisive:
        found.problems += problems
    else:
        cause = cause_of(source.name, text)
        found.skipped.append(Skipped(Cause.NOT_YAML if cause is Cause.DATA else cause, source.name, line))


def _breaks_where_filled_in(text: str, problems: Sequence[Problem], lines_before: int) -> bool:
    """Whether ``text`` is not YAML because of something on the line of its first problem that is to be filled in."""
    number = problems[0].line - lines_before - 1
    lines = text.splitlines()
    breaks = problems[0].message.startswith(NO_YAML) and 0 <= number < len(lines)
    return breaks and bool(
        FILLED_IN.search(lines[number]) or any(map(LEFT_OUT.fullmatch, lines[max(0, number - 1) :][:2]))
    )


def is_template(text: str) -> bool:
    """Whether something in ``text`` is to be filled in by a template engine."""
    return "{{" in text or "{%" in text or "<%" in text


def cause_of(name: str, text: bytes) -> Cause:
    """Why ``text``, of the file called ``name``, holds no object."""
    low = name.lower()
    base = low.rpartition("/")[2]
    for cause, holds in (
        (Cause.KUSTOMIZATION, base in KUSTOMIZATIONS),
        (Cause.CHART, base in CHARTS),
        (Cause.WORKFLOW, WORKFLOWS.search(low)),
        (Cause.COMPOSE, COMPOSE.search(low)),
        (Cause.ENCRYPTED, _is_encrypted(text)),
        (Cause.PATCH, has_operations(text)),
        (Cause.TEMPLATE, "/templates/" in low and b"{{" in text),
        (Cause.VALUES, VALUES.search(low)),
    ):
        if holds:
            return cause
    return Cause.DATA
