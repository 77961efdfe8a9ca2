"""Optimisers, and their rates as functions of the epoch, so that a run can go on from any checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from snnsim.errors import ParameterError

#: One cycle: share of the epochs in which the rate rises, first and last rate as shares of the highest.
_RISE, _FIRST, _LAST = 0.3, 1 / 25, 1 / 25e4
#: The momentum falls while the rate rises.
_HIGH_MOMENTUM, _LOW_MOMENTUM = 0.95, 0.85


def cosine(epoch: int, epochs: int) -> float:
    """Return the share of the learning rate in an epoch: from one towards zero along a cosine."""
    return 0.5 + 0.5 * math.cos(math.pi * epoch / epochs)


def one_cycle(epoch: int, epochs: int) -> float:
    """Return the share of the highest learning rate in an epoch of one cycle (Smith, Topin 2019, arXiv:1708.07120).

    From 1/25 along a cosine up to one, which is reached after 30 % of the epochs, and down to 1/250,000.
    """
    rise, fall = _phases(epoch, epochs)
    return _between(_FIRST, 1.0, rise) if fall <= 0 else _between(1.0, _LAST, fall)


def one_cycle_momentum(epoch: int, epochs: int) -> float:
    """Return the momentum (the first beta of Adam) in an epoch of one cycle: 0.95, down to 0.85, and back."""
    rise, fall = _phases(epoch, epochs)
    return _between(_HIGH_MOMENTUM, _LOW_MOMENTUM, rise if fall <= 0 else 1.0 - fall)


def _phases(epoch: int, epochs: int) -> tuple[float, float]:
    top = max(_RISE * epochs - 1.0, 0.0)
    rise = 1.0 if top == 0 else min(1.0, epoch / top)
    return rise, max(0.0, (epoch - top) / max(epochs - 1.0 - top, 1.0))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * share))


#: Schedules by the name that `train` takes.
SCHEDULES: dict[str, Callable[[int, int], float]] = {"cosine": cosine, "one_cycle": one_cycle}


def make_optimiser(
    model: nn.Module, kind: str, learning_rate: float, weight_decay: float, delay_learning_rate: float
) -> torch.optim.Optimizer:
    """Return an optimiser with groups for delays and, where samples are computed whole, for all but weights: no decay.

    Raises
    ------
    ParameterError
        The model has nothing to train.
    """
    groups: dict[str, list[Any]] = {"all": [], "kept": [], "delays": []}
    whole = getattr(model, "whole_samples", False)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            what = name.removeprefix("parametrizations.").partition(":")[0]
            own = "kept" if whole and what != "weights" else "all"
            groups["delays" if what == "delays" else own].append(parameter)
    if not any(groups.values()):
        raise ParameterError("learn is empty: the network has no parameters to train")
    rates = {"all": learning_rate, "kept": learning_rate, "delays": delay_learning_rate}
    listed: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": rates[name],
            "highest": rates[name],
            "moves_delays": name == "delays",
            "weight_decay": weight_decay if name == "all" else 0.0,
        }
        for name, parameters in groups.items()
        if parameters
    ]
    if kind == "adam":
        return torch.optim.Adam(listed, learning_rate, fused=True)
    return torch.optim.SGD(listed, learning_rate, momentum=0.9, fused=True)


def set_rates(optimiser: torch.optim.Optimizer, schedule: str | None, epoch: int, epochs: int) -> float:
    """Set the rates of an epoch and return that of the weights."""
    share = 1.0 if schedule is None else SCHEDULES[schedule](epoch, epochs)
    rate = 0.0
    for group in optimiser.param_groups:
        if group["moves_delays"]:
            group["lr"] = group["highest"] * cosine(epoch, epochs)
            continue
        rate = group["lr"] = group["highest"] * share
        if schedule == "one_cycle":
            momentum = one_cycle_momentum(epoch, epochs)
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
    return rate
