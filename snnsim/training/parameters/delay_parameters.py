"""Delays of a trainable network: real numbers of ticks with a kernel around them, or whole ticks for good."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from snnsim.errors import ParameterError
from snnsim.training.delays.taps import Kernel
from snnsim.training.parameters.delay_schedule import kernel_width
from snnsim.training.parameters.plan import Delays
from snnsim.training.parameters.settings import plain_number

if TYPE_CHECKING:
    from snnsim.training.model.trainable_network import TrainableNetwork

#: Name of the buffer that holds the sharpness, and whether the delays are hard.
_PROGRESS = "delay_progress"


def begin(model: TrainableNetwork) -> None:
    """Give a model that learns delays the state of their kernels, which is saved with it."""
    if not any(link.delays is not None and link.delays.kernel for link in model.links.values()):
        raise ParameterError("learn='delays': no projection has delay=Learnable(maximum=...)")
    model.register_buffer(_PROGRESS, torch.zeros(2, dtype=torch.float64))
    model.register_load_state_dict_post_hook(_after_loading)  # type: ignore[no-untyped-call]


def add(model: TrainableNetwork, name: str, delays: Delays) -> None:
    """Add the delays of a projection to a model: as they are where they are learned, else rounded."""
    ticks = torch.tensor(delays.ticks, dtype=model.dtype)
    learned = "delays" in model.learn and delays.kernel is not None
    model.keep(f"delays:{name}", ticks if learned else ticks.round(), learned, low=0.0, high=float(delays.longest))


def sharpness(model: TrainableNetwork) -> float:
    """Return how narrow the kernels are; see `TrainableNetwork.sharpness`."""
    progress = _progress(model)
    return 1.0 if progress is None else float(progress[0])


def sharpen(model: TrainableNetwork, value: Any) -> None:
    """Set how narrow the kernels are."""
    progress = _progress(model)
    if progress is None:
        raise ParameterError("sharpness: no delays are learned")
    value = plain_number(value)
    number = float(value) if isinstance(value, Real) else math.nan
    if not 0.0 <= number <= 1.0:
        raise ParameterError(f"sharpness={value!r}: must lie in 0 ... 1")
    progress[0] = number


def is_hard(model: TrainableNetwork) -> bool:
    """Return whether all delays are whole ticks for good."""
    progress = _progress(model)
    return progress is None or bool(progress[1])


def harden(model: TrainableNetwork) -> None:
    """Round the delays to whole ticks and stop learning them."""
    progress = _progress(model)
    if progress is not None:
        progress[1] = 1.0
        _freeze_or_free(model)


def whole(model: TrainableNetwork, projection: str) -> bool:
    """Return whether the next call uses the delays of a projection rounded to ticks."""
    found = model.links[projection].delays
    assert found is not None
    return found.kernel is None or is_hard(model) or not (model.training or model.soft_delays)


def now(model: TrainableNetwork, projection: str, delays: Tensor) -> tuple[Tensor, Kernel, float]:
    """Return delays, kernel and width of a projection as a call uses them.

    Parameters
    ----------
    model : TrainableNetwork
    projection : str
    delays : Tensor, shape (sources, targets)
        As they were looked up: in their range.

    Returns
    -------
    delays : Tensor, shape (sources, targets)
    kernel : {"gauss", "triangle", "two_tap", "whole"}
        ``"whole"`` stands for delays rounded to ticks.
    width : float
        Standard deviation of the Gaussian or half-width of the triangle, in ticks.
    """
    found = model.links[projection].delays
    assert found is not None
    if found.kernel is None or whole(model, projection):
        return delays.detach().round(), "whole", 1.0
    return delays, found.kernel, kernel_width(found.kernel, found.longest, sharpness(model))


def _after_loading(model: TrainableNetwork, _: Any) -> None:
    _freeze_or_free(model)


def _freeze_or_free(model: TrainableNetwork) -> None:
    """Make the delays what the state of the model says: whole and constant, or free to be learned again."""
    hard = is_hard(model)
    for name, link in model.links.items():
        value = model.delays(name) if link.delays is not None and link.delays.kernel is not None else None
        if not isinstance(value, nn.Parameter):
            continue  # worked out from parameters of others, which are theirs to freeze
        if hard:
            with torch.no_grad():
                value.round_()
            if value.requires_grad:
                model.hardened.add(name)
        if name in model.hardened:
            value.requires_grad_(not hard)
    if not hard:
        model.hardened.clear()


def _progress(model: TrainableNetwork) -> Tensor | None:
    found = getattr(model, _PROGRESS, None)
    return found if isinstance(found, Tensor) else None
