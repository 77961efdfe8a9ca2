"""Time and memory of a training step against spikingjelly, snntorch, norse and sinabs, paired in one process.

The step is forward and backward with the gradients of all weights, without the optimiser, of the network
2312-512-512-10 (all LIF, decay 0.9, threshold 1, soft reset, arc-tangent surrogate) at batch 64 over 50 ticks of
Bernoulli input of 2 % density; the loss is the mean over ticks of the cross entropy of the output spikes. Before
anything is timed, the gradients of the first layer are compared with a hand-written torch loop and with spikingjelly on
the same weights and input. Peers get dense input that is ready in memory; snnsim gets events, and sorting them into
rows is part of its step. Each side runs with the number of torch threads that suits it best.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import peers
import torch
from speed import DECAY, DENSITY, DT, SIZES, make_network, make_weights

import snnsim as sn
from snnsim.training import BPTT, SLTT, ATan, Rule, TrainableNetwork


@dataclass(frozen=True)
class Peer:
    """One library: `step` leaves gradients; `parameters` are its weight matrices (targets, sources), first layer first.

    `rule` is the rule of ours that it is compared with, `same` whether its gradients must equal ours.
    """

    name: str
    rule: Rule
    same: bool
    step: Callable[[], Any]
    parameters: list[Any]


def cross_entropy(spikes: Any, labels: Any) -> Any:
    """Return the mean over ticks and samples; spikes have shape (ticks, batch, classes)."""
    return torch.nn.functional.cross_entropy(spikes.flatten(0, 1), labels.repeat(spikes.shape[0]))


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, above: Any) -> Any:
        ctx.save_for_backward(above)
        return (above >= 0).to(above.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (above,) = ctx.saved_tensors
        return gradient / (1 + (torch.pi * above) ** 2)


def by_hand(weights: list[np.ndarray], dense: Any, labels: Any) -> Peer:
    """Ten lines of torch, layer by layer."""
    layers = [peers.linear(matrix) for matrix in weights]

    def step() -> None:
        x = dense
        for layer in layers:
            membrane, out = 0.0, []
            for drive in layer(x).unbind(0):
                membrane = DECAY * membrane + drive
                out.append(_Step.apply(membrane - 1.0))
                membrane = membrane - out[-1]
            x = torch.stack(out)
        cross_entropy(x, labels).backward()

    return Peer("torch by hand", BPTT(), True, step, [layer.weight for layer in layers])


def spikingjelly(weights: list[np.ndarray], dense: Any, labels: Any) -> Peer:
    """Multi-step mode: one matrix product for all ticks of a layer."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    layers: list[Any] = []
    for matrix in weights:
        node = neuron.LIFNode(
            1 / (1 - DECAY), decay_input=False, v_reset=None, surrogate_function=surrogate.ATan(2.0), step_mode="m"
        )
        layers += [peers.linear(matrix), node]
    net = torch.nn.Sequential(*layers)

    def step() -> None:
        cross_entropy(net(dense), labels).backward()
        functional.reset_net(net)

    return Peer("spikingjelly multi-step BPTT", BPTT(), True, step, [layer.weight for layer in layers[::2]])


