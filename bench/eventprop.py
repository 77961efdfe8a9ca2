"""A training step by EventProp against backpropagation through time, as recordings grow longer.

The network is 140-256-20 (inputs of the Heidelberg digits, 700 channels in groups of five; LIF of 20 ms and exponential
synapses of 5 ms in ticks of 1 ms, an LI readout averaged with exp(-t / T)), batch 32, input of 7.5 events a tick (7,500
a second), hidden neurons of about 14 spikes a second. Three comparisons, each with the gradients of all parameters:

- delays of 0 to 63 ticks, one a synapse, weights and delays learned, against torch: the delayed input of a layer is one
  convolution over time with a kernel that holds each weight at its delay (the way of DCLS; linear interpolation gives
  the delay a gradient), then a loop over ticks under autograd with a surrogate gradient;
- no delays, weights learned, against the same loop after one matrix product;
- no delays, weights learned, against snnsim's own BPTT.

Before anything is timed, both sides fire the same hidden spikes, all of them, in float64. Times are in
float32, with one thread on both sides unless `--threads` says otherwise.
Memory is the rise of the resident set in a step, and the bytes kept for the backward pass.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import torch
from training_speed import resident_rise, saved_bytes

import snnsim as sn
from snnsim.training import BPTT, EventProp, EventPropNetwork, ScoreCrossEntropy, TrainableNetwork
from snnsim.training.compute.threads import workers

DT = 1e-3
SIZES = (140, 256, 20)
BATCH = 32
EVENTS_A_TICK = 7.5
LONGEST = 63
MEMBRANE, CURRENT = 20e-3, 5e-3


def make_network(longest: int) -> sn.Network:
    """Return the network with delays of up to so many ticks."""
    rng = np.random.default_rng(11)
    receptor = sn.Exponential(CURRENT)
    populations = [
        sn.Population("input", SIZES[0], sn.Input()),
        sn.Population("hidden", SIZES[1], sn.LIF(MEMBRANE, reset="zero", receptors=receptor)),
        sn.Population("output", SIZES[2], sn.LI(MEMBRANE, receptors=receptor)),
    ]
    weights = rng.normal(0.01, 0.25, SIZES[:2]), rng.normal(0.0, 0.1, SIZES[1:])
    delays = [rng.integers(0, longest + 1, one.shape) * DT if longest else 0.0 for one in weights]
    pairs = (("input", "hidden"), ("hidden", "output"))
    projections = [
        sn.Projection(*pair, sn.Dense(own), delay) for pair, own, delay in zip(pairs, weights, delays, strict=True)
    ]
    return sn.Network(populations, projections, dt=DT, seed=1)


def problem(ticks: int) -> tuple[sn.Events, Any, Any]:
    """Return events, the same as counts (batch, sources, ticks), and labels."""
    rng = np.random.default_rng(ticks)
    counts = rng.poisson(EVENTS_A_TICK / SIZES[0], (BATCH, ticks, SIZES[0]))
    labels = torch.from_numpy(rng.integers(0, SIZES[-1], BATCH))
    return sn.Events.from_dense(counts, DT), torch.from_numpy(counts.transpose(0, 2, 1).copy()), labels


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, above: Any) -> Any:
        ctx.save_for_backward(above)
        return (above >= 0).to(above.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (above,) = ctx.saved_tensors
        return gradient / (1 + 10 * above.abs()) ** 2


class Torch:
    """The same network in torch alone, with the weights, the delays and the coefficients of a network of ours."""

    def __init__(self, network: sn.Network, dtype: Any) -> None:
        self.dtype, self.parameters, self.delays = dtype, [], []
        hidden: Any = network.population("hidden").model
        c, r = hidden.coefficients(DT), hidden.receptor_coefficients(hidden.receptors[0], DT)
        self.decay, self.coupling, self.current_decay = c.decay, r.coupling, r.decay
        for projection in network.projections:
            weights = torch.tensor(projection.connectivity.weights.T.copy(), dtype=dtype)  # (targets, sources)
            self.parameters.append(weights.requires_grad_())
            if isinstance(projection.delay, np.ndarray):
                ticks = torch.tensor(np.rint(projection.delay / DT).T.copy(), dtype=dtype)
                self.delays.append(ticks.requires_grad_())

    def delivered(self, layer: int, spikes: Any) -> Any:
        """Return what arrives in each tick, (ticks, batch, targets), from spikes (batch, sources, ticks)."""
        weights = self.parameters[layer]
        if not self.delays:
            return (weights @ spikes).permute(2, 0, 1)
        taps = torch.arange(LONGEST, -1, -1, dtype=self.dtype)  # the last tap is delay zero
        kernel = weights[:, :, None] * (1 - (self.delays[layer][:, :, None] - taps).abs()).clamp_min(0)
        padded = torch.nn.functional.pad(spikes, (LONGEST, 0))
        return torch.nn.functional.conv1d(padded, kernel).permute(2, 0, 1)

    def hidden(self, counts: Any) -> Any:
        """Return hidden spikes, (batch, neurons, ticks)."""
        membrane = current = torch.zeros(len(counts), SIZES[1], dtype=self.dtype)
        out = []
        for arrived in self.delivered(0, counts.to(self.dtype)).unbind(0):
            membrane = self.decay * membrane + self.coupling * current
            current = self.current_decay * current + arrived
            out.append(_Step.apply(membrane - 1.0))
            membrane = membrane * (1 - out[-1])
        return torch.stack(out, 2)

    def step(self, counts: Any, labels: Any) -> None:
        """Leave gradients."""
        for parameter in (*self.parameters, *self.delays):
            parameter.grad = None
        ticks = counts.shape[2]
        membrane = current = torch.zeros(len(counts), SIZES[2], dtype=self.dtype)
        share = torch.exp(-torch.arange(ticks, dtype=self.dtype) / ticks) / ticks
        total: Any = 0.0
        for tick, arrived in enumerate(self.delivered(1, self.hidden(counts)).unbind(0)):
            membrane = self.decay * membrane + self.coupling * current
            current = self.current_decay * current + arrived
            total = total + share[tick] * membrane
        torch.nn.functional.cross_entropy(total, labels).backward()


def our_step(model: Any, rule: Any, events: sn.Events, labels: Any) -> Callable[[], None]:
    """Return a step of ours."""

    def step() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        rule.step(model, events, labels, ScoreCrossEntropy())

    return step


def check(network: sn.Network, events: sn.Events, counts: Any) -> float:
    """Stop unless torch, and our BPTT where it can, fire the hidden spikes of ours; return their rate a second."""
    ours = EventPropNetwork(network, dtype="float64").spikes(events)["hidden"]
    with torch.no_grad():
        theirs = sn.Events.from_dense(Torch(network, torch.float64).hidden(counts).permute(0, 2, 1).numpy(), DT)
    others = {"torch": theirs}
    if all(isinstance(projection.delay, float) for projection in network.projections):
        others["BPTT"] = TrainableNetwork(network, dtype="float64").spikes(events)["hidden"]
    for name, other in others.items():
        if not (np.array_equal(ours.ticks, other.ticks) and np.array_equal(ours.sources, other.sources)):
            raise SystemExit(f"the hidden spikes of {name} and of EventProp differ; nothing was timed")
    return ours.ticks.size / (len(ours) * SIZES[1] * ours.n_ticks * DT)


def rows_of(ticks: int, runs: int) -> list[dict[str, Any]]:
    """Return the rows of one length."""
    result = []
    events, counts, labels = problem(ticks)
    for longest in (LONGEST, 0):
        network = make_network(longest)
        rate = check(network, events, counts)
        learn = ("weights", "delays") if longest else ("weights",)
        model = EventPropNetwork(network, learn)
        step = our_step(model, EventProp(), events, labels)
        plain = Torch(network, torch.float32)
        peers = {"torch, convolution and loop" if longest else "torch loop": lambda p=plain: p.step(counts, labels)}
        if not longest:
            peers["snnsim BPTT"] = our_step(TrainableNetwork(network), BPTT(), events, labels)
        case = f"{ticks} ticks, delays to {longest}"
        print(f"{case}: the same hidden spikes, {rate:.1f} a second and neuron")
        step()
        mine = resident_rise(step) / 2**20
        with torch.no_grad():
            run = model._minibatch(events)
        run.forward(workers(), keep=True)
        kept = run.nbytes / 2**20
        for name, peer in peers.items():
            theirs = resident_rise(peer) / 2**20
            result.append(timed(case, step, peer, name, runs))
            result.append(harness.row(case, "resident set rises", "MiB", mine, theirs, name, theirs / mine))
            if "torch" in name:
                saved = saved_bytes(peer, skip={counts.data_ptr()}) / 2**20
                result.append(harness.row(case, "kept for backward", "MiB", kept, saved, name, saved / kept))
    return result


def timed(case: str, ours: Callable[[], Any], peer: Callable[[], Any], name: str, runs: int) -> dict[str, Any]:
    """Time both sides in turn; as `harness.paired`, but one call a time: a step of the peer takes seconds."""
    ours()
    pairs = [(harness.seconds(ours) * 1e3, harness.seconds(peer) * 1e3) for _ in range(runs)]
    ratios = [theirs / mine for mine, theirs in pairs]
    mine, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
    return harness.row(case, "step", "ms", mine, theirs, name, statistics.median(ratios), (min(ratios), max(ratios)))


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of both sides")
    options = parser.parse_args(arguments)
    lengths, runs = ((100, 200), 3) if options.quick else ((100, 200, 400, 800, 1600), 3)
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []
    settings = {
        "sizes": SIZES,
        "batch": BATCH,
        "events a tick": EVENTS_A_TICK,
        "runs": runs,
        "threads": options.threads,
        "quick": options.quick,
    }
    for ticks in lengths:
        rows += rows_of(ticks, runs)
        harness.keep("eventprop", settings, rows, options.json)
    return harness.finish("eventprop", settings, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
