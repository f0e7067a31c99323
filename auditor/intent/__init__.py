"""Intent: what people meant, held against what the policies say. No packet takes part.

Pure: ``hold(matrix, intent)`` reports every cell that a rule of the intent means otherwise than the expected matrix,
exact for every port, grouped by what opens or closes it, each with a change that was evaluated before it is shown,
where one was found.
"""

from __future__ import annotations

from auditor.intent.checking import check_intent
from auditor.intent.outside import unchecked_outside

__all__ = ["check_intent", "unchecked_outside"]
