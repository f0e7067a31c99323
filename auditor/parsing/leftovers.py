"""Documents of found files that are read as YAML and yet are no object: recognised by their shape."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from auditor.model.errors import Problem
from auditor.model.skipped import Cause, Skipped
from auditor.parsing.documents import TEMPLATE_HINT, Document
from auditor.parsing.fields import Fields
from auditor.parsing.found import TEMPLATING, cause_of
from auditor.parsing.headings import DECISIVE

PATCH_DIRECTIVES = ("$patch", "$retainKeys")
KUSTOMIZATION_KINDS = ("Kustomization", "Component")
ASSERTIONS = re.compile(r"\d+-(?:assert|errors?)\b|(?:chainsaw-)?assert(?:[-_.]|ions?\b)")
"""Names of files in which tests of operators (kuttl, Chainsaw) say what they expect to find: parts of objects."""
ASSERTIONS_AMONG_TESTS = re.compile(
    r"(?:.*/)?(?:\.?chainsaw|\.?kuttl|e2e|tests?)\b.*[-_](?:assert(?:ions?)?|errors?)(?:[-_.][^/]*)?\.ya?ml"
)
"""The same by their path: what only a folder of tests can have."""
NAMED_LATER = frozenset(kind for kind in DECISIVE if kind != "Namespace" and not kind.endswith("NetworkPolicy"))
"""Kinds of which a part without a name is what programs complete before they create it. Policies must be whole."""
OPENSHIFT_TEMPLATE = "Template"
OPENSHIFT_VERSIONS = ("v1", "template.openshift.io/v1")
TEMPLATED = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
"""Workloads that the API server refuses without a selector and labels in their template."""


def why_no_object(document: Document, value: Any, patches: Collection[str]) -> Skipped | None:
    """What to skip ``value``, a document or an item of a List, as; None where it is an object, or claims to be."""
    kind = value.get("kind") if isinstance(value, dict) else None
    cause = _cause(document, value, patches)
    if cause is None:
        return None
    return Skipped(cause, document.source, _line(document), kind if kind in (*DECISIVE, OPENSHIFT_TEMPLATE) else "")


def _cause(document: Document, value: Any, patches: Collection[str]) -> Cause | None:
    if not isinstance(value, dict):
        several = value if isinstance(value, list) else ()
        claims = any(_claims_to_be_decisive(item) for item in several)
        return None if claims else cause_of(document.source, repr(value)[:2000].encode())
    kind, version = value.get("kind"), value.get("apiVersion")
    for cause, holds in (
        (Cause.ASSERTION, _is_assertion(document.source.lower())),
        (Cause.PATCH, posixpath.normpath(document.source) in patches),
        (Cause.TEMPLATE, kind == OPENSHIFT_TEMPLATE and version in OPENSHIFT_VERSIONS),
        (Cause.KUSTOMIZATION, kind in KUSTOMIZATION_KINDS and str(version).startswith("kustomize.config.k8s.io")),
    ):
        if holds:
            return cause
    if not kind or not version or not isinstance(kind, str) or not isinstance(version, str):
        return None if _claims_to_be_decisive(value) else cause_of(document.source, b"")
    if _is_named_later(value):
        return Cause.TEMPLATE
    return Cause.PATCH if _is_patch(value) else None


def _is_assertion(path: str) -> bool:
    return bool(ASSERTIONS.match(posixpath.basename(path)) or ASSERTIONS_AMONG_TESTS.fullmatch(path))


def _is_named_later(value: dict[str, Any]) -> bool:
    """Whether a name is left out, by a null or with all metadata, for a program to fill in."""
    metadata = value.get("metadata")
    if metadata is None:
        return value["kind"] in NAMED_LATER
    named_by_null = isinstance(metadata, dict) and "name" in metadata and metadata["name"] is None
    return named_by_null and value["kind"] in NAMED_LATER and not metadata.get("generateName")


def _is_patch(value: dict[str, Any]) -> bool:
    spec = _spec(value)
    if any(key in value or key in spec for key in PATCH_DIRECTIVES):
        return True
    return value["kind"] in TEMPLATED and str(value["apiVersion"]).startswith("apps/") and _is_fragment(spec)


def _claims_to_be_decisive(value: Any) -> bool:
    """Whether ``value`` says that it is of a kind that matters, or of the API of policies, and is not whole. Values of
    charts may have a ``kind``, too, and have neither metadata nor a spec beside it.
    """
    if not isinstance(value, dict) or not any(isinstance(value.get(key), dict) for key in ("metadata", "spec")):
        return False
    kind, version = value.get("kind"), value.get("apiVersion")
    return (kind in DECISIVE if isinstance(kind, str) else False) or (
        isinstance(version, str) and "networking.k8s.io" in version and "metadata" in value
    )


def _spec(value: dict[str, Any]) -> dict[str, Any]:
    spec = value.get("spec")
    return spec if isinstance(spec, dict) else {}


def _is_fragment(spec: dict[str, Any]) -> bool:
    """Whether a workload has neither a selector nor labels in its template: a part, to be merged into a whole one."""
    template = spec.get("template")
    metadata = template.get("metadata") if isinstance(template, dict) else None
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return not spec.get("selector") and not labels


def unfilled_template(fields: Fields, kind: str, problems: Sequence[Problem]) -> Skipped | None:
    """What to skip an object as whose ``problems`` are places that a template engine would have filled in."""
    # Without quotes, {{ x }} is a mapping whose key is one: nothing is left of it but the problem and its hint.
    hinted = any(TEMPLATE_HINT in problem.message for problem in problems)
    if hinted or (problems and any(TEMPLATING.search(text) for text in _texts(fields.value))):
        return Skipped(Cause.TEMPLATE, fields.document.source, _line(fields.document), kind)
    return None


def _texts(value: Any) -> Iterator[str]:
    """Every key and every text in ``value``."""
    parts: list[Any] = [value]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            parts += [*part, *part.values()]
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, str):
            yield part


def _line(document: Document) -> int:
    """The document's line; 0 for one that begins its file."""
    line = document.lines(())
    return line if line > 1 else 0
