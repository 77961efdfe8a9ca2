"""How much memory a training step will take, before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from snnsim.backends.contract.memory import UNASKED
from snnsim.errors import ResourceError, positive
from snnsim.system.machine import available_memory
from snnsim.system.tables import table
from snnsim.training.autograd.ticks import tick
from snnsim.training.compute.call import begin
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.chunks import chunk_ticks
from snnsim.training.fused.model_sweep import GROUPS
from snnsim.training.model.passes import evaluating
from snnsim.training.model.rule_names import RuleMemory, rule_named
from snnsim.training.parameters.network_parameters import NetworkParameters
from snnsim.training.parameters.plan import FRAME_RULES, Stage


@dataclass(frozen=True)
class MemoryReport:
    """Forecast of the memory of one training step, in bytes.

    Parameters
    ----------
    rule : str
    ticks, batch, chunk : int
        Ticks of the samples, samples, ticks computed at a time.
    kept : int
        What is kept until the last tick is known; zero for SLTT and OTTT.
    working : int
        Buffers of the chunk at work.
    gradients : int
        Gradients of the parameters.
    """

    rule: str
    ticks: int
    batch: int
    chunk: int
    kept: int
    working: int
    gradients: int

    @cached_property
    def free(self) -> int | None:
        """Bytes that this process may take now (`available_memory`); None where that is not known."""
        return available_memory()

    @property
    def activations(self) -> int:
        """Bytes of activations: kept and working."""
        return self.kept + self.working

    @property
    def total(self) -> int:
        """All bytes."""
        return self.activations + self.gradients

    @property
    def fits(self) -> bool:
        """Whether the step fits into the memory that is free now."""
        return self.total <= UNASKED or self.free is None or self.total <= self.free

    def require(self) -> None:
        """Raise `ResourceError`, with a way out, where the step does not fit."""
        if not self.fits:
            assert self.free is not None
            room = self.free - self.working - self.gradients
            smaller = max(0, int(self.batch * room / max(self.kept, 1)))
            ways = [f"a batch of {smaller} would fit"] if 0 < smaller < self.batch else []
            if self.chunk < self.ticks or not ways:
                ways.append(
                    "SLTT(), for networks without delays, needs memory that does not grow with the number of ticks"
                )
            raise ResourceError(
                f"{self.rule}: {self.ticks} ticks at batch {self.batch} need {_size(self.total)}, "
                f"{_size(self.free)} are free; {', or '.join(ways)}"
            )

    def __str__(self) -> str:
        rows = [
            ("kept until the last tick", _size(self.kept)),
            (f"working buffers, {self.chunk} ticks at a time", _size(self.working)),
            ("gradients", _size(self.gradients)),
            ("total", _size(self.total)),
            ("free now", "unknown" if self.free is None else _size(self.free)),
        ]
        return table((f"{self.rule}, {self.ticks} ticks, batch {self.batch}", "memory"), rows, right=(1,))


def report(
    model: NetworkParameters, workspace: Workspace, ticks: int, batch: int, rule: RuleMemory | str
) -> MemoryReport:
    """Forecast a step; see `TrainableNetwork.memory_report`."""
    for name, value in (("ticks", ticks), ("batch", batch)):
        positive(name, value)
    rule = rule_named(rule)
    gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    if model.whole_samples:
        kept, working, chunk = _sequence(model, ticks, batch)
    elif model.path == "plain":
        saved = _saved_per_tick(model, workspace) * batch
        kept, working, chunk = (saved * ticks if rule.keeps_ticks else 0), saved, 1
        if rule.keeps_readout:
            kept = _readout(model, ticks, batch)
        if rule.keeps_traces:
            working += batch * _traced(model)
    else:
        kept, working, chunk = _chunks(model, ticks, batch, rule)
    return MemoryReport(type(rule).__name__, ticks, batch, chunk, kept, working, gradients)


def _chunks(model: NetworkParameters, ticks: int, batch: int, rule: RuleMemory) -> tuple[int, int, int]:
    """Count the buffers that the fast path takes."""
    chunk = min(ticks, rule.chunk or chunk_ticks(model, batch, ticks))
    rows, item = chunk * batch, model.dtype.itemsize
    dense = {model.plan.output.name} if model.plan.output.spiking else set()
    of_one_tick = working = 0
    transient = [0]
    for stage in model.plan.stages:
        of_one_tick += batch * stage.size * item * (2 if stage.batch_norm else 1)
        working += rows * stage.size * item
        if stage.name not in model.leaky:
            start, scratch = _own_sweep(model, stage, chunk, batch)
            of_one_tick += -(-start // chunk)  # the states before each chunk
            working += scratch + (0 if stage.spiking else rows * stage.size * item)  # a readout has its own buffer
        if stage.spiking:
            working += rows * -(-stage.size // 8) * 8 * (2 if stage.size <= 2**16 else 4)
        for link in stage.links:
            if isinstance(link.rule, FRAME_RULES):
                dense.add(link.source)
                # The result of a torch operation, before it is written where it belongs.
                transient.append(rows * max(int(np.prod(link.source_shape)), stage.size) * item)
    working += sum(rows * model.plan.network.population(name).size * item for name in dense) + max(transient)
    if rule.keeps_traces:
        working += (batch + 2 * rows) * _traced(model)  # the traces, and dense activity and traces of a chunk
    if rule.keeps_ticks:
        return of_one_tick * ticks, working, chunk
    if rule.keeps_readout:
        return _readout(model, ticks, batch), working + of_one_tick * chunk, chunk
    return 0, working + of_one_tick * chunk, chunk


def _traced(model: NetworkParameters) -> int:
    """Count the bytes of a sample in the traces of all projections with weights."""
    return sum(link.matrix_shape[0] * model.dtype.itemsize for link in model.links.values() if link.has_weights)


def _readout(model: NetworkParameters, ticks: int, batch: int) -> int:
    """Count the readout of all ticks, twice where it is put together, and the spikes that lead to it, a byte each."""
    output, item = model.plan.output, model.dtype.itemsize
    spikes = sum(model.plan.network.population(link.source).size for link in output.links)
    return ticks * batch * (2 * output.size * item + 2 * spikes)


def _own_sweep(model: NetworkParameters, stage: Stage, ticks: int, batch: int) -> tuple[int, int]:
    """Count what the sweep of own arithmetic takes over some ticks: its first states, and what it works in."""
    states = len(stage.model.arithmetic.states) * stage.size * model.dtype.itemsize
    learned = any(f"{kind}:{stage.name}" in model.kept for kind in ("threshold", "bias", "time_constant"))
    fields = len(stage.model.coefficients(model.plan.network.dt)) if learned else 0
    # The states at all ticks of a sample, for each thread; the derivatives of coefficients, in float64.
    return batch * states, ticks * states * torch.get_num_threads() + min(GROUPS, batch) * fields * stage.size * 8


def _sequence(model: NetworkParameters, ticks: int, batch: int) -> tuple[int, int, int]:
    """Count the buffers of a network with delays: input, drives and spikes are kept, gradients work."""
    longer, item = model.extensions, model.dtype.itemsize
    kept = sum(ticks * batch * model.plan.network.population(name).size * item for name in model.plan.inputs)
    working = 0
    for stage in model.plan.stages:
        values = (ticks + longer[stage.name]) * batch * stage.size
        kept += values * (item + (1 if stage.spiking else 0))
        working += values * item
        if stage.name not in model.leaky:
            working += sum(_own_sweep(model, stage, ticks + longer[stage.name], batch))
    kernels = [link.delays.longest + 1 for stage in model.plan.stages for link in stage.links if link.delays]
    sizes = [int(np.prod(link.matrix_shape)) for link in model.links.values()]
    # Taps and their gradients of one layer at a time, and the transforms of some frequencies.
    working += 2 * max(kernels, default=0) * max(sizes, default=0) * item + 12 * 2**20
    # The plain path keeps padded copies, and every step of autograd, of about ten numbers a neuron and tick.
    return (kept * 10 if model.path == "plain" else kept), working, ticks + longer[model.plan.output.name]


def _saved_per_tick(model: NetworkParameters, workspace: Workspace) -> int:
    """Run one tick of two silent samples on the plain path and count what autograd keeps, for one sample."""
    sizes: dict[int, int] = {}
    ours = {parameter.data_ptr() for parameter in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in ours and tensor.ndim > 1 and 2 in tensor.shape[:2]:
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with (
        evaluating(model, workspace, soft_delays=model.soft_delays),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        sizes_of = {name: model.plan.network.population(name).size for name in model.plan.inputs}
        call = begin(model, {name: torch.zeros(2, 1, size, dtype=model.dtype) for name, size in sizes_of.items()})
        weights, coefficients = call.weights(), call.coefficients()
        norms = [model.norm(stage.name) for stage in model.plan.stages if stage.batch_norm]
        for module in (model, *norms):  # batch norm keeps more in training; what it would learn here is dropped
            module.training = True
        try:
            tick(call, call.frame(0), model.initial_state(2), weights, coefficients, 0)
        finally:
            for module in (model, *norms):
                module.training = False
    return sum(sizes.values()) // 2


def _size(count: int) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count / 1024:.1f} KiB"