def spikingjelly_sltt(weights: list[np.ndarray], dense: Any, labels: Any) -> Peer:
    """Loop over ticks, which the SLTT node of the library needs."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    layers: list[Any] = []
    for matrix in weights:
        node = neuron.SLTTLIFNode(
            1 / (1 - DECAY), decay_input=False, v_reset=None, surrogate_function=surrogate.ATan(2.0)
        )
        layers += [peers.linear(matrix), node]
    net = torch.nn.Sequential(*layers)

    def step() -> None:
        for x in dense.unbind(0):
            (torch.nn.functional.cross_entropy(net(x), labels) / len(dense)).backward()
        functional.reset_net(net)

    return Peer("spikingjelly SLTT loop", SLTT(), True, step, [layer.weight for layer in layers[::2]])


def sinabs(weights: list[np.ndarray], dense: Any, labels: Any) -> Peer:
    """Layers over whole sequences; another surrogate."""
    import sinabs.layers as sl

    layers: list[Any] = []
    for matrix in weights:
        layers += [peers.linear(matrix), sl.LIF(tau_mem=float(-1 / np.log(DECAY)), norm_input=False)]
    net, x = torch.nn.Sequential(*layers), dense.transpose(0, 1).contiguous()

    def step() -> None:
        cross_entropy(net(x).transpose(0, 1), labels).backward()
        for layer in layers[1::2]:
            layer.reset_states()

    return Peer("sinabs BPTT", BPTT(), False, step, [layer.weight for layer in layers[::2]])


def norse(weights: list[np.ndarray], dense: Any, labels: Any) -> Peer:
    """Sequence modules; hard reset and another surrogate."""
    from norse.torch import LIF, LIFParameters, SequentialState

    parameters = LIFParameters(tau_mem_inv=torch.tensor(1e3 * (1 - DECAY)), tau_syn_inv=torch.tensor(1e3))
    layers: list[Any] = []
    for matrix in weights:
        layers += [peers.linear(matrix), LIF(parameters)]
    net = SequentialState(*layers)

    def step() -> None:
        cross_entropy(net(dense)[0], labels).backward()

    return Peer("norse BPTT", BPTT(), False, step, [layer.weight for layer in layers[::2]])


def snntorch(weights: list[np.ndarray], dense: Any, labels: Any) -> Peer:
    """Loop over ticks, the library's only way; the reset acts a tick later."""
    import snntorch as library
    from snntorch import surrogate

    layers = [peers.linear(matrix) for matrix in weights]
    neurons = [
        library.Leaky(beta=DECAY, reset_mechanism="subtract", spike_grad=surrogate.atan(alpha=2.0)) for _ in weights
    ]

    def step() -> None:
        membranes, out = [neuron.init_leaky() for neuron in neurons], []
        for x in dense.unbind(0):
            for i, (layer, neuron) in enumerate(zip(layers, neurons, strict=True)):
                x, membranes[i] = neuron(layer(x), membranes[i])
            out.append(x)
        cross_entropy(torch.stack(out), labels).backward()

    return Peer("snntorch BPTT", BPTT(), False, step, [layer.weight for layer in layers])


PEERS = (by_hand, spikingjelly, spikingjelly_sltt, sinabs, norse, snntorch)


def problem(batch: int, ticks: int, density: float = DENSITY) -> tuple[sn.Events, Any, Any]:
    """Return events, the same input as a dense tensor (ticks, batch, sources), and labels."""
    generator = np.random.default_rng(3)
    counts = (generator.random((batch, ticks, SIZES[0])) < density).astype(np.float32)
    labels = torch.from_numpy(generator.integers(0, SIZES[-1], batch))
    return sn.Events.from_dense(counts, DT), torch.from_numpy(counts.transpose(1, 0, 2).copy()), labels


def load(weights: list[np.ndarray], dense: Any, labels: Any) -> list[Peer]:
    """Return the peers that are installed."""
    found = []
    for make in PEERS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(make(weights, dense, labels))
        except ImportError as error:
            print(f"{make.__name__} is skipped: {error} (make bench-env installs the peers)", file=sys.stderr)
    return found


def our_step(model: TrainableNetwork, rule: Rule, events: sn.Events, labels: Any) -> Callable[[], None]:
    """Return a step of ours."""

    def step() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        rule.step(model, events, labels)

    return step


def check(model: TrainableNetwork, peer: Peer, events: sn.Events, labels: Any) -> None:
    """Compare the gradients of the first layer; stop where they should be equal and are not."""
    our_step(model, peer.rule, events, labels)()
    ours = model.weights("input->hidden1").grad
    clear(peer)
    peer.step()
    theirs = peer.parameters[0].grad.t()
    norms = float(ours.norm()), float(theirs.norm())
    difference = float((ours - theirs).norm()) / norms[0]
    print(f"{peer.name}: first-layer gradient norm {norms[1]:.6g}, ours {norms[0]:.6g}, difference {difference:.1e}")
    # A spike in 10^5 may fall on the other side of the threshold by the order of a float32 sum.
    if peer.same and difference > 2e-2:
        raise SystemExit(f"{peer.name}: the gradients differ; nothing was timed")


def clear(peer: Peer) -> None:
    """Drop the gradients of a peer, as before every step."""
    for parameter in peer.parameters:
        parameter.grad = None


def on(threads: int, work: Callable[[], Any]) -> Callable[[], Any]:
    """Return the work with so many torch threads."""

    def wrapped() -> None:
        torch.set_num_threads(threads)
        work()

    return wrapped


