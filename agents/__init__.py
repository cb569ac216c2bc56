"""planstream's agents, and the API of step handlers.

Write handlers with `action`, `StepContext` and `ActionError`; the rest of this package
is planstream's own.
"""

from agents.context import StepContext
from agents.failures import ActionError
from agents.handlers import HandlerError, action

__all__ = ["ActionError", "HandlerError", "StepContext", "action"]
