"""Ready networks for event classification: layers of LIF neurons between an input and a linear readout.

Of `fully_connected` and `convolutional`, the readout has no memory (an `LI` of time constant 0): its membrane is the
answer of each tick, and the class is the one with the largest sum over ticks. That is the readout of SLTT training and
of Dynamic Confidence alike. `delayed` has a readout that leaks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from snnsim.connectivity import Conv2d, Dense, Kaiming
from snnsim.errors import ParameterError, positive, whole
from snnsim.network.learnable_delay import Learnable, LearnedKernel
from snnsim.network.network import Network
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import LI, LIF, Input


def time_constant_of(decay: float, dt: float) -> float:
    """Return the membrane time constant in seconds that leaves `decay` of the membrane after a tick of `dt`."""
    if not 0 <= decay <= 1:
        raise ParameterError(f"decay={decay!r}: must lie between 0 and 1")
    if decay in (0, 1):
        return 0.0 if decay == 0 else math.inf
    return -dt / math.log(decay)


def fully_connected(
    sensor_shape: int | Sequence[int],
    classes: int,
    *,
    hidden: Sequence[int] = (512,),
    dt: float = 1e-3,
    decay: float = 0.9,
    gain: float = 0.6,
    seed: int = 0,
) -> Network:
    """Return a fully connected network: input, LIF layers, linear readout.

    Parameters
    ----------
    sensor_shape : int or sequence of int
        Shape of the input, for instance ``(2, 34, 34)``.
    classes : int
        Size of the readout.
    hidden : sequence of int
        Sizes of the hidden layers.
    dt : float
        Seconds a tick.
    decay : float
        What is left of a membrane after a tick.
    gain : float
        Scale of the first weights (see `Kaiming`): too little and the layers stay silent, too much and they saturate.
    seed : int
        Key of the first weights.
    """
    positive("classes", classes)
    model = LIF(time_constant_of(decay, dt))
    populations = [Population("input", sensor_shape, Input())]
    for number, size in enumerate(hidden, start=1):
        populations.append(Population(f"hidden{number}", size, model))
    return _chain(populations, [Dense(Kaiming(gain)) for _ in hidden], classes, dt, seed, "fully connected")


def convolutional(
    sensor_shape: Sequence[int],
    classes: int,
    *,
    channels: Sequence[int] = (16, 32),
    kernels: Sequence[int] = (5, 3),
    strides: Sequence[int] = (2, 2),
    dt: float = 1e-3,
    decay: float = 0.8,
    gain: float = 1.2,
    seed: int = 0,
) -> Network:
    """Return a convolutional network: input, strided convolutions with LIF neurons, linear readout.

    Parameters
    ----------
    sensor_shape : sequence of int
        (channels, height, width) of the input.
    classes : int
        Size of the readout.
    channels, kernels, strides : sequence of int
        One entry a layer. A stride in place of pooling keeps all values spikes.
    dt, decay, gain, seed
        As for `fully_connected`.
    """
    positive("classes", classes)
    if not len(channels) == len(kernels) == len(strides):
        raise ParameterError(
            f"channels, kernels and strides must be equally long, got {len(channels)}, {len(kernels)}, {len(strides)}"
        )
    model = LIF(time_constant_of(decay, dt))
    populations = [Population("input", tuple(sensor_shape), Input())]
    rules = []
    for number, (channel, kernel, stride) in enumerate(zip(channels, kernels, strides, strict=True), start=1):
        _, height, width = populations[-1].shape
        shape = (channel, (height - kernel) // stride + 1, (width - kernel) // stride + 1)
        populations.append(Population(f"conv{number}", shape, model))
        rules.append(Conv2d(Kaiming(gain), kernel=kernel, stride=stride))
    return _chain(populations, rules, classes, dt, seed, "convolutional")


def delayed(
    sensor_shape: int | Sequence[int],
    classes: int,
    *,
    hidden: Sequence[int] = (256, 256),
    maximum_delay: float = 0.25,
    kernel_count: int = 1,
    kernel: LearnedKernel = "gauss",
    dt: float = 10e-3,
    time_constant: float = 10.05e-3,
    seed: int = 0,
) -> Network:
    """Return a fully connected network with a delay a synapse in every layer, as of DCLS-Delays (arXiv:2306.17670).

    The defaults are the paper's for the Spiking Heidelberg Digits; the leak is so strong that the neurons have next to
    no memory, and time is in the delays alone. `snnsim.training.TrainableNetwork` with ``learn=("weights", "delays")``
    learns them, with ``learn=("weights",)`` they stay as they were drawn, in whole ticks.

    Parameters
    ----------
    sensor_shape : int or sequence of int
        Shape of the input.
    classes : int
        Size of the readout, a leaky integrator.
    hidden : sequence of int
        Sizes of the hidden layers, named ``hidden1`` and so on.
    maximum_delay : float
        Seconds, see `Learnable`; 0 for a network without delays.
    kernel_count : int
        Synapses between any two neurons, each with weight and delay of its own.
    kernel : {"gauss", "triangle", "two_tap"}
        As for `Learnable`.
    dt : float
        Seconds a tick.
    time_constant : float
        Of membranes and readout, in seconds.
    seed : int
        Key of the first weights and delays.
    """
    whole("classes", classes, at_least=1)
    if isinstance(hidden, int):
        raise ParameterError(f"hidden={hidden}: a size for each layer is needed, such as ({hidden},)")
    count = whole("kernel_count", kernel_count, at_least=1)
    positive("maximum_delay", maximum_delay, zero=True)
    model = LIF(time_constant, reset="zero", integration="euler")
    populations = [Population("input", sensor_shape, Input())]
    populations += [Population(f"hidden{number}", size, model) for number, size in enumerate(hidden, start=1)]
    populations.append(Population("output", classes, LI(time_constant, integration="euler")))
    delay = Learnable(maximum_delay, kernel) if maximum_delay > 0 else 0.0
    projections = []
    for source, target in itertools.pairwise(population.name for population in populations):
        for number in range(count):
            name = f"{source}->{target}" + (f" {number + 1}" if count > 1 else "")
            projections.append(
                Projection(source, target, Dense(Kaiming(math.sqrt(2.0 / count))), delay=delay, name=name)
            )
    return Network(populations, projections, dt=dt, seed=seed, name="delayed")


def _chain(
    populations: list[Population], rules: Sequence[Dense | Conv2d], classes: int, dt: float, seed: int, name: str
) -> Network:
    populations = [*populations, Population("output", classes, LI(0.0))]
    names = [population.name for population in populations]
    projections = [
        Projection(source, target, rule)
        for source, target, rule in zip(names[:-1], names[1:], [*rules, Dense(Kaiming(1.0))], strict=True)
    ]
    return Network(tuple(populations), tuple(projections), dt=dt, seed=seed, name=name)
