"""Conformance: every scenario against one enforcer, and a scorecard of what that enforcer understands of
NetworkPolicies.
"""
