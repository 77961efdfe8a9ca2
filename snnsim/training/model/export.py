"""From learned parameters back to a description."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from snnsim.connectivity import Conv2d, Dense, OneToOne, Sparse
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.timebase import to_seconds
from snnsim.training.parameters.hooks import work_out
from snnsim.training.parameters.network_parameters import NetworkParameters
from snnsim.training.parameters.plan import Link, Stage


def export_network(model: NetworkParameters) -> Network:
    """Return the description with learned values; see `TrainableNetwork.network`.

    With factor f and shift b of each neuron, batch norm turns a drive x into f x + b, and the model then works out
    gain * (f x + b) + gain * bias: f goes into the weights, b into the bias. Delays are rounded to ticks. The network
    answers by the score, and runs on after a recording for the extension, that the model has.
    """
    network = model.plan.network
    for module in model.modules():
        work_out(module)
    populations = [_population(model, stage, network.population(stage.name)) for stage in model.plan.stages]
    projections = [
        _projection(model, stage, link, network.projection(link.name))
        for stage in model.plan.stages
        for link in stage.links
    ]
    return network.replaced(populations, projections, score=model.score)


def _array(model: NetworkParameters, kind: str, name: str) -> Any:
    value = model.value(kind, name)
    return None if value is None else value.detach().double().numpy().copy()


def _population(model: NetworkParameters, stage: Stage, population: Population) -> Population:
    changes: dict[str, Any] = {}
    threshold, logarithm = _array(model, "threshold", stage.name), _array(model, "time_constant", stage.name)
    if threshold is not None:
        changes["threshold"] = threshold
    if logarithm is not None:
        changes["time_constant"] = np.exp(logarithm) * model.plan.network.dt
    bias = _array(model, "bias", stage.name)
    if bias is not None:
        bias = np.repeat(bias, stage.size // stage.channels)
    if stage.batch_norm:
        shift = np.repeat(model.norm(stage.name).folded()[1].numpy(), stage.size // stage.channels)
        bias = shift + (getattr(stage.model, "bias", 0.0) if bias is None else bias)
    if bias is not None:
        changes["bias"] = bias
    return replace(population, model=replace(stage.model, **changes)) if changes else population  # type: ignore[type-var]


def _projection(model: NetworkParameters, stage: Stage, link: Link, projection: Projection) -> Projection:
    weights, delays = _array(model, "weights", link.name), _array(model, "delays", link.name)
    if delays is not None:
        whole = np.clip(np.rint(delays), 0, link.delays.longest if link.delays else 0).astype(np.int64)
        projection = replace(projection, delay=to_seconds(whole, model.plan.network.dt))
    if weights is None:
        return projection
    rule = link.rule
    assert isinstance(rule, (Dense, Sparse, OneToOne, Conv2d))
    if stage.batch_norm:
        factor = model.norm(stage.name).folded()[0].numpy()
        if isinstance(rule, Conv2d):
            weights = weights * factor[:, None, None, None]
        else:
            weights = weights * (factor[rule.targets] if isinstance(rule, Sparse) else factor)
    return replace(projection, connectivity=replace(rule, weights=weights))
