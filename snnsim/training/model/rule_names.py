"""Learning rules by name, and what a network wants to know of one before it runs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from snnsim.errors import ParameterError, one_of


@runtime_checkable
class RuleMemory(Protocol):
    """What of a learning rule its memory depends on; see `snnsim.training.rules.base.Rule`."""

    @property
    def keeps_ticks(self) -> bool:
        """Whether what a tick leaves behind is kept until the last one is known."""

    @property
    def keeps_readout(self) -> bool:
        """Whether the readout, and the spikes that lead to it, are kept until the last tick is known."""

    @property
    def keeps_traces(self) -> bool:
        """Whether what each source has sent leaves a trace for each projection from it."""

    @property
    def chunk(self) -> int | None:
        """Ticks computed at a time; None for as many as fit the cache."""


#: Rules with their defaults, by the name that `train` and `memory_report` take. Each enters itself, as rules stand
#: above the networks that they train.
NAMED: dict[str, RuleMemory] = {}


def rule_named(rule: object) -> RuleMemory:
    """Return a rule from itself or its name.

    Raises
    ------
    ParameterError
        It is neither.
    """
    if isinstance(rule, str):
        one_of("rule", rule, NAMED)
        return NAMED[rule]
    if isinstance(rule, type) or not isinstance(rule, RuleMemory):
        known = ", ".join(repr(name) for name in NAMED)
        raise ParameterError(f"rule={rule!r}: expected a rule such as SLTT() or BPTT(), or its name: {known}")
    return rule