def at_its_best(work: Callable[[], Any]) -> tuple[Callable[[], Any], int]:
    """Return the work with the number of threads that suits it best, and that number."""
    times = {}
    for threads in sorted({1, int(harness.versions()["cores"])}):
        timed = on(threads, work)
        timed()
        times[threads] = min(harness.seconds(timed) for _ in range(3))
    best = min(times, key=times.__getitem__)
    return on(best, work), best


def timing(case: str, batch: int, ticks: int, runs: int, density: float = DENSITY) -> list[dict[str, Any]]:
    """Return a row for each peer."""
    weights = make_weights()
    events, dense, labels = problem(batch, ticks, density)
    model = TrainableNetwork(make_network(weights), surrogate=ATan(2.0))
    rates = {name: 100 * spikes.density for name, spikes in model.spikes(events).items()}
    print(f"{case}: rates {', '.join(f'{name} {rate:.1f} %' for name, rate in rates.items())}")
    result = []
    for peer in load(weights, dense, labels):
        check(model, peer, events, labels)

        def step(peer: Peer = peer) -> None:
            clear(peer)
            peer.step()

        theirs, their_threads = at_its_best(step)
        ours, our_threads = at_its_best(our_step(model, peer.rule, events, labels))
        metric = f"step, {type(peer.rule).__name__}, threads {our_threads} and {their_threads}"
        result.append(harness.paired(case, metric, ours, theirs, peer.name, runs=runs))
    torch.set_num_threads(int(harness.versions()["cores"]))
    return result


def memory(ticks: int, batch: int = 64) -> list[dict[str, Any]]:
    """Return activation memory: exact bytes kept for the backward pass, and the rise of the resident set in a step."""
    weights = make_weights()
    events, dense, labels = problem(batch, ticks)
    case, result = f"batch {batch}, {ticks} ticks", []
    chosen = [peer for peer in load(weights, dense, labels) if "spikingjelly" in peer.name]
    for peer in chosen:
        model = TrainableNetwork(make_network(weights), surrogate=ATan(2.0))
        step = our_step(model, peer.rule, events, labels)
        step()  # compiles
        model.workspace.release()
        mine = resident_rise(step) / 2**20
        exact = model.workspace.nbytes / 2**20
        model.workspace.release()
        theirs = resident_rise(peer.step) / 2**20
        clear(peer)
        kept = saved_bytes(peer.step, skip={dense.data_ptr()}) / 2**20
        clear(peer)
        rule = type(peer.rule).__name__
        result.append(harness.row(case, f"buffers, {rule}", "MiB", exact, kept, peer.name, kept / exact))
        result.append(harness.row(case, f"resident set rises, {rule}", "MiB", mine, theirs, peer.name, theirs / mine))
    return result


