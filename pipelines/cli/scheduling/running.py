"""A flow ends as its function does, whatever becomes of Prefect meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType
from typing import Any

from pipelines.cli.scheduling.cancelling import CancelButton
from pipelines.cli.scheduling.server import LATER
from pipelines.execution.dispensable import PREFECT, is_absence, missing

Say = Callable[[str], None]


class Flows:
    """The flows of `pipelines.flows`, in Prefect or, where it is not there, as plain functions."""

    def __init__(self, module: ModuleType, there: bool, say: Say) -> None:
        self._module, self._there, self._say = module, there, say

    def __getattr__(self, name: str) -> Callable[..., Any]:
        flow = getattr(self._module, name)
        return partial(run_flow, flow, self._say) if self._there else flow.fn


def run_flow(flow: Any, say: Say, *given: Any, **asked: Any) -> Any:
    """Return or raise what the flow's function does.

    Where Prefect is lost before or while it works, it is called again without: what is finished
    is in the store. Where it is lost afterwards, nothing is: the result was there.
    """
    ends: list[tuple[Any, BaseException | None]] = []
    button = CancelButton(say)

    @wraps(flow.fn)
    def remembered(*own: Any, **named: Any) -> Any:
        try:
            with button.watched():
                ends.append((flow.fn(*own, **named), None))
        except BaseException as error:
            ends.append((None, error))
            if button.pressed:
                return button.state()  # what Prefect would take for a crash
            raise
        return ends[-1][0]

    scheduled = copy.copy(flow)
    scheduled.fn, scheduled.should_validate_parameters = remembered, False  # a command's are typed
    try:
        return scheduled(*given, **asked)
    except Exception as error:
        result, own = ends[-1] if ends else (None, error)
        if own is not None and not (isinstance(own, Exception) and is_absence(PREFECT, own)):
            raise own from None  # a stop is no Exception, but Prefect's name for SIGTERM is its own
        say(missing(PREFECT, error, LATER))
        return result if own is None else flow.fn(*given, **asked)
