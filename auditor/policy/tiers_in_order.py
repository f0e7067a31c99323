"""The tiers in the order in which they decide."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.model.admin_policy import AdminTier
from auditor.policy.tier_admin import AdminPolicyTier
from auditor.policy.tier_network_policy import NetworkPolicyTier
from auditor.policy.tiers import Tier

TIERS: Sequence[Tier] = (AdminPolicyTier(AdminTier.ADMIN), NetworkPolicyTier(), AdminPolicyTier(AdminTier.BASELINE))
