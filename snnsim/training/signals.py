"""What a population sends during a chunk of ticks: lists of spikes, or dense values where they are needed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnsim.errors import NetworkError, ParameterError
from snnsim.events import Events
from snnsim.training.plan import Plan
from snnsim.training.sparse_kernels import lists_to_dense, tick_starts
from snnsim.training.threads import Workers
from snnsim.training.workspace import Workspace

#: What a call takes: events, or real values of shape (batch, ticks, sources), for one input or by name.
Inputs = Events | Tensor | Mapping[str, Events | Tensor]


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

    @property
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
            workers.map(
                lambda low, high: lists_to_dense(out, begin, end, indices, scale, low, high), len(begin), values.numel()
            )
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
    """The input of one population over all ticks of a call, handed out in chunks."""

    def __init__(self, data: Events | Tensor, dtype: torch.dtype) -> None:
        if isinstance(data, Events):
            self.batch, self.ticks, self.size = len(data), data.n_ticks, data.n_sources
            self._events: Events | None = data
        else:
            self.batch, self.ticks, self.size = data.shape
            self._events = None
            self._values = data.detach().to(dtype)

    def window(self, start: int, stop: int) -> Signal:
        """Return ticks ``start ... stop - 1``."""
        n = stop - start
        if self._events is None:
            values = self._values[:, start:stop].transpose(0, 1).reshape(n * self.batch, self.size)
            return Signal(n, self.batch, self.size, None, values.contiguous())
        begin = np.empty((n, self.batch), np.int64)
        end = np.empty((n, self.batch), np.int64)
        tick_starts(self._events.ticks, self._events.offsets, start, begin, end)
        return Signal(n, self.batch, self.size, (begin.reshape(-1), end.reshape(-1), self._events.sources))


def check_inputs(plan: Plan, inputs: Inputs, dtype: torch.dtype) -> dict[str, Source]:
    """Return the inputs by population, or raise where they do not fit the network."""
    if isinstance(inputs, (Events, Tensor)):
        if len(plan.inputs) != 1:
            raise ParameterError(f"inputs: the network has the inputs {list(plan.inputs)}; give a dict by name")
        inputs = {plan.inputs[0]: inputs}
    if set(inputs) != set(plan.inputs):
        raise ParameterError(f"inputs are given for {sorted(inputs)}, the network has {sorted(plan.inputs)}")
    sources: dict[str, Source] = {}
    for name, data in inputs.items():
        size = plan.network.population(name).size
        if isinstance(data, Tensor):
            if data.ndim != 3:
                raise ParameterError(
                    f"input of {name!r} has shape {tuple(data.shape)}; expected (batch, ticks, {size})"
                )
        elif not isinstance(data, Events):
            raise ParameterError(f"input of {name!r}: expected Events or a Tensor, got {type(data).__name__}")
        elif data.dt != plan.network.dt:
            raise ParameterError(
                f"input of {name!r}: ticks of {data.dt:g} s, the network has dt={plan.network.dt:g} s; "
                f"use events.with_dt({plan.network.dt:g})"
            )
        source = Source(data, dtype)
        if source.size != size:
            raise NetworkError(f"input of {name!r} has {source.size} sources, the population {size}")
        if source.batch < 1 or source.ticks < 1:
            raise ParameterError(f"input of {name!r} is empty: {source.batch} samples of {source.ticks} ticks")
        sources[name] = source
    if len({(source.batch, source.ticks) for source in sources.values()}) > 1:
        raise ParameterError("inputs differ in samples or ticks; all must have the same")
    return sources
