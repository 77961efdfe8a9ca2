"""Training with a chip in the loop: the forward pass runs on the device, the backward pass is exact.

The currents of the chip take the place of the products of spikes and weights; membranes, batch norm, pooling and losses
stay digital. The gradient is that of the network as described, taken at the membranes that the chip produced, so that
the weights learn to live with what the device does to them: chip-in-the-loop training (Schmitt et al. 2017,
doi:10.1109/IJCNN.2017.7966125; Cramer et al. 2022, doi:10.1073/pnas.2109194119).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.connectivity import Conv2d
from snnsim.errors import CapabilityError, DeviceError, NetworkError, ParameterError, whole
from snnsim.numerics import rng
from snnsim.training.model.trainable_network import TrainableNetwork
from snnsim.training.parameters.attached import Spikes
from snnsim.training.parameters.plan import MATRIX_RULES, Link

#: Errors that say themselves what is wrong, and of whom.
_OWN_ERRORS = (DeviceError, ParameterError, NetworkError, CapabilityError)
_LISTS = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]


@runtime_checkable
class Fabric(Protocol):
    """Projections of a network on a chip: weights in, drives out."""

    @property
    def projections(self) -> Collection[str]:
        """Names of the projections that the chip computes; all others are computed in software."""

    def program(self, weights: Mapping[str, NDArray[np.float64]]) -> None:
        """Program the chip.

        Parameters
        ----------
        weights : dict of str to ndarray of float64
            Of every projection in `projections`: shape (sources, targets), of convolutions (channels out, channels in,
            height, width).
        """

    def drive(
        self,
        projection: str,
        begin: NDArray[np.int64],
        end: NDArray[np.int64],
        indices: NDArray[Any],
        keys: NDArray[np.uint64],
    ) -> NDArray[Any]:
        """Return what the spikes of some vectors deliver through a projection, in units of its weights.

        Parameters
        ----------
        projection : str
        begin, end : ndarray of int64, shape (vectors,)
            Vector ``i`` holds the sources ``indices[begin[i]:end[i]]``; the lists need not lie side by side.
        indices : ndarray of int
            Flat numbers of sources, ascending in each list; one that fires twice in a tick is there twice.
        keys : ndarray of uint64, shape (vectors,)
            Key of the noise of each vector, the same for the same vector of the same minibatch whenever it is computed.

        Returns
        -------
        ndarray of float, shape (vectors, targets)
        """


class OnChip:
    """What `in_the_loop` attaches to a network: a fabric, and what it holds.

    Attributes
    ----------
    programmings, vectors : int
        How often the chip was programmed, and how many vectors it was read with.
    """

    def __init__(self, model: TrainableNetwork, fabric: Fabric, program_every: int) -> None:
        self.fabric, self.program_every = fabric, whole("program_every", program_every, at_least=1)
        self.names = tuple(fabric.projections)
        self.programmings = self.vectors = 0
        self._held: dict[str, NDArray[np.float64]] | None = None
        self._since = self._evaluations = 0
        #: What was held, and for how many minibatches, before the call at work.
        self._before: tuple[dict[str, NDArray[np.float64]] | None, int] = None, 0
        self._key, self._ticks = 0, dict.fromkeys(self.names, 0)
        if model.whole_samples:
            raise CapabilityError(
                "in the loop: networks with delays, or with batch norm over the sequence, are computed a sample at a "
                "time and not on a chip; use batch_norm_over='tick' and no delays, or simulate them with "
                "Simulation(network, 'crossbar')"
            )
        if model.path != "fused":
            raise CapabilityError(
                "in the loop: the network takes the plain path of training (a model, a surrogate or a parameter that "
                "the fast path does not have); only the fast one reads a chip"
            )
        if not self.names:
            raise ParameterError("in the loop: the fabric has no projections")
        for name in self.names:
            if name not in model.links:
                raise NetworkError(f"in the loop: no projection {name!r}; there are: {', '.join(model.links)}")
            if not isinstance(model.links[name].rule, (*MATRIX_RULES, Conv2d)):
                raise CapabilityError(
                    f"in the loop: projection {name!r} is a {type(model.links[name].rule).__name__}, which stays "
                    "digital; Dense, Sparse and Conv2d go on a chip"
                )

    def __contains__(self, name: object) -> bool:
        return name in self._ticks

    def __repr__(self) -> str:
        # Of a fabric that does not describe itself, only what kind it is: its default text is another in each process.
        plain = type(self.fabric).__repr__ is object.__repr__
        fabric = type(self.fabric).__name__ if plain else repr(self.fabric)
        return f"OnChip({', '.join(self.names)} on {fabric}; program_every={self.program_every})"

    def begin(self, training: bool, weights: Callable[[], dict[str, Tensor]], key: int) -> None:
        """Begin a call: program the chip where that is due, and draw the noise of the call from `key`.

        In training the chip is programmed every `program_every` minibatches, in evaluation whenever it does not hold
        the weights as they are.
        """
        self._before = self._held, self._since
        if training:
            if self._held is None or self._since >= self.program_every:
                self._program(weights())
            self._since += 1
            self._evaluations = 0
            self._key = key
        else:
            self._program(weights())
            self._key = int(rng.bits(key, rng.stream_number("evaluation"), self._evaluations))
            self._evaluations += 1
        self._ticks = dict.fromkeys(self.names, 0)

    def _program(self, effective: dict[str, Tensor]) -> None:
        """Program the weights as they are; a chip that holds them already is left alone."""
        weights = {name: effective[name].double().numpy().copy() for name in self.names}
        held = self._held
        if held is None or any(not np.array_equal(weights[name], held[name]) for name in self.names):
            self.program(weights)
        self._since = 0

    def program(self, weights: dict[str, NDArray[np.float64]]) -> None:
        """Program given weights."""
        self._held = None  # what a chip holds that fails on the way, nobody knows
        try:
            self.fabric.program(weights)
        except _OWN_ERRORS:
            raise
        except Exception as error:  # a fabric of one's own may raise anything
            raise _failed(error, f"{type(self.fabric).__name__}.program") from error
        self._held, self._evaluations = weights, 0
        self.programmings += 1

    def deliver(self, link: Link, signal: Spikes, drive: Tensor, fresh: bool) -> None:
        """Add what the chip reads for a chunk to `drive`, shape (rows, targets), or write it where `fresh`."""
        begin, end, indices = _lists(link, signal)
        ticks = self._ticks[link.name] + np.arange(signal.ticks)
        self._ticks[link.name] += signal.ticks
        stream = rng.stream_number("in the loop", link.name)
        keys = rng.bits(self._key, stream, np.arange(signal.batch)[None, :], ticks[:, None]).reshape(-1)
        try:
            found = np.asarray(self.fabric.drive(link.name, begin, end, indices, keys))
        except _OWN_ERRORS:
            self._held = None
            raise
        except Exception as error:  # a fabric of one's own may raise anything
            self._held = None
            raise _failed(
                error, f"projection {link.name!r}, {type(self.fabric).__name__}.drive of {keys.size}"
            ) from error
        self.vectors += keys.size
        if found.shape != tuple(drive.shape) or found.dtype.kind not in "fiu":
            raise DeviceError(
                f"projection {link.name!r}: asked the fabric for the drive of {keys.size} vectors, shape "
                f"{tuple(drive.shape)}; got {found.dtype} {found.shape}",
                kind="answer",
            )
        wrong = ~np.isfinite(found)
        if wrong.any():
            vector, target = (int(i) for i in np.argwhere(wrong)[0])
            raise DeviceError(
                f"projection {link.name!r}: vector {vector}, target {target} has the drive {found[vector, target]}, "
                f"one of {int(wrong.sum())} that are not finite",
                kind="answer",
            )
        part = torch.from_numpy(np.ascontiguousarray(found)).to(drive.dtype)
        if signal.scale != 1:
            part = part * signal.scale
        if fresh:
            drive.copy_(part)
        else:
            drive += part

    # -- going on ----------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Return what a training that goes on must know: what the chip holds, where it is not what it will be told.

        After an error that is what it held before the call in which the error came.
        """
        held, since = (self._held, self._since) if self._held is not None else self._before
        if held is None or self.program_every == 1:
            return {}
        kept = {f"held:{name}": torch.from_numpy(values.copy()) for name, values in held.items()}
        return kept | {"since": torch.tensor(since)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Bring the chip to where it was when `state` was called; without one, take nothing of it for granted."""
        self._held, self._since, self._evaluations, self._before = None, 0, 0, (None, 0)
        if state:
            self.program({name: state[f"held:{name}"].numpy().copy() for name in self.names})
            self._since = int(state["since"])


def _failed(error: Exception, where: str) -> DeviceError:
    from snnsim.backends.crossbar.chip.failures import failure

    return failure(error, where)


def _lists(link: Link, signal: Spikes) -> _LISTS:
    """Return a signal as lists of spikes; a chip takes nothing else."""
    if signal.lists is not None:
        return signal.lists
    values = signal.plain(torch.float64).numpy()
    counts = values.astype(np.int64)
    if np.any(counts != values) or np.any(counts < 0):
        raise CapabilityError(
            f"in the loop: {link.source!r} sends {values[(counts != values) | (counts < 0)].flat[0]:g}; the rows of a "
            "chip are on or off, so that a signal is whole numbers of spikes, 0 or above"
        )
    rows, sources = np.nonzero(counts)
    repeats = counts[rows, sources]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(rows, repeats, len(values)).astype(np.int64))])
    return bounds[:-1], bounds[1:], np.repeat(sources, repeats)


@contextlib.contextmanager
def in_the_loop(model: TrainableNetwork, fabric: Fabric, *, program_every: int = 1) -> Iterator[OnChip]:
    """Let a chip compute the forward pass of a network, in training and evaluation, as long as the block lasts.

    ::

        with in_the_loop(model, fabric):
            train(model, data, epochs=3, checkpoint="chip.h5")
            print(evaluate(model, test))

    Parameters
    ----------
    model : TrainableNetwork
        On the fast path, without delays.
    fabric : Fabric
        Projections on a chip.
    program_every : int
        Minibatches between two programmings. With more than 1 the chip lags behind the weights; the gradient is taken
        at the weights, not at those that the chip holds.

    Yields
    ------
    OnChip
        How often the chip was programmed and read.

    Warns
    -----
    SaturationWarning
        At the end of the block, where converters of the chip went beyond their range.

    Raises
    ------
    CapabilityError
        The network is computed in a way that a chip cannot take part in.
    DeviceError
        The device failed. `train` saves what was finished first, and says how to go on: the checkpoint then is that of
        the last whole minibatch, and resumed it gives, on a device that does the same again, the same weights bit for
        bit. Noise of reading may be part of that, where the device takes keys; noise of programming is not, since cells
        are programmed once more.
    """
    if not isinstance(model, TrainableNetwork):
        raise ParameterError(f"model={type(model).__name__}: expected a TrainableNetwork")
    if not isinstance(fabric, Fabric):
        raise ParameterError(f"fabric={type(fabric).__name__}: expected a Fabric (projections, program, drive)")
    if model.chip is not None or model.weight_noise is not None:
        raise ParameterError("model: a chip, or noise on the weights, is attached to it already")
    model.chip = chip = OnChip(model, fabric, program_every)
    try:
        yield chip
    finally:
        model.chip = None
    activity = getattr(fabric, "take_activity", None)
    if activity is not None:
        activity().warn(stacklevel=3)
