"""The same fully connected LIF network in other libraries, each at its best settings for inference on a CPU.

A peer that is not installed is skipped with a message. Each entry says whether it computes the same neuron (then its
output is checked spike by spike) or one of the same cost (then only its cost is compared).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Peer:
    """One library: `run` maps dense input (ticks, batch, sources) to output spikes (ticks, batch, outputs)."""

    name: str
    same_neuron: bool
    run: Callable[[Any], Any]


def load(weights: list[np.ndarray], decay: float) -> list[Peer]:
    """Return the peers that are installed, with the given weights of shape (sources, targets)."""
    found = []
    for make in (spikingjelly, sinabs, norse, snntorch):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(make(weights, decay))
        except ImportError as error:
            print(f"{make.__name__} is skipped: {error} (make bench-env installs the peers)", file=sys.stderr)
    return found


def linear(matrix: np.ndarray) -> Any:
    """Return a torch layer with these weights and no bias."""
    import torch

    layer = torch.nn.Linear(*matrix.shape, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(matrix.T.copy()))
    return layer


def spikingjelly(weights: list[np.ndarray], decay: float) -> Peer:
    """Multi-step mode: one matrix product for all ticks of a layer."""
    import torch
    from spikingjelly.activation_based import functional, neuron

    layers: list[Any] = []
    for matrix in weights:
        node = neuron.LIFNode(tau=1 / (1 - decay), decay_input=False, v_threshold=1.0, v_reset=None, step_mode="m")
        layers += [linear(matrix), node]
    net = torch.nn.Sequential(*layers).eval()

    def run(x: Any) -> Any:
        with torch.inference_mode():
            out = net(x)
        functional.reset_net(net)
        return out

    return Peer("spikingjelly multi-step", True, run)


def sinabs(weights: list[np.ndarray], decay: float) -> Peer:
    """Layers over whole sequences; input of shape (batch, ticks, sources)."""
    import sinabs.layers as sl
    import torch
    from sinabs.activation import SingleSpike

    tau = float(-1 / np.log(decay))

    layers: list[Any] = []
    for matrix in weights:
        layers += [linear(matrix), sl.LIF(tau_mem=tau, norm_input=False, spike_fn=SingleSpike)]
    net = torch.nn.Sequential(*layers).eval()

    def run(x: Any) -> Any:
        with torch.inference_mode():
            out = net(x.transpose(0, 1))
            for layer in net:
                if isinstance(layer, sl.LIF):
                    layer.reset_states()
        return out.transpose(0, 1)

    return Peer("sinabs", True, run)


def norse(weights: list[np.ndarray], decay: float) -> Peer:
    """Sequence modules; hard reset, so another neuron of the same cost."""
    import torch
    from norse.torch import LIF, LIFParameters, SequentialState

    parameters = LIFParameters(tau_mem_inv=torch.tensor(1e3 * (1 - decay)), tau_syn_inv=torch.tensor(1e3))
    layers: list[Any] = []
    for matrix in weights:
        layers += [linear(matrix), LIF(parameters)]
    net = SequentialState(*layers).eval()

    def run(x: Any) -> Any:
        with torch.inference_mode():
            return net(x)[0]

    return Peer("norse", False, run)


def snntorch(weights: list[np.ndarray], decay: float) -> Peer:
    """Loop over ticks, the library's only way; the reset acts a tick later, so another neuron of the same cost."""
    import snntorch as library
    import torch

    layers = [linear(matrix) for matrix in weights]
    neurons = [library.Leaky(beta=decay, reset_mechanism="subtract") for _ in weights]

    def run(x: Any) -> Any:
        with torch.inference_mode():
            membranes = [neuron.init_leaky() for neuron in neurons]
            out = []
            for t in x.unbind(0):
                for i, (layer, neuron) in enumerate(zip(layers, neurons, strict=True)):
                    t, membranes[i] = neuron(layer(t), membranes[i])
                out.append(t)
            return torch.stack(out)

    return Peer("snntorch", False, run)
