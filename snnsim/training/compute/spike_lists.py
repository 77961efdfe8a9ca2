"""What a population sends during a chunk of ticks: lists of spikes, or dense values where they are needed."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from snnsim.errors import NetworkError, ParameterError
from snnsim.events import Events
from snnsim.frames import Frames
from snnsim.network.network import Network
from snnsim.timebase import check_same_dt
from snnsim.training.compute.sparse_kernels import lists_to_dense, tick_starts
from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.parameters.finite import sum_is_finite

#: What a call takes: events, frames, or real values of shape (batch, ticks, sources), for one input or by name.
Inputs = Events | Frames | Tensor | Mapping[str, Events | Frames | Tensor]


class InputPlan(Protocol):
    """What is to be known of a network to check its inputs."""

    @property
    def network(self) -> Network:
        """The description."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of its inputs."""


class Signal:
    """Spikes of one population over a chunk, row by row, a row being one (tick, sample).

    Parameters
    ----------
    ticks, batch, size : int
    lists : tuple of ndarray (begin, end, indices), optional
        Row ``r = tick * batch + sample`` holds the sources ``indices[begin[r]:end[r]]``.
    values : Tensor, shape (ticks * batch, size), optional
        Dense values; made from the lists where they are missing.
    scale : float
        Size of a spike.
    """

    def __init__(
        self,
        ticks: int,
        batch: int,
        size: int,
        lists: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]] | None,
        values: Tensor | None = None,
        scale: float = 1.0,
    ) -> None:
        self.ticks, self.batch, self.size, self.scale = ticks, batch, size, scale
        self.lists, self._values = lists, values

    @functools.cached_property
    def spikes(self) -> int:
        """Number of spikes in the lists."""
        assert self.lists is not None
        begin, end, _ = self.lists
        return int((end - begin).sum())

    def spikes_within(self, inside: Tensor | None) -> int:
        """Return the number of spikes in rows that belong to a sample, shape (ticks, batch); None for all."""
        if inside is None:
            return self.spikes
        assert self.lists is not None
        begin, end, _ = self.lists
        return int((end - begin)[inside.numpy().reshape(-1)].sum())

    @property
    def ceiling(self) -> float:
        """What max pooling sees of a source at most: several events in a tick count once, real values as they are."""
        return math.inf if self.lists is None else self.scale

    @functools.cached_property
    def density(self) -> float:
        """Share of (row, source) cells that hold a spike; 1 for dense values."""
        return 1.0 if self.lists is None else self.spikes / max(1, self.ticks * self.batch * self.size)

    def dense(self, name: str, dtype: torch.dtype, workspace: Workspace, workers: Workers) -> Tensor:
        """Return dense values of shape (rows, size), in a buffer of that name."""
        if self._values is None:
            assert self.lists is not None
            begin, end, indices = self.lists
            values = workspace.take(f"{name}.dense", (self.ticks * self.batch, self.size), dtype)
            out = values.numpy()
            scale = out.dtype.type(self.scale)
            workers.map(functools.partial(lists_to_dense, out, begin, end, indices, scale), len(begin), values.numel())
            self._values = values
        return self._values

    def plain(self, dtype: torch.dtype) -> Tensor:
        """Return dense values of shape (rows, size) in memory of their own."""
        if self.lists is None:
            assert self._values is not None
            return self._values
        begin, end, indices = self.lists
        values = torch.empty(self.ticks * self.batch, self.size, dtype=dtype)
        out = values.numpy()
        lists_to_dense(out, begin, end, indices, out.dtype.type(self.scale), 0, len(begin))
        return values

    def again(self) -> Signal:
        """Return the same signal without dense values, whose buffer another chunk may have used since."""
        return self if self.lists is None else Signal(self.ticks, self.batch, self.size, self.lists, None, self.scale)

    def chosen(self, ticks: list[int]) -> Signal:
        """Return some ticks of it as a signal of their own."""
        if self.lists is None:
            assert self._values is not None
            values = self._values.view(self.ticks, self.batch, self.size)[ticks].view(-1, self.size)
            return Signal(len(ticks), self.batch, self.size, None, values, self.scale)
        begin, end, indices = self.lists
        rows = (np.array(ticks)[:, None] * self.batch + np.arange(self.batch)).reshape(-1)
        return Signal(len(ticks), self.batch, self.size, (begin[rows], end[rows], indices), None, self.scale)