def resident_rise(work: Callable[[], Any]) -> float:
    """Return by how many bytes the resident set rises while some work is done."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    work()
    return max(_status("VmHWM") - before, 2**16)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {name}")


def saved_bytes(work: Callable[[], Any], skip: set[int]) -> int:
    """Return the most bytes that autograd holds for a backward pass at a time, input and parameters excluded."""
    live: dict[int, int] = {}
    most = 0

    def pack(tensor: Any) -> Any:
        nonlocal most
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and storage.data_ptr() not in skip:
            live[storage.data_ptr()] = storage.nbytes()
            most = max(most, sum(live.values()))
        return tensor

    before = torch.Tensor.backward

    def backward(self: Any, *arguments: Any, **keywords: Any) -> None:
        before(self, *arguments, **keywords)
        live.clear()

    torch.Tensor.backward = backward  # type: ignore[method-assign]
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            work()
    finally:
        torch.Tensor.backward = before  # type: ignore[method-assign]
    return most


def convolutional(density: float, batch: int, ticks: int, runs: int) -> list[dict[str, Any]]:
    """Return rows for a small convolutional network: 5x5 to 16 and 3x3 to 32 channels, both of stride 2, then 10."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    generator = np.random.default_rng(5)
    shapes = ((16, 2, 5, 5), (32, 16, 3, 3), (32 * 7 * 7, 10))
    scales, means = (0.45, 0.25, 0.1), (0.02, 0.0, 0.0)
    weights = [generator.normal(*law) for law in zip(means, scales, shapes, strict=True)]
    weights = [array.astype(np.float32) for array in weights]
    events, dense, labels = problem(batch, ticks, density)
    model_of = sn.LIF(-DT / np.log(DECAY))
    sizes = {"input": (2, 34, 34), "conv1": (16, 15, 15), "conv2": (32, 7, 7), "output": (10,)}
    populations = [
        sn.Population(name, size, sn.Input() if name == "input" else model_of) for name, size in sizes.items()
    ]
    projections = [
        sn.Projection("input", "conv1", sn.Conv2d(weights[0], stride=2)),
        sn.Projection("conv1", "conv2", sn.Conv2d(weights[1], stride=2)),
        sn.Projection("conv2", "output", sn.Dense(weights[2])),
    ]
    model = TrainableNetwork(sn.Network(populations, projections, dt=DT), surrogate=ATan(2.0))
    rates = [100 * spikes.density for spikes in model.spikes(events).values()]
    case = f"convolutional, batch {batch}, {ticks} ticks, {100 * density:g} % input"
    print(f"{case}: rates {', '.join(f'{rate:.1f} %' for rate in rates)}")
    images, result = dense.unflatten(2, (2, 34, 34)), []
    for kind, mode, rule in ((neuron.LIFNode, "m", BPTT()), (neuron.SLTTLIFNode, "s", SLTT())):
        layers: list[Any] = []
        for array in weights[:2]:
            convolution = layer.Conv2d(array.shape[1], array.shape[0], array.shape[2], 2, bias=False, step_mode=mode)
            with torch.no_grad():
                convolution.weight.copy_(torch.from_numpy(array))
            layers += [convolution, kind]
        layers += [torch.nn.Flatten(2 if mode == "m" else 1), peers.linear(weights[2]), kind]
        made = [
            one(1 / (1 - DECAY), False, 1.0, None, surrogate.ATan(2.0), False, mode) if isinstance(one, type) else one
            for one in layers
        ]
        net = torch.nn.Sequential(*made)

        def step(net: Any = net, mode: str = mode) -> None:
            net.zero_grad()
            if mode == "m":
                cross_entropy(net(images), labels).backward()
            else:
                for x in images.unbind(0):
                    (torch.nn.functional.cross_entropy(net(x), labels) / ticks).backward()
            functional.reset_net(net)

        ours_step = our_step(model, rule, events, labels)
        ours_step()
        step()
        ours, theirs = model.weights("input->conv1").grad, made[0].weight.grad
        difference = float((ours - theirs).norm() / ours.norm())
        print(f"spikingjelly {type(rule).__name__}: first-layer gradient difference {difference:.1e}")
        if difference > 2e-2:
            raise SystemExit("the gradients differ; nothing was timed")
        (peer, their_threads), (mine, our_threads) = at_its_best(step), at_its_best(ours_step)
        metric = f"step, {type(rule).__name__}, threads {our_threads} and {their_threads}"
        name = "spikingjelly multi-step BPTT" if mode == "m" else "spikingjelly SLTT loop"
        result.append(harness.paired(case, metric, mine, peer, name, runs=runs))
    torch.set_num_threads(int(harness.versions()["cores"]))
    return result


def rows(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all rows.

    Parameters
    ----------
    settings : dict
        ``quick``: fewer ticks; ``runs``: pairs to measure.
    """
    runs = max(5, int(settings.get("runs", 7)))
    if settings.get("quick"):
        return timing("batch 64, 20 ticks, 2 % input", 64, 20, runs) + images(10, runs) + memory(20)
    result = timing("batch 64, 50 ticks, 2 % input", 64, 50, runs)
    result += timing("batch 64, 50 ticks, 10 % input", 64, 50, 5, density=0.1)
    return result + images(20, runs) + memory(50) + memory(300)


def images(ticks: int, runs: int) -> list[dict[str, Any]]:
    """Return the rows of the convolutional network where spikingjelly is installed."""
    try:
        return convolutional(DENSITY, 32, ticks, runs)
    except ImportError as error:
        print(f"convolutional network is skipped: {error}", file=sys.stderr)
        return []


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the benchmark."""
    options = harness.options(__doc__.splitlines()[0]).parse_args(arguments)
    settings = {"sizes": SIZES, "decay": DECAY, "density": DENSITY, "quick": options.quick, "runs": 7}
    return harness.finish("training_speed", settings, rows(settings), options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
