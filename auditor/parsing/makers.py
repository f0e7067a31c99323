"""What makes pods: kinds of others, of which those with a pod template say so, and some are known to do it otherwise.

And the labels that controllers give to all pods of a workload alike: known ones, and those that nobody can know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auditor.parsing.loose_values import mapping

MAKERS: Mapping[str, frozenset[str]] = {
    "monitoring.coreos.com": frozenset({"Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler"}),
    "kubevirt.io": frozenset({"VirtualMachine", "VirtualMachineInstance", "VirtualMachineInstanceReplicaSet"}),
    "kafka.strimzi.io": frozenset(
        {"Kafka", "KafkaNodePool", "KafkaConnect", "KafkaBridge", "KafkaMirrorMaker", "KafkaMirrorMaker2"}
    ),
    "elasticsearch.k8s.elastic.co": frozenset({"Elasticsearch"}),
    "kibana.k8s.elastic.co": frozenset({"Kibana"}),
    "beat.k8s.elastic.co": frozenset({"Beat"}),
    "logstash.k8s.elastic.co": frozenset({"Logstash"}),
    "apm.k8s.elastic.co": frozenset({"ApmServer"}),
    "postgresql.cnpg.io": frozenset({"Cluster", "Pooler"}),
    "acid.zalan.do": frozenset({"postgresql"}),
    "postgres-operator.crunchydata.com": frozenset({"PostgresCluster", "PGAdmin"}),
    "rabbitmq.com": frozenset({"RabbitmqCluster"}),
    "databases.spotahome.com": frozenset({"RedisFailover"}),
    "redis.redis.opstreelabs.in": frozenset({"Redis", "RedisCluster", "RedisReplication", "RedisSentinel"}),
    "mongodbcommunity.mongodb.com": frozenset({"MongoDBCommunity"}),
    "psmdb.percona.com": frozenset({"PerconaServerMongoDB"}),
    "pxc.percona.com": frozenset({"PerconaXtraDBCluster"}),
    "mysql.oracle.com": frozenset({"InnoDBCluster"}),
    "k8s.mariadb.com": frozenset({"MariaDB", "MaxScale"}),
    "cassandra.datastax.com": frozenset({"CassandraDatacenter"}),
    "minio.min.io": frozenset({"Tenant"}),
    "ceph.rook.io": frozenset({"CephCluster", "CephObjectStore", "CephFilesystem"}),
    "argoproj.io": frozenset({"Workflow", "CronWorkflow", "EventSource", "Sensor", "EventBus", "ArgoCD"}),
    "tekton.dev": frozenset({"PipelineRun", "TaskRun"}),
    "kubeflow.org": frozenset({"TFJob", "PyTorchJob", "MPIJob", "XGBoostJob", "PaddleJob", "Notebook"}),
    "sparkoperator.k8s.io": frozenset({"SparkApplication", "ScheduledSparkApplication"}),
    "ray.io": frozenset({"RayCluster", "RayJob", "RayService"}),
    "flink.apache.org": frozenset({"FlinkDeployment"}),
    "serving.kserve.io": frozenset({"InferenceService"}),
    "grafana.integreatly.org": frozenset({"Grafana"}),
    "loki.grafana.com": frozenset({"LokiStack"}),
    "tempo.grafana.com": frozenset({"TempoStack", "TempoMonolithic"}),
    "opentelemetry.io": frozenset({"OpenTelemetryCollector"}),
    "jaegertracing.io": frozenset({"Jaeger"}),
    "operator.victoriametrics.com": frozenset(
        {"VMCluster", "VMSingle", "VMAgent", "VMAlert", "VMAlertmanager", "VMAuth"}
    ),
    "jenkins.io": frozenset({"Jenkins"}),
    "actions.github.com": frozenset({"AutoscalingRunnerSet", "EphemeralRunnerSet"}),
    "helm.toolkit.fluxcd.io": frozenset({"HelmRelease"}),
    "helm.cattle.io": frozenset({"HelmChart"}),
    "gateway.networking.k8s.io": frozenset({"Gateway"}),
}
"""Kinds whose pods their controllers make from something else than a pod template, by API group."""


def makes_pods(kind: str, group: str) -> bool:
    """Whether objects of ``kind`` make pods of which they don't say the labels."""
    return kind in MAKERS.get(group, ())


def has_pod_template(value: Mapping[str, Any]) -> bool:
    """Whether ``value``, an object of any kind, has a pod template in its spec, or in that of its jobs."""
    spec = mapping(value, "spec")
    template = mapping(mapping(spec, "jobTemplate"), "spec") if "jobTemplate" in spec else spec
    return isinstance(mapping(mapping(template, "template"), "spec").get("containers"), list)


JOB_NAMES = ("job-name", "batch.kubernetes.io/job-name")
JOB_UIDS = frozenset({"controller-uid", "batch.kubernetes.io/controller-uid"})
KNATIVE = "serving.knative.dev"
KNATIVE_UNKNOWN = frozenset({f"{KNATIVE}/revision", f"{KNATIVE}/revisionUID", "app", "pod-template-hash"})
UNKNOWN: Mapping[str, frozenset[str]] = {
    "CronJob": JOB_UIDS.union(JOB_NAMES),
    "Deployment": frozenset({"pod-template-hash"}),
    "Rollout": frozenset({"rollouts-pod-template-hash"}),
    "StatefulSet": frozenset({"controller-revision-hash"}),
    "DaemonSet": frozenset({"controller-revision-hash", "pod-template-generation"}),
    "CloneSet": frozenset({"controller-revision-hash", "pod-template-hash", "apps.kruise.io/cloneset-instance-id"}),
}
"""Hashes of templates and the like, by the kind whose controller makes them."""


@dataclass(frozen=True, slots=True)
class GivenLabels:
    """Labels with their values, and keys of those whose values depend on the cluster."""

    known: Mapping[str, str] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


def given_labels(version: str, kind: str, name: str) -> GivenLabels:
    """What the controller of the workload ``name`` gives to all of its pods alike (well-known labels reference)."""
    group = version.rpartition("/")[0]
    if kind == "Job":
        return GivenLabels(dict.fromkeys(JOB_NAMES, name), JOB_UIDS)
    if kind == "DeploymentConfig":
        return GivenLabels({"deploymentconfig": name}, frozenset({"deployment"}))
    if kind == "Service" and group == KNATIVE:
        return GivenLabels({f"{KNATIVE}/service": name, f"{KNATIVE}/configuration": name}, KNATIVE_UNKNOWN)
    return GivenLabels(unknown=UNKNOWN.get(kind, frozenset()))
