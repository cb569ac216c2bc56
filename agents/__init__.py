"""planstream's agents, and the API of step handlers.

Write handlers with `action`, `StepContext` and `ActionError`, an error handler
with `FailureNotice`; the rest of this package is planstream's own.
"""

from agents.context import StepContext
from agents.error_calls import FailureNotice
from agents.failures import ActionError
from agents.handlers import HandlerError, action

__all__ = ["ActionError", "FailureNotice", "HandlerError", "StepContext", "action"]