class Source:
    """The input of one population over all ticks of a call, handed out in chunks.

    Parameters
    ----------
    data : Events or Tensor
    dtype : torch.dtype
    lengths : Tensor of int64, shape (batch,), optional
        Ticks of each sample of a Tensor; default all.
    """

    def __init__(self, data: Events | Tensor, dtype: torch.dtype, lengths: Tensor | None = None) -> None:
        if isinstance(data, Events):
            self.batch, self.ticks, self.size = len(data), data.n_ticks, data.n_sources
            self._events: Events | None = data
            #: Real values, shape (batch, ticks, sources), with the graph they come with; None for events.
            self.values: Tensor | None = None
            #: Ticks of each sample, shape (batch,).
            self.lengths = torch.from_numpy(data.lengths)
        else:
            self.batch, self.ticks, self.size = data.shape
            self._events = None
            self.values = data.to(dtype)
            self.lengths = torch.full((self.batch,), self.ticks) if lengths is None else lengths
            # The network may run on for longer than the sample.
            if lengths is not None and int(lengths.min() if self.batch else self.ticks) < self.ticks:
                inside = torch.arange(self.ticks) < lengths.unsqueeze(1)
                self.values = torch.where(inside.unsqueeze(2), self.values, 0.0)

    def cut(self, ticks: int) -> None:
        """Cut off what comes after so many ticks, or append silence."""
        if self.values is not None and ticks != self.ticks:
            self.values = functional.pad(self.values[:, :ticks], (0, 0, 0, max(0, ticks - self.ticks)))
        self.ticks = ticks

    def window(self, start: int, stop: int) -> Signal:
        """Return ticks ``start ... stop - 1``."""
        n = stop - start
        if self._events is None:
            assert self.values is not None
            values = self.values.detach()[:, start:stop].transpose(0, 1).reshape(n * self.batch, self.size)
            return Signal(n, self.batch, self.size, None, values.contiguous())
        begin = np.empty((n, self.batch), np.int64)
        end = np.empty((n, self.batch), np.int64)
        tick_starts(self._events.ticks, self._events.offsets, start, begin, end)
        return Signal(n, self.batch, self.size, (begin.reshape(-1), end.reshape(-1), self._events.sources))

    def frame(self, tick: int, dtype: torch.dtype) -> Tensor:
        """Return dense values of a tick, shape (batch, sources), with their graph."""
        return self.window(tick, tick + 1).plain(dtype) if self.values is None else self.values[:, tick]

    def frames(self, dtype: torch.dtype) -> Tensor:
        """Return dense values of all ticks, shape (ticks, batch, sources), with their graph."""
        if self.values is not None:
            return self.values.transpose(0, 1)
        return self.window(0, self.ticks).plain(dtype).view(self.ticks, self.batch, self.size)

    @property
    def ceiling(self) -> float:
        """See `Signal.ceiling`."""
        return 1.0 if self.values is None else math.inf


