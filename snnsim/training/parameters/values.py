"""The values of a network as a call finds them: looked up once, held to their ranges, finite.

torch's own means put another tensor where a parameter was (`torch.nn.utils.parametrize`, `torch.nn.utils.prune`,
`torch.func.functional_call`), and may work it out anew at every look. A call therefore looks once, computes with what
it found and gives the gradients of that; autograd carries them on to wherever it came from.

What is learned has a range in which the network can be described and run again: a delay does not leave its kernel, a
time constant of forward Euler is a tick or longer, a threshold stays above where a reset lands. A value that an
optimiser has moved out of its range is brought back to the end of it by the next look, so that what is computed is what
is given back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from snnsim.errors import CapabilityError, NetworkError, ParameterError
from snnsim.training.parameters.finite import refuse_any_not_finite

#: Values by kind and name, such as ``"weights:input->hidden"`` or ``"norm:hidden.bias"``.
Values = dict[str, Tensor]


@dataclass(frozen=True)
class Kept:
    """Where a module keeps a value, and what it must be.

    Parameters
    ----------
    attribute : str
    shape : torch.Size
    low, high : float, Tensor or None
        Ends of its range, both included; None where there is none.
    """

    attribute: str
    shape: torch.Size
    low: Any = None
    high: Any = None

    def of(self, module: nn.Module) -> Tensor:
        """Return the value, in its range."""
        found: Tensor = getattr(module, self.attribute)
        if self.low is None and self.high is None:
            return found
        return brought_back(found, self.low, self.high)


def brought_back(value: Tensor, low: Any, high: Any) -> Tensor:
    """Return a value in its range.

    A parameter is moved itself. What is worked out from parameters gets the value at the end of the range and keeps the
    gradient that it has there.
    """
    now = value.detach()
    inside = now.clamp(low, high)
    if torch.equal(inside, now):
        return value
    if isinstance(value, nn.Parameter):
        with torch.no_grad():
            value.copy_(inside)
        return value
    return value + (inside - now)


class KeptValues(nn.Module):
    """A module that keeps values by kind and name, such as ``"weights:input->hidden"``: parameters where learned.

    Attributes
    ----------
    kept : dict of str to Kept
        Where they are.
    dtype : torch.dtype
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.kept: dict[str, Kept] = {}

    def keep(self, key: str, value: Tensor, learned: bool, low: Any = None, high: Any = None) -> None:
        """Keep a value in its range: a parameter where learned, else a buffer."""
        attribute = self.free_attribute(key)
        if learned:
            self.register_parameter(attribute, nn.Parameter(value.contiguous()))
        else:
            self.register_buffer(attribute, value.contiguous())
        self.kept[key] = Kept(attribute, value.shape, low, high)

    def free_attribute(self, key: str) -> str:
        """Return the attribute under which torch takes what has a key."""
        attribute = key.replace(".", "_")
        if hasattr(self, attribute):
            raise NetworkError(f"two parameters would be named {attribute!r}; dots in names count as underscores")
        return attribute

    def look_up(self) -> Values:
        """Return all values, with the graphs they come with.

        Raises
        ------
        ParameterError
            A value is not finite, or of another shape or type than the network was made with.
        """
        values: Values = {}
        for key, kept in self.kept.items():
            found = values[key] = kept.of(self)
            if found.shape != kept.shape or found.dtype != self.dtype:
                raise ParameterError(
                    f"{said(key)}: {found.dtype} of shape {tuple(found.shape)}; the network was made with {self.dtype} "
                    f"of shape {tuple(kept.shape)}"
                )
        refuse_any_not_finite({said(key): value for key, value in values.items()})
        return values

    def bring_back(self) -> None:
        """Move what a step of an optimiser has taken out of its range back to the end of it."""
        for kept in self.kept.values():
            kept.of(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow ``double()`` and ``float()``; what the kernels do not have is refused before anything is changed."""
        dtype = computed_in(self, fn)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.dtype = dtype
        return self


def refuse_out_of_range(module: Any, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Raise `ParameterError` where a state to be loaded holds what the network cannot have, such as longer delays."""
    for key, kept in module.kept.items():
        value = state.get(prefix + kept.attribute)
        if not isinstance(value, Tensor) or value.shape != kept.shape:
            continue  # which torch says
        low, high = (None if end is None else torch.as_tensor(end, dtype=value.dtype) for end in (kept.low, kept.high))
        if (low is not None and bool((value < low).any())) or (high is not None and bool((value > high).any())):
            raise ParameterError(
                f"load_state_dict: {said(key)} go from {float(value.min()):g} to {float(value.max()):g}, beyond what "
                "this network was described for; load them into one that is described as the other"
            )


def computed_in(module: Any, function: Callable[[Tensor], Tensor]) -> torch.dtype:
    """Return the type that a change of all tensors, such as ``double()``, leads to.

    Raises
    ------
    CapabilityError
        The compiled kernels do not have it.
    """
    after = function(torch.zeros((), dtype=module.dtype))
    if after.dtype not in (torch.float32, torch.float64) or after.device.type != "cpu":
        name = type(module).__name__
        raise CapabilityError(
            f"{name} computes in float32 or float64 on the cpu, not in {after.dtype} on {after.device}"
        )
    return after.dtype


def said(key: str) -> str:
    """Return a key in words."""
    kind, _, name = key.partition(":")
    return f"{kind} of {name!r}"
