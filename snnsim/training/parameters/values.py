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
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from snnsim.errors import CapabilityError, ParameterError
from snnsim.training.compute.spike_lists import sum_is_finite

if TYPE_CHECKING:
    from snnsim.training.model.trainable_network import TrainableNetwork

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


class Keeping(Protocol):
    """A module with values.

    Attributes
    ----------
    kept : dict of str to Kept
        By kind and name.
    dtype : torch.dtype
    """

    kept: dict[str, Kept]
    dtype: torch.dtype


def look_up(model: Keeping) -> Values:
    """Return the values of a network, with the graphs they come with.

    Raises
    ------
    ParameterError
        A value is not finite, or of another shape or type than the network was made with.
    """
    values: Values = {}
    for key, kept in model.kept.items():
        found = values[key] = kept.of(model)  # type: ignore[arg-type]  # a module, which has no protocol
        if found.shape != kept.shape or found.dtype != model.dtype:
            raise ParameterError(
                f"{said(key)}: {found.dtype} of shape {tuple(found.shape)}; the network was made with {model.dtype} of "
                f"shape {tuple(kept.shape)}"
            )
        refuse_not_finite(said(key), found)
    return values


def look_up_norms(model: TrainableNetwork) -> Values:
    """Return factor and shift of every batch norm, checked as `look_up` does, with the running statistics."""
    values: Values = {}
    for stage in model.plan.stages:
        if not stage.batch_norm:
            continue
        norm, where = model.norm(stage.name), f"the batch norm of {stage.name!r}"
        refuse_hooks(norm, where)
        work_out(norm)
        for name in ("weight", "bias"):
            values[f"norm:{stage.name}.{name}"] = found = getattr(norm, name)
            refuse_not_finite(f"{name} of {where}", found)
        for name in ("running_mean", "running_variance"):
            refuse_not_finite(f"{name} of {where}", getattr(norm, name))
    return values


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


def works_out(hook: Any) -> bool:
    """Whether a hook before a forward pass is that of pruning, weight norm or spectral norm, which look at no input."""
    return isinstance(hook, prune.BasePruningMethod) or hasattr(hook, "compute_weight")


def work_out(module: nn.Module) -> None:
    """Work out anew what pruning, weight norm and spectral norm put in the place of parameters.

    torch does so before a forward pass; in between it is what the parameters were before the last step.
    """
    for hook in module._forward_pre_hooks.values():
        if works_out(hook):
            hook(module, ())


def refuse_hooks(module: nn.Module, where: str) -> None:
    """Raise `CapabilityError` where a module without a forward pass has hooks that nothing would call."""
    others = [hook for hook in module._forward_pre_hooks.values() if not works_out(hook)]
    if others or module._forward_hooks or module._backward_hooks or module._backward_pre_hooks:
        raise CapabilityError(
            f"{where} has hooks of a forward or backward pass, which it has not by itself, so that they would not be "
            "called; hooks of the network are, and those of parameters"
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


def refuse_not_finite(what: str, value: Tensor) -> None:
    """Raise `ParameterError` where a tensor holds NaN or infinity."""
    value = value.detach()
    if sum_is_finite(value):
        return
    bad = ~torch.isfinite(value)
    count = int(bad.sum())
    if count:
        place = tuple(int(i) for i in bad.nonzero()[0])
        where = f" at {place}" if place else ""
        raise ParameterError(
            f"{what}: {float(value[place])}{where} ({count} of {value.numel()} numbers); every one must be finite"
        )
