"""A training step of neurons whose compiled sweep is made of their own arithmetic, against torch.

The network is 700-256-256-20, a leaky readout, batch 32, Bernoulli input of 2 %. Cases: adaptive LIF, against a loop of
torch written by hand; a model declared in this script by `@sn.neuron`, and LIF whose thresholds and time constants are
learned, against the plain path of snnsim, which runs the same functions under autograd. Before anything is timed all
gradients of all layers must agree in float64 to 1e-5 of the largest. Each side runs with the number of threads that
suits it best.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import torch
from training_speed import at_its_best

import snnsim as sn
from snnsim.training import BPTT, SLTT, ATan, Rule, TrainableNetwork

DT = 1e-3
SIZES = (700, 256, 256, 20)


@sn.neuron
class Quadratic:
    """A quadratic integrate-and-fire neuron with a slow recovery."""

    rate: sn.Parameter = 20.0
    peak: sn.Parameter = 1.0
    membrane: sn.State = 0.0
    recovery: sn.State = 0.0

    @staticmethod
    def integrate(membrane: Any, recovery: Any, drive: Any, p: Any) -> Any:
        """Advance by a tick."""
        change = p.rate * (membrane * membrane - 0.5 * membrane) - 10.0 * recovery
        return membrane + p.dt * change + drive, 0.95 * recovery

    @staticmethod
    def distance(membrane: Any, recovery: Any, p: Any) -> Any:
        """Return how far it is above the peak."""
        return membrane - p.peak

    @staticmethod
    def reset(membrane: Any, recovery: Any, p: Any) -> Any:
        """Land at zero and recover."""
        return 0.0 * membrane, recovery + 0.5


MODELS: dict[str, Any] = {
    "adaptive LIF": sn.AdaptiveLIF(20e-3, adaptation=0.2, adaptation_time_constant=100e-3),
    "declared in a script": Quadratic(),
    "LIF, threshold and time constant learned": sn.LIF(20e-3),
}


def network(model: Any) -> sn.Network:
    """Return the network of one model."""
    names = ("in", "one", "two", "out")
    models = (sn.Input(), model, model, sn.LI(20e-3))
    populations = [sn.Population(name, size, kind) for name, size, kind in zip(names, SIZES, models, strict=True)]
    weights = (sn.Normal(0.02, 0.05), sn.Normal(0.01, 0.06), sn.Normal(0.0, 0.1))
    projections = [sn.Projection(names[i], names[i + 1], sn.Dense(weights[i])) for i in range(3)]
    return sn.Network(populations, projections, dt=DT, seed=1)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, above: Any) -> Any:
        ctx.save_for_backward(above)
        return (above >= 0).to(above.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (above,) = ctx.saved_tensors
        return gradient / (1 + (torch.pi * above) ** 2)


def by_hand(trained: TrainableNetwork, dense: Any, labels: Any) -> tuple[Callable[[], None], list[Any]]:
    """Return a step of adaptive LIF neurons as one writes it in torch, and its weights, (sources, targets)."""
    weights = [trained.weights(name).detach().clone().requires_grad_() for name in trained.links]
    decay, fade = float(np.exp(-DT / 20e-3)), float(np.exp(-DT / 100e-3))

    def step() -> None:
        zeros = [dense.new_zeros(dense.shape[1], size) for size in SIZES[1:]]
        v, a, loss = [*zeros], [zero.clone() for zero in zeros], dense.new_zeros(())
        for x in dense:
            for layer in range(2):
                u = decay * v[layer] + x @ weights[layer]
                a[layer] = fade * a[layer]
                risen = 1.0 + 0.2 * a[layer]
                x = _Step.apply(u - risen)  # type: ignore[no-untyped-call]
                v[layer], a[layer] = u - x * risen, a[layer] + x
            v[2] = decay * v[2] + x @ weights[2]
            loss = loss + torch.nn.functional.cross_entropy(v[2], labels)
        (loss / len(dense)).backward()  # type: ignore[no-untyped-call]

    return step, weights


def stepping(model: TrainableNetwork, rule: Rule, given: Any, labels: Any) -> Callable[[], None]:
    """Return a step of ours."""

    def step() -> None:
        model.zero_grad()
        rule.step(model, given, labels)

    return step


def problem(ticks: int, batch: int = 32) -> tuple[sn.Events, Any, Any]:
    """Return events, the same as dense values (ticks, batch, sources), and labels."""
    counts = (np.random.default_rng(0).random((batch, ticks, SIZES[0])) < 0.02).astype(np.int64)
    return sn.Events.from_dense(counts, DT), counts.transpose(1, 0, 2), torch.arange(batch) % SIZES[-1]


def sides(case: str, rule: Rule, ticks: int, dtype: str) -> tuple[Any, Any, list[Any], list[Any], str]:
    """Return steps and parameters of both sides, and the name of the other."""
    learn = ("weights", "threshold", "time_constant") if "learned" in case else ("weights",)
    given, dense, labels = problem(ticks)
    options: dict[str, Any] = {"learn": learn, "surrogate": ATan(2.0), "dtype": dtype}
    ours = TrainableNetwork(network(MODELS[case]), path="fused", **options)
    mine = stepping(ours, rule, given, labels)
    if case == "adaptive LIF" and isinstance(rule, BPTT):
        step, weights = by_hand(ours, torch.from_numpy(dense).to(ours.dtype), labels)

        def fresh() -> None:
            for weight in weights:
                weight.grad = None
            step()

        return mine, fresh, list(ours.parameters()), weights, "torch, by hand"
    plain = TrainableNetwork(network(MODELS[case]), path="plain", **options)
    return mine, stepping(plain, rule, given, labels), list(ours.parameters()), list(plain.parameters()), "plain path"


def check(case: str, rule: Rule, ticks: int) -> None:
    """Stop where a gradient of any layer differs."""
    mine, theirs, own, other, name = sides(case, rule, ticks, "float64")
    mine()
    theirs()
    for one, two in zip(own, other, strict=True):
        difference = float((one.grad - two.grad).abs().max()) / float(two.grad.abs().max())
        if not difference < 1e-5:
            raise SystemExit(f"{case}, {rule}: gradients differ from those of {name} by {difference:.1e}")


def rows(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all rows."""
    ticks, found = settings["ticks"], []
    for case in MODELS:
        for rule in (BPTT(), SLTT()):
            check(case, rule, 20)
            mine, theirs, _, _, name = sides(case, rule, ticks, "float32")
            (ours, own), (other, their) = at_its_best(mine), at_its_best(theirs)
            metric = f"step, {type(rule).__name__}, threads {own} and {their}"
            found.append(harness.paired(f"{case}, {ticks} ticks", metric, ours, other, name, runs=settings["runs"]))
    return found


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    options = harness.options(__doc__.splitlines()[0]).parse_args(arguments)
    settings = {"sizes": SIZES, "ticks": 20 if options.quick else 100, "runs": 5 if options.quick else 9}
    return harness.finish("own_models", settings, rows(settings), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
