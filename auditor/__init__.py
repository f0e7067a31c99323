"""A live connectivity auditor for Kubernetes NetworkPolicies."""

__version__ = "0.1.0"
