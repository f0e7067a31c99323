"""A run's report as objects of the cluster: those of OpenReports, or of the Policy WG where only its are installed.

Their names don't change, so each night's take the place of the last one's and etcd doesn't grow. What somebody else has
put there under the same name stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from auditor.cluster.kubernetes.client.api_types import GroupList, Record
from auditor.cluster.kubernetes.client.creation import create
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, ConflictError, NotFoundError, Question
from auditor.cluster.kubernetes.objects import MANAGED_BY_LABEL, NAME
from auditor.model.errors import ClusterError
from auditor.model.report_object import BEGAN, ReportObject, ReportResult
from auditor.model.report_scope import ReportScope

SCOPE = "netpol-audit/scope"
"""The annotation that says how much the run of an object looked at."""
STAYS_SECONDS = 20 * 3600
"""For so long an object of a run that looked at more stays: a night's for the day. What is older says less than a part
that is new, and the next night writes it whatever it looks at.
"""
CATEGORY = "NetworkPolicy"


@dataclass(frozen=True, slots=True)
class ReportApi:
    """An API with report objects: ``kind`` in a namespace, and the same with Cluster before it. ``in_full``: its
    reports say who made them and what was left out.
    """

    group: str
    version: str
    kind: str
    in_full: bool = False

    def question(self, verb: str, namespace: str, name: str = "") -> Question:
        """``verb`` on the object ``name`` in ``namespace``, on the whole run's where that is empty."""
        resource = f"{self.kind.lower()}s" if namespace else f"cluster{self.kind.lower()}s"
        path = f"/apis/{self.group}/{self.version}{f'/namespaces/{namespace}' if namespace else ''}/{resource}"
        where = f" in namespace {namespace}" if namespace else ""
        return Question(f"{path}/{name}" if name else path, verb, f"{resource}.{self.group}", where)

    def manifest(self, name: str, told: ReportObject, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What ``told`` is as an object, in the place of the one with ``metadata``."""
        place = {"namespace": told.namespace} if told.namespace else {}
        labels = {**metadata.get("labels", {}), MANAGED_BY_LABEL: NAME}
        annotations = {**metadata.get("annotations", {}), **told.annotations, SCOPE: str(told.scope)}
        kept = {key: value for key, value in metadata.items() if key != "managedFields"}
        scope = {"scope": {"apiVersion": "v1", "kind": "Namespace", "name": told.namespace}} if told.namespace else {}
        limits = {"maxResults": told.most, "statusFilter": ["fail", "warn", "error", "skip"]}
        return {
            "apiVersion": f"{self.group}/{self.version}",
            "kind": self.kind if told.namespace else f"Cluster{self.kind}",
            "metadata": {**kept, "name": name, **place, "labels": labels, "annotations": annotations},
            **({"source": NAME, "configuration": {"limits": limits}} if self.in_full else {}),
            **scope,
            "summary": dict(told.summary),
            "results": [_result(each, told.seconds) for each in told.results],
        }


KNOWN = (
    ReportApi("openreports.io", "v1alpha1", "Report", in_full=True),
    ReportApi("wgpolicyk8s.io", "v1alpha2", "PolicyReport"),
    ReportApi("wgpolicyk8s.io", "v1beta1", "PolicyReport"),
)
"""The one that comes first is used where several are installed."""
NOT_INSTALLED = (
    "has no report objects: install the CustomResourceDefinitions of openreports.io/v1alpha1 or wgpolicyk8s.io/v1alpha2"
)


def _result(told: ReportResult, seconds: int) -> dict[str, Any]:
    made = {
        "source": NAME,
        "category": CATEGORY,
        "policy": told.policy,
        "rule": told.rule,
        "severity": told.severity,
        "result": told.status,
        "scored": told.status == "fail",
        "message": told.message,
        "properties": dict(told.properties),
        "timestamp": {"seconds": seconds, "nanos": 0},
    }
    return {key: value for key, value in made.items() if value not in ("", {})}


class _Existing(Record, frozen=True):
    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)


async def installed(api: ApiServer) -> ReportApi:
    """The API that is used here. Raises ClusterError without any."""
    question = Question("/apis", "get", "API groups")
    groups = decode(await api.get(question), GroupList, api, question).groups
    served = {(group.name, version.version) for group in groups for version in group.served}
    for known in KNOWN:
        if (known.group, known.version) in served:
            return known
    raise ClusterError(f"{api.place}: {NOT_INSTALLED}")


async def read_object(api: ApiServer, served: ReportApi, name: str, namespace: str) -> Mapping[str, Any]:
    """The metadata of the object ``name`` in ``namespace``. Raises NotFoundError or another ClusterError."""
    question = served.question("get", namespace, name)
    return decode(await api.get(question), _Existing, api, question).metadata


async def write_object(api: ApiServer, served: ReportApi, name: str, told: ReportObject) -> None:
    """Write ``told`` as ``name``, where its place is free or it may take it. Raises ClusterError."""
    try:
        old = await read_object(api, served, name, told.namespace)
    except NotFoundError:
        if not told.optional:
            await create(api, served.question("create", told.namespace), served.manifest(name, told, {}))
        return
    if not is_ours(old):
        raise ClusterError(f"{_called(api, served, name, told)} was made by somebody else: choose another name")
    check_place(api, served, name, old, told)
    try:
        await api.send("PUT", served.question("update", told.namespace, name), served.manifest(name, told, old))
    except ConflictError as error:
        if not error.after_lost_answer:
            raise


def is_ours(metadata: Mapping[str, Any]) -> bool:
    """Whether a run has made the object with this ``metadata``."""
    return bool(metadata.get("labels", {}).get(MANAGED_BY_LABEL) == NAME)


def check_place(api: ApiServer, served: ReportApi, name: str, old: Mapping[str, Any], told: ReportObject) -> None:
    """Raise ClusterError where the object with the metadata ``old`` is of a run that looked at more than ``told``."""
    if is_ours(old) and (why := _why_it_stays(old.get("annotations", {}), told)):
        raise ClusterError(
            f"{_called(api, served, name, told)} is of a run of today that looked at more than this one ({why}): "
            "choose another name, or delete that object"
        )


def _called(api: ApiServer, served: ReportApi, name: str, told: ReportObject) -> str:
    question = served.question("get", told.namespace, name)
    return f"{api.place}: {question.resource} {name}{question.where}"


def _why_it_stays(old: Mapping[str, str], told: ReportObject) -> str:
    """Why the object with the annotations ``old`` stays where ``told`` would take its place; empty where it goes."""
    scope = ReportScope.parse(old.get(SCOPE, ""))
    try:
        began = datetime.fromisoformat(old.get(BEGAN, "")).timestamp()
    except ValueError:
        return ""
    return told.scope.lacks(scope) if scope is not None and told.seconds - began < STAYS_SECONDS else ""
