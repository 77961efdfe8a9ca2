"""Networks with delays: whole samples, a layer at a time, forward and backward.

A delay couples ticks of a whole kernel's length, so there are no chunks of ticks: each layer is computed for all ticks
before the next begins. Nothing here uses autograd; the backward pass is written out and held to
`snnsim.training.autograd.sequence` by the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from snnsim.training.compute.call import Call
from snnsim.training.compute.spike_lists import Source
from snnsim.training.compute.threads import Workers
from snnsim.training.compute.workspace import Workspace
from snnsim.training.delays.product import DelayedProduct
from snnsim.training.fused import membrane_kernels, sequence_kernels
from snnsim.training.fused.call import CompiledCall, add_norm_gradients
from snnsim.training.fused.sequence_norm import standardise, standardise_backward
from snnsim.training.parameters.plan import Link, Stage


@dataclass
class Layer:
    """What one population leaves behind for the backward pass."""

    #: Input, standardised where there is batch norm.
    drive: Tensor
    inverse: Tensor | None
    #: Whether batch norm took the statistics of this batch.
    statistics: bool
    #: Spikes after dropout, as bytes; None for a readout that does not fire.
    spikes: Tensor | None
    #: What a readout that does not fire is read by; None for others.
    membrane: Tensor | None


@dataclass
class SequenceRecord:
    """What a call leaves behind."""

    inputs: dict[str, Tensor]
    layers: dict[str, Layer]

    def spikes(self, call: Call) -> dict[str, int]:
        """Return how many spikes each population sent within the samples."""
        counts = {}
        for name, layer in self.layers.items():
            if layer.spikes is not None:
                inside = call.inside(name, 0, len(layer.spikes))
                counts[name] = int(np.count_nonzero(layer.spikes.numpy() if inside is None else layer.spikes[inside]))
        return counts

    def sent(self, name: str) -> Tensor:
        """Return what a population sent, shape (ticks, batch, neurons)."""
        if name in self.inputs:
            return self.inputs[name]
        spikes = self.layers[name].spikes
        assert spikes is not None
        return spikes


class SequenceCall(CompiledCall):
    """A call on whole samples; see `CompiledCall`."""

    def __init__(self, call: Call, workers: Workers, workspace: Workspace) -> None:
        super().__init__(call, workers, workspace)
        self.products = {
            link.name: self._product(link) for stage in self.model.plan.stages for link in stage.links if link.delays
        }

    def _product(self, link: Link) -> DelayedProduct:
        assert link.delays is not None
        delays, kernel, sigma = self.call.delays(link)
        return DelayedProduct(
            self.weights[link.name].unsqueeze(0),
            delays.detach().contiguous().unsqueeze(0),
            longest=link.delays.longest,
            kernel=kernel,
            sigma=sigma,
            workers=self.workers,
            workspace=self.workspace,
        )

    # -- forward -----------------------------------------------------------------------------------------

    def forward(self) -> tuple[Tensor, SequenceRecord]:
        """Run all ticks from rest.

        Returns
        -------
        readout : Tensor, shape (ticks, batch, classes)
            In a buffer of the workspace.
        record : SequenceRecord
        """
        ticks = self.call.ticks
        inputs = {name: self._input(name, source) for name, source in self.call.sources.items()}
        record = SequenceRecord(inputs, {})
        for stage in self.model.plan.stages:
            shape = (ticks + self.model.extensions[stage.name], self.batch, stage.size)
            drive = self.workspace.take(f"{stage.name}.sequence", shape, self.dtype)
            if not stage.links:
                drive.zero_()
            for i, link in enumerate(stage.links):
                self._deliver(link, record.sent(link.source), drive, fresh=i == 0)
            inverse, statistics = None, stage.batch_norm and self.call.statistics(stage)
            if stage.batch_norm:
                inside = self.call.inside(stage.name, 0, len(drive))
                inverse = standardise(self.model.norm(stage.name), drive, statistics, inside, self.workers)
            spikes = self._fire(stage, drive) if stage.spiking else None
            membrane = None if stage.spiking else self._integrate(stage, drive)
            record.layers[stage.name] = Layer(drive, inverse, statistics, spikes, membrane)
        last = record.layers[self.model.plan.output.name]
        if last.membrane is not None:
            return last.membrane, record
        assert last.spikes is not None
        return last.spikes.to(self.dtype) * self.scales[self.model.plan.output.name], record

    def _input(self, name: str, source: Source) -> Tensor:
        signal = source.window(0, source.ticks)
        values = signal.dense(f"{name}.input", self.dtype, self.workspace, self.workers)
        return values.view(source.ticks, source.batch, source.size)

    def _deliver(self, link: Link, sent: Tensor, drive: Tensor, fresh: bool) -> None:
        scale = self.scales[link.source]
        if link.delays is not None:
            self.products[link.name].forward(sent, scale, drive, fresh)
            return
        weights = self.weights[link.name] * scale
        if fresh:
            drive[len(sent) :] = 0

        def work(low: int, high: int) -> None:
            for tick in range(low, high):
                values = sent[tick].to(self.dtype)
                if fresh:
                    torch.mm(values, weights, out=drive[tick])
                else:
                    drive[tick].addmm_(values, weights)

        self.workers.map(work, len(sent), sent.numel() * drive.shape[2] // 8)

    def _factors(self, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return factor and shift of the batch norm."""
        if stage.batch_norm:
            factor, shift = (one.detach().contiguous() for one in self.call.affine(stage))
            return factor, shift
        return torch.ones(stage.size, dtype=self.dtype), torch.zeros(stage.size, dtype=self.dtype)

    def _affine(self, stage: Stage) -> tuple[Tensor, Tensor, Tensor]:
        """Return factor and shift of the batch norm, and the membrane to begin with."""
        start = torch.tensor(np.asarray(stage.model.initial_states()[0], np.float64)).to(self.dtype)
        return *self._factors(stage), start.expand(stage.size).contiguous()

    def _fire(self, stage: Stage, drive: Tensor) -> Tensor:
        spikes = self.workspace.take(f"{stage.name}.spikes", tuple(drive.shape), torch.uint8)
        if stage.name in self.sweeps:
            sweep = self.sweeps[stage.name]
            sweep.write(drive, self._factors(stage), sweep.rest(), spikes)
            return spikes
        factor, shift, initial = (one.numpy() for one in self._affine(stage))
        x, out, c, mask = drive.numpy(), spikes.numpy(), self.coefficients[stage.name], self.masks[stage.name]
        strict = stage.strict
        self.workers.map(
            partial(sequence_kernels.fire_sequence, x, factor, shift, initial, c, strict, mask, out),
            self.batch,
            4 * drive.numel(),
        )
        return spikes

    def _integrate(self, stage: Stage, drive: Tensor) -> Tensor:
        if stage.name in self.sweeps:
            sweep, readout = self.sweeps[stage.name], torch.empty_like(drive)
            sweep.write(drive, self._factors(stage), sweep.rest(), readout)
            return readout
        factor, shift, initial = self._affine(stage)
        membrane = drive * factor + shift if stage.batch_norm else drive
        state = initial.repeat(self.batch, 1).numpy()
        x, c = membrane.numpy(), self.coefficients[stage.name]
        self.workers.map(partial(membrane_kernels.integrate_ticks, x, state, c), self.batch, drive.numel())
        return membrane

    # -- backward ----------------------------------------------------------------------------------------

    def backward(
        self,
        record: SequenceRecord,
        readout_gradient: Tensor,
        gradients: dict[str, Tensor],
        to_inputs: dict[str, Tensor],
        keep_reset: bool,
        use_up: bool = True,
    ) -> None:
        """Back-propagate through all ticks and add to `gradients`.

        Parameters
        ----------
        record : SequenceRecord
        readout_gradient : Tensor, shape (ticks, batch, classes)
        gradients : dict of str to Tensor
            By kind and name, such as ``"delays:input->hidden"``.
        to_inputs : dict of str to Tensor, shape (ticks, batch, sources)
            Zeros; out: gradients of the inputs that are asked for, by population.
        keep_reset : bool
            Let the gradient pass through the reset.
        use_up : bool
            Take less memory, at the price of the record and the readout.
        """
        output = self.model.plan.output
        top = self.workspace.take(f"{output.name}.sequence gradient", tuple(readout_gradient.shape), self.dtype)
        torch.mul(readout_gradient, self.scales[output.name], out=top)
        arrived = {output.name: top}
        done: list[Tensor] = []  # buffers whose contents have served, for gradients further below
        for stage in reversed(self.model.plan.stages):
            if stage.name not in arrived:
                continue
            g, layer = arrived[stage.name], record.layers[stage.name]
            self._sweep_back(stage, layer, g, keep_reset)
            self.pass_to_drive(stage, g.view(-1, stage.size), gradients)
            if layer.inverse is not None:
                factor, inside = self.call.affine(stage)[0], self.call.inside(stage.name, 0, len(g))
                found = standardise_backward(
                    factor, layer.drive, layer.inverse, g, layer.statistics, inside, self.workers
                )
                add_norm_gradients(stage, found, gradients)
            if use_up:
                done.append(layer.drive.view(-1))
            for link in stage.links:
                self._link_back(link, record, g, gradients, to_inputs, arrived, done)
            done.append(g.view(-1))

    def _sweep_back(self, stage: Stage, layer: Layer, g: Tensor, keep_reset: bool) -> None:
        if stage.name in self.sweeps:
            sweep = self.sweeps[stage.name]
            start = sweep.rest()
            none = np.zeros_like(start)
            sweep.back(g, layer.drive, self._factors(stage), start, none, keep_reset=keep_reset, scaled=False)
            return
        c, x = self.coefficients[stage.name], g.numpy()
        if not stage.spiking:
            after = np.zeros((self.batch, stage.size), x.dtype)
            self.workers.map(partial(membrane_kernels.leak_ticks, x, after, c), self.batch, g.numel())
            return
        factor, shift, initial = (one.numpy() for one in self._affine(stage))
        drive, mask, strict = layer.drive.numpy(), self.masks[stage.name], stage.strict
        kind, parameter = self.surrogate
        self.workers.map(
            partial(
                sequence_kernels.back_through_sequence,
                x,
                drive,
                factor,
                shift,
                initial,
                c,
                strict,
                mask,
                kind,
                parameter,
                keep_reset,
            ),
            self.batch,
            8 * g.numel(),
        )

    def _link_back(
        self,
        link: Link,
        record: SequenceRecord,
        g: Tensor,
        gradients: dict[str, Tensor],
        to_inputs: dict[str, Tensor],
        arrived: dict[str, Tensor],
        done: list[Tensor],
    ) -> None:
        sent, scale = record.sent(link.source), self.scales[link.source]
        below, fresh = None, link.source not in arrived
        if link.source in record.layers:
            below = self._room(link.source, sent, done) if fresh else arrived[link.source]
            arrived[link.source] = below
        elif link.source in to_inputs:
            below = arrived[link.source] = to_inputs[link.source]
        of_weights, of_delays = (gradients.get(f"{kind}:{link.name}") for kind in ("weights", "delays"))
        if link.delays is None:
            self._matrix_back(link, sent, scale, g[: len(sent)], below, fresh, of_weights)
            return
        self.products[link.name].backward(
            sent,
            scale,
            g,
            below,
            fresh,
            None if of_weights is None else of_weights.unsqueeze(0),
            None if of_delays is None else of_delays.unsqueeze(0),
        )

    def _room(self, name: str, sent: Tensor, done: list[Tensor]) -> Tensor:
        """Return room for the gradient of what a population sent, where it can in a buffer that has served."""
        for i, buffer in enumerate(done):
            if buffer.numel() >= sent.numel():
                return done.pop(i)[: sent.numel()].view(sent.shape)
        return self.workspace.take(f"{name}.sequence gradient", tuple(sent.shape), self.dtype)

    def _matrix_back(
        self,
        link: Link,
        sent: Tensor,
        scale: float,
        g: Tensor,
        below: Tensor | None,
        fresh: bool,
        of_weights: Tensor | None,
    ) -> None:
        weights = self.weights[link.name]
        work = sent.numel() * g.shape[2] // 8
        if below is not None:
            target, transposed = below, weights.t() * scale

            def to_source(low: int, high: int) -> None:
                for tick in range(low, high):
                    if fresh:
                        torch.mm(g[tick], transposed, out=target[tick])
                    else:
                        target[tick].addmm_(g[tick], transposed)

            self.workers.map(to_source, len(sent), work)
        if of_weights is not None:
            out = of_weights

            def to_weights(low: int, high: int) -> None:
                for tick in range(len(sent)):
                    out[low:high].addmm_(sent[tick, :, low:high].t().to(self.dtype), g[tick], alpha=scale)

            self.workers.map(to_weights, sent.shape[2], work)