def check_inputs(
    plan: InputPlan, inputs: Inputs, dtype: torch.dtype, lengths: Tensor | None = None
) -> dict[str, Source]:
    """Return the inputs by population, or raise where they do not fit the network.

    Parameters
    ----------
    plan : InputPlan
    inputs : Events, Frames or Tensor, or dict of them by population
    dtype : torch.dtype
    lengths : Tensor of int64, shape (batch,), optional
        Ticks of each sample where the inputs are Tensors; Events and Frames bring their own.
    """
    if not isinstance(inputs, Mapping):
        if not isinstance(inputs, (Events, Frames, Tensor)):
            raise ParameterError(
                f"inputs: expected Events, Frames, a Tensor of shape (batch, ticks, sources), or a dict of them by "
                f"population; got {type(inputs).__name__}"
            )
        if len(plan.inputs) != 1:
            raise ParameterError(f"inputs: the network has the inputs {list(plan.inputs)}; give a dict by name")
        inputs = {plan.inputs[0]: inputs}
    if set(inputs) != set(plan.inputs):
        raise ParameterError(f"inputs are given for {list(inputs)}, the network has {list(plan.inputs)}")
    sources: dict[str, Source] = {}
    for name in plan.inputs:  # in one order, whatever that of the dict
        data, size = inputs[name], plan.network.population(name).size
        if isinstance(data, Tensor):
            _check_tensor(name, data, size)
        elif not isinstance(data, (Events, Frames)):
            raise ParameterError(f"input of {name!r}: expected Events, Frames or a Tensor, got {type(data).__name__}")
        else:
            check_same_dt(data.dt, plan.network.dt, f"input of {name!r}")
            if lengths is not None:
                kind = type(data).__name__
                raise ParameterError(f"lengths: the {kind} of {name!r} bring their own ({kind.lower()}.with_lengths)")
        if isinstance(data, Frames):
            source = Source(_shown(data), dtype, torch.from_numpy(data.lengths))
        else:
            source = Source(data, dtype, None if lengths is None else _checked_lengths(lengths, data))
        if source.size != size:
            raise NetworkError(f"input of {name!r} has {source.size} sources, the population {size}")
        if source.batch < 1 or source.ticks < 1:
            raise ParameterError(f"input of {name!r} is empty: {source.batch} samples of {source.ticks} ticks")
        if source.values is not None:
            _refuse_not_finite(name, source.values)
        sources[name] = source
        if int(source.lengths.min()) < 1:
            raise ParameterError(f"input of {name!r}: sample {int(source.lengths.argmin())} has no ticks")
    if len({source.batch for source in sources.values()}) > 1:
        raise ParameterError("inputs differ in samples; all must have the same number")
    return sources


def _shown(frames: Frames) -> Tensor:
    """Return the values at every tick, shape (batch, ticks, sources); what is the same at all ticks is there once."""
    values = frames.values if frames.values.flags.writeable else frames.values.copy()
    return torch.from_numpy(values).expand(-1, frames.n_ticks, -1)


def sample_lengths(plan: InputPlan, inputs: Inputs, dtype: torch.dtype, lengths: Tensor | None = None) -> Tensor:
    """Return the ticks of each sample of the inputs of a network; see `longest_of`."""
    return longest_of(check_inputs(plan, inputs, dtype, lengths))


def longest_of(sources: Mapping[str, Source]) -> Tensor:
    """Return the ticks of each sample, of its longest input, shape (batch,)."""
    return torch.stack([source.lengths for source in sources.values()]).amax(0)


def _checked_lengths(lengths: Any, data: Any) -> Tensor:
    """Return the ticks of each sample of a Tensor, or raise `ParameterError` where they do not fit it."""
    batch, ticks = data.shape[:2]
    own = torch.as_tensor(lengths)
    if own.shape != (batch,) or own.is_floating_point() or own.dtype == torch.bool or int(own.max()) > ticks:
        raise ParameterError(
            f"lengths: {own.dtype} of shape {tuple(own.shape)}, at most {own.max().item() if own.numel() else 'none'}; "
            f"expected a whole number a sample, shape ({batch},), 1 ... {ticks}"
        )
    return own.to(torch.int64)


def _check_tensor(name: str, data: Tensor, size: int) -> None:
    if data.ndim != 3:
        raise ParameterError(f"input of {name!r} has shape {tuple(data.shape)}; expected (batch, ticks, {size})")
    if data.is_complex() or data.layout != torch.strided or data.device.type != "cpu":
        raise ParameterError(
            f"input of {name!r} is {data.dtype}, {data.layout}, on {data.device}; expected real numbers in a dense "
            "Tensor on the cpu"
        )


def _refuse_not_finite(name: str, values: Tensor) -> None:
    values = values.detach()
    if sum_is_finite(values):
        return
    bad = ~torch.isfinite(values)
    if bool(bad.any()):
        sample, tick, source = (int(i) for i in bad.nonzero()[0])
        raise ParameterError(
            f"input of {name!r}: sample {sample}, tick {tick}, source {source} is "
            f"{float(values[sample, tick, source])} in {values.dtype} ({int(bad.sum())} of {values.numel()} values); "
            "every one must be finite"
        )
