"""What a training depends on, by name, as texts that are equal where it is: for checkpoints."""

from __future__ import annotations

from typing import Any

from torch import nn

from snnsim.frames import Frames
from snnsim.network.fingerprint import fingerprint
from snnsim.network.population import Population
from snnsim.neurons.declared import DeclaredModel
from snnsim.numerics.specialise import mark


def data_facts(data: Any) -> dict[str, str]:
    """Return what recordings and labels are."""
    events = data.events
    if isinstance(events, Frames):
        given = fingerprint(events)
    else:
        # Silence after the longest recording makes no difference.
        given = fingerprint((events.ticks, events.sources, events.offsets, events.lengths, events.n_sources))
    return {
        "samples": str(len(events)),
        "dt": f"{events.dt!r} s",
        "recordings": given,
        "labels": fingerprint(data.labels),
    }


def model_facts(model: Any) -> dict[str, str]:
    """Return what a model computes and learns, apart from the values that a checkpoint holds."""
    network = model.plan.network
    facts = {"dt": f"{network.dt!r} s", "extension": f"{model.extension} ticks", "dtype": str(model.dtype)}
    facts |= {f"population {one.name!r}": _population(one) for one in network.populations}
    learned = {name for name, _ in model.named_parameters()}
    for projection in network.projections:
        rule = type(projection.connectivity).__name__
        wiring = {key: getattr(projection.connectivity, key, None) for key in _WIRING}
        said = f"{projection.source} to {projection.target}, {rule}, receptor {projection.receptor}"
        facts[f"projection {projection.name!r}"] = f"{said}, {fingerprint(wiring)}"
    # What is not learned, and so not moved: values as they were given or drawn.
    fixed = {key: kept.of(model) for key, kept in model.kept.items() if kept.attribute not in learned}
    facts |= {f"fixed {key}": fingerprint(value.detach().numpy()) for key, value in fixed.items()}
    facts["parameters"] = ", ".join(
        f"{name} {tuple(p.shape)}{'' if p.requires_grad else ' (frozen)'}" for name, p in model.named_parameters()
    )
    for name in ("surrogate", "path", "lengthen", "whole_samples", "average", "delay_scale", "chip", "weight_noise"):
        if (found := getattr(model, name, None)) is not None:
            facts[name] = repr(found)
    facts["dropout"] = repr({stage.name: stage.dropout for stage in getattr(model.plan, "stages", ()) if stage.dropout})
    facts["batch norm"] = repr({name: _norm(one) for name, one in model.named_modules() if hasattr(one, "momentum")})
    return facts


#: What of a connectivity is no weight.
_WIRING = ("sources", "targets", "stride", "padding", "size", "step")


def _population(population: Population) -> str:
    model = population.model
    said = f"{population.shape} {model.describe()}, {fingerprint(population)}"
    if isinstance(model, DeclaredModel):  # its equations stand in a script, and may be others by now
        used = (model.arithmetic.integrate, model.arithmetic.distance, model.arithmetic.reset)
        said += f", equations {mark(one for one in used if one is not None)}"
    return said


def _norm(norm: nn.Module) -> str:
    return f"momentum {norm.momentum!r}, epsilon {getattr(norm, 'epsilon', None)!r}"
