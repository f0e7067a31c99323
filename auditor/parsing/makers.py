"""Kinds of others that make pods: those with a pod template say which, and of some it is known that they make them
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAKES_PODS = "makes pods that are not in the input"
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
    spec = _part(value, "spec")
    template = _part(_part(spec, "jobTemplate"), "spec") if "jobTemplate" in spec else spec
    return isinstance(_part(_part(template, "template"), "spec").get("containers"), list)


def _part(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = value.get(key)
    return part if isinstance(part, dict) else {}
