"""What torch calls around the forward pass of a module: what works out parameters, and all else."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils import prune

from snnsim.errors import CapabilityError


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


def has_other_hooks(module: nn.Module) -> bool:
    """Whether torch is asked to call something around the forward pass, but for what works out parameters."""
    others = [hook for hook in module._forward_pre_hooks.values() if not works_out(hook)]
    return bool(others or module._forward_hooks or module._backward_hooks or module._backward_pre_hooks)


def refuse_hooks(module: nn.Module, where: str) -> None:
    """Raise `CapabilityError` where a module without a forward pass has hooks that nothing would call."""
    if has_other_hooks(module):
        raise CapabilityError(
            f"{where} has hooks of a forward or backward pass, which it has not by itself, so that they would not be "
            "called; hooks of the network are, and those of parameters"
        )
