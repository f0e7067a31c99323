"""What was found and is not an object: one line for each cause, for people, and all of it for programs."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from auditor.model.skipped import Cause, LeftOut, Skipped
from auditor.model.words import in_brief, pluralize

WORDS: Mapping[Cause, tuple[str, str]] = {
    Cause.TEMPLATE: ("template", "templates"),
    Cause.KUSTOMIZATION: ("kustomization", "kustomizations"),
    Cause.PATCH: ("patch", "patches"),
    Cause.ASSERTION: ("assertion of a test", "assertions of tests"),
    Cause.CHART: ("description of a chart", "descriptions of charts"),
    Cause.VALUES: ("values file", "values files"),
    Cause.WORKFLOW: ("CI workflow", "CI workflows"),
    Cause.COMPOSE: ("compose file", "compose files"),
    Cause.ENCRYPTED: ("encrypted file", "encrypted files"),
    Cause.BINARY: ("binary file", "binary files"),
    Cause.NOT_YAML: ("text that is neither YAML nor JSON", "texts that are neither YAML nor JSON"),
    Cause.DATA: ("text without apiVersion and kind", "texts without apiVersion and kind"),
}
"""One of a cause, and several."""
EXAMPLES = 2
TEMPLATES = "templates"


def skipped_lines(skipped: Sequence[Skipped]) -> list[str]:
    """A line for each cause: how many, where, and what to do about it where something can be done."""
    by_cause = {cause: [each for each in skipped if each.cause is cause] for cause in Cause}
    rendered = {_chart_of(each.file) for each in by_cause[Cause.TEMPLATE]}
    by_cause_told = {cause: found for cause, found in by_cause.items() if found}
    return [_line(cause, found, rendered) for cause, found in by_cause_told.items()]


def _line(cause: Cause, found: Sequence[Skipped], rendered: Collection[str]) -> str:
    places = list(dict.fromkeys(each.place for each in found))
    said = f"skipped {pluralize(len(found), *WORDS[cause])}: {in_brief(places, EXAMPLES)}"
    return f"{said}{_with_policies(found)}{_remedy(cause, found, rendered)}"


def _with_policies(found: Iterable[Skipped]) -> str:
    policies = sum(each.kind == "NetworkPolicy" for each in found)
    return f" ({pluralize(policies, 'NetworkPolicy', 'NetworkPolicies')} among them)" if policies else ""


def _remedy(cause: Cause, found: Sequence[Skipped], rendered: Collection[str]) -> str:
    """What to do about ``found``; ``rendered`` are charts of which that is said with their templates."""
    if cause is Cause.KUSTOMIZATION:
        directory = posixpath.dirname(found[0].file) or "."
        return f"; what they change is not seen: render first: kubectl kustomize {directory} | audit ... -f -"
    if cause is Cause.CHART:
        return _remedy_of_charts(found, rendered)
    if cause is Cause.TEMPLATE:
        return _remedy_of_templates(found)
    if cause is Cause.ENCRYPTED:
        return "; decrypt first what matters"
    return ""


def _remedy_of_templates(found: Sequence[Skipped]) -> str:
    if charts := [chart for each in found if (chart := _chart_of(each.file))]:
        return f"; render first: helm template {charts[0]} | audit ... -f -"
    if files := [each.file for each in found if each.kind == "Template"]:
        return f"; fill them in first: oc process -f {files[0]} | audit ... -f -"
    return "; fill them in first"


def _remedy_of_charts(found: Sequence[Skipped], rendered: Collection[str]) -> str:
    directories = [posixpath.dirname(each.file) or "." for each in found]
    own = (each for each in directories if not any(each.startswith(f"{other}/charts/") for other in directories))
    alone = next((directory for directory in own if directory not in rendered), "")
    return f"; render first: helm template {alone} | audit ... -f -" if alone else ""


def _chart_of(file: str) -> str:
    """The directory of the chart that a template in ``templates/`` belongs to; empty where there is none."""
    steps = file.split("/")
    return "/".join(steps[: steps.index(TEMPLATES)]) or "." if TEMPLATES in steps[:-1] else ""


def ignored_line(left_out: LeftOut) -> str:
    """``3 ConfigMap, 1 Secret``; empty where no object is ignored."""
    return ", ".join(f"{number:,} {kind}" for kind, number in sorted(left_out.ignored.items()))


def left_out_json(left_out: LeftOut) -> dict[str, Any]:
    """All of it: ``ignored`` and ``skipped``, and ``problems`` where there are any."""
    by_cause = ((cause, [each for each in left_out.skipped if each.cause is cause]) for cause in Cause)
    skipped = [
        {"cause": cause.value, "count": len(found), "places": [each.place for each in found]}
        for cause, found in by_cause
        if found
    ]
    problems = {"problems": [str(problem) for problem in left_out.problems]} if left_out.problems else {}
    return {"ignored": dict(sorted(left_out.ignored.items())), "skipped": skipped, **problems}
