"""Where the gradients of a call go: into parameters in place, and on through hooks and graphs where there are any."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from snnsim.connectivity import MaxPool2d, Sparse
from snnsim.training.compute.call import Call, synapses
from snnsim.training.compute.sparse_kernels import are_counts
from snnsim.training.compute.spike_lists import Source
from snnsim.training.parameters.network_parameters import NetworkParameters

#: What gradients are taken of, by kind and name; inputs as ``"input:<population>"``.
Roots = dict[str, Tensor]


def roots_of(call: Call) -> Roots:
    """Return the values and inputs of a call that require a gradient."""
    roots = {
        key: value
        for key, value in call.values.items()
        if value.requires_grad and not (key.startswith("delays:") and call.model.has_whole_delays(key[7:]))
    }
    for name, source in call.sources.items():
        if source.values is not None and source.values.requires_grad:
            roots[f"input:{name}"] = source.values
    return roots


def buffers(call: Call, roots: Roots, *, fresh: bool = False) -> dict[str, Tensor]:
    """Return tensors to add gradients to.

    They are those that the parameters have already, where they have some and not `fresh`; else zeros. The gradient of
    weights of `Sparse` is a matrix, that of an input has the shape (ticks, batch, sources).
    """
    result = {}
    for key, root in roots.items():
        kind, _, name = key.partition(":")
        shape: tuple[int, ...] = root.shape
        own = None if fresh or kind == "input" or not _plain(root) else root.grad
        if kind == "input":
            shape = (call.ticks, call.batch, root.shape[2])
        elif kind == "weights" and isinstance(call.model.links[name].rule, Sparse):
            shape = call.model.links[name].matrix_shape
        if own is None or own.shape != shape or own.dtype != root.dtype or not own.is_contiguous():
            # After filling a tensor itself, torch keeps a second core busy with waiting (see `sum_is_finite`).
            own = torch.from_numpy(np.zeros(shape, root.detach().numpy().dtype))
        result[key] = own
    return result


def of_inputs(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return those of the tensors that are for inputs, by population."""
    return {key.removeprefix("input:"): total for key, total in sums.items() if key.startswith("input:")}


def finished(model: NetworkParameters, key: str, gradient: Tensor) -> Tensor:
    """Return a gradient in the shape of what it is of."""
    kind, _, name = key.partition(":")
    if kind == "input":
        return gradient.transpose(0, 1)
    if kind == "weights" and isinstance(model.links[name].rule, Sparse):
        return gradient[synapses(model.links[name])]
    return gradient


def all_finished(model: NetworkParameters, sums: dict[str, Tensor]) -> Roots:
    """Return gradients in the shapes of what they are of."""
    return {key: finished(model, key, total) for key, total in sums.items()}


def hand_over(roots: Roots, found: Roots) -> None:
    """Add to ``.grad`` what is not there already, as ``Tensor.backward`` would: through hooks, and through graphs."""
    onward = []
    for key, root in roots.items():
        gradient = found[key]
        if not _plain(root):
            onward.append(key)
        elif root.grad is None:
            root.grad = gradient
        elif root.grad is not gradient:
            root.grad += gradient
    if onward:
        torch.autograd.backward([roots[key] for key in onward], [found[key] for key in onward])


def notice_real_values(call: Call, roots: Roots, readout: Tensor | None = None) -> None:
    """Note in the model which inputs it learns real values from: what backends then take are frames.

    Parameters
    ----------
    call : Call
    roots : dict of str to Tensor
    readout : Tensor, optional
        Whose gradient is waited for; without one it is known to come.
    """
    model = call.model
    if all(key.startswith("input:") for key in roots):
        return
    known, sources = model.real_inputs, enumerate(call.sources.items())
    found = [i for i, (name, source) in sources if name not in known and _real(call, name, source)]
    if found and readout is None:
        model.real_values[found] = True
    elif found and readout is not None:
        readout.register_hook(lambda _: notice_real_values(call, roots))  # type: ignore[no-untyped-call]


def _real(call: Call, name: str, source: Source) -> bool:
    """Whether an input holds what no events could have been: other values than counts, or counts that a pool cuts."""
    if source.values is None:
        return False
    model, values = call.model, source.values.detach()
    if name in model.seen_counts:  # once looked at as a whole, one sample of a call tells what kind of input it is
        values = values[:1]
    pooled = any(link.source == name and isinstance(link.rule, MaxPool2d) for link in model.links.values())
    if not are_counts(values.reshape(-1).numpy(), values.numpy().dtype.type(1.0 if pooled else math.inf)):
        return True
    model.seen_counts.add(name)
    return False


def _plain(root: Tensor) -> bool:
    """Whether a gradient ends here: no graph goes on, and no hook looks at it."""
    return root.is_leaf and not root._backward_hooks and not root._post_accumulate_grad_hooks
