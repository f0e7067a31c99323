"""The tiers in the order in which they decide."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.policy.tier_network_policy import NetworkPolicyTier
from auditor.policy.tiers import Tier

TIERS: Sequence[Tier] = (NetworkPolicyTier(),)
