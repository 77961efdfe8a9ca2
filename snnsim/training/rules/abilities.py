"""What rules that follow other routes than those of the graph ask of a network, each refusal by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from snnsim.connectivity import MaxPool2d
from snnsim.errors import CapabilityError
from snnsim.neurons import IF, LI, LIF, Delta
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.plan import Stage


def refuse_time(rule: str, model: TrainableNetwork) -> None:
    """Raise `CapabilityError` where a network passes gradients through time by delays or batch norm over sequences."""
    for link in model.links.values():
        if link.delays is not None:
            raise CapabilityError(
                f"{rule} drops every route through time, and the delays of {link.name!r} are such routes; use BPTT()"
            )
    if model.whole_samples:
        raise CapabilityError(
            f"{rule} goes tick by tick, and batch_norm_over='sequence' normalises over all of them; use BPTT()"
        )


def refuse_chip(rule: str, model: TrainableNetwork) -> None:
    """Raise `CapabilityError` where a chip computes some projections."""
    if model.chip is not None:
        raise CapabilityError(f"{rule} does not learn with a chip in the loop; SLTT() and BPTT() do")


def refuse_stages(rule: str, model: TrainableNetwork) -> None:
    """Raise `CapabilityError` where a population is no plain leaky membrane with a soft reset.

    OTTT and DSR both stand on the membrane being a leaky sum of its input from which each spike subtracts the
    threshold.
    """
    for stage in model.plan.stages:
        _refuse_stage(rule, stage, model.plan.network.dt)


def _refuse_stage(rule: str, stage: Stage, dt: float) -> None:
    neuron: Any = stage.model
    where = f"{rule}: population {stage.name!r}"
    if type(neuron) not in (LIF, IF, LI):
        raise CapabilityError(f"{where} is of {type(neuron).__name__}; LIF, IF and LI are trained; use BPTT()")
    for receptor in neuron.receptor_list:
        if not isinstance(receptor, Delta):
            raise CapabilityError(
                f"{where} has the {type(receptor).__name__} receptor {receptor.name!r}, a current with a memory of its "
                "own; Delta is trained; use BPTT()"
            )
    if neuron.refractory_ticks(dt):
        raise CapabilityError(
            f"{where} has a refractory time (refractory={neuron.refractory:g}), in which input is lost; use BPTT()"
        )
    if stage.batch_norm:
        raise CapabilityError(
            f"{where} has batch norm, whose statistics are not of the ticks that are remembered; use BPTT(), SLTT() or "
            "weight standardisation (a parametrisation of the weights)"
        )
    if stage.spiking and neuron.reset != "subtract":
        raise CapabilityError(
            f"{where} has reset={neuron.reset!r}, which forgets the past; reset='subtract' is trained; use BPTT()"
        )
    decays = np.unique(np.asarray(getattr(neuron.coefficients(dt), "decay", 1.0)))
    if len(decays) > 1:
        raise CapabilityError(
            f"{where} has {len(decays)} different time constants, and one trace serves all its neurons; give them "
            "populations of their own, or use BPTT()"
        )


def decay_of(stage: Stage, dt: float) -> float:
    """Return what is left of a membrane after a tick; one for all neurons of the population."""
    coefficients: Any = stage.model.coefficients(dt)
    return float(np.asarray(getattr(coefficients, "decay", 1.0)).flat[0])


def refuse_learning(rule: str, model: TrainableNetwork, kinds: tuple[str, ...], why: str) -> None:
    """Raise `CapabilityError` where something of some kinds is learned, such as time constants.

    A frozen time constant is refused too: it may have been learned by another rule, and these rules take the leak of a
    membrane from the description of the network.
    """
    for key, kept in model.kept.items():
        kind, _, name = key.partition(":")
        if kind in kinds and (kind == "time_constant" or kept.of(model).requires_grad):
            way = "freeze it (requires_grad_(False))"
            if kind == "time_constant":
                way = "train TrainableNetwork(model.network()), which has what was learned so far as it is"
            raise CapabilityError(f"{rule} does not learn the {kind} of {name!r}: {why}; use BPTT(), or {way}")


def refuse_for_rates(rule: str, model: TrainableNetwork) -> None:
    """Raise `CapabilityError` where a network is no function of weighted firing rates, layer by layer."""
    output = model.plan.output
    if output.spiking:
        raise CapabilityError(
            f"{rule}: the output {output.name!r} fires, and a loss would see its spikes, not what arrives; read a "
            "population of LI"
        )
    for stage in model.plan.stages:
        neuron: Any = stage.model
        if not stage.spiking:
            continue
        if decay_of(stage, model.plan.network.dt) == 0:
            raise CapabilityError(
                f"{rule}: population {stage.name!r} forgets at every tick (time_constant=0), so that its firing says "
                "nothing of a rate; use SLTT()"
            )
        if np.any(np.asarray(neuron.threshold) <= 0):
            raise CapabilityError(f"{rule}: population {stage.name!r} has a threshold that is not above zero")
        for link in stage.links:
            if isinstance(link.rule, MaxPool2d):
                raise CapabilityError(
                    f"{rule}: projection {link.name!r} is MaxPool2d, and the largest of rates is no rate of largest "
                    "spikes; SumPool2d is trained"
                )
