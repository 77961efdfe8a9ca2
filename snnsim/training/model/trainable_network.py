"""A network with learned parameters: a torch module over a description, which it gives back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from snnsim.backends.contract.memory import check_room
from snnsim.backends.contract.precision import check_precision
from snnsim.connectivity import Dense
from snnsim.errors import CapabilityError, ParameterError, one_of
from snnsim.events import Events
from snnsim.network.network import Network
from snnsim.scores import SCORES
from snnsim.training.compute.spike_lists import Inputs, sample_lengths
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.model_rows import why_no_rows
from snnsim.training.losses import scores_of
from snnsim.training.model import passes
from snnsim.training.model.export import export_network
from snnsim.training.model.memory import MemoryReport, report
from snnsim.training.model.rule_names import RuleMemory
from snnsim.training.parameters.network_parameters import LEARNABLE, NetworkParameters, State
from snnsim.training.parameters.plan import LEAKY_MODELS, Plan, make_plan, refuse_frames
from snnsim.training.parameters.settings import flag, names, seed_of, shares
from snnsim.training.parameters.surrogates import Surrogate, Triangle


class TrainableNetwork(NetworkParameters):
    """A feed-forward network whose parameters torch can train.

    The forward pass computes the spikes that the backends compute. State belongs to the call: nothing is kept on the
    module between calls but parameters, batch-norm statistics, the count of random draws and work buffers.

    Parameters
    ----------
    net : Network
        Projections of the rules Dense, Sparse, OneToOne, Conv2d, SumPool2d, MaxPool2d (random rules become Sparse),
        from `Input` populations to one output population. A network with delays is fully connected (delays on Dense).
    learn : sequence of {"weights", "delays", "bias", "threshold", "time_constant"}
        `delays` are those of projections with ``delay=Learnable(...)``, one a synapse; where they are not learned, they
        stay as they were drawn, rounded to ticks. `bias` is one a neuron, or one a channel of a convolution;
        `threshold` and `time_constant` are one a population, unless the description gives one a neuron.
    surrogate : Surrogate
        Stands for the derivative of the step.
    batch_norm : sequence of str
        Populations whose summed input is normalised.
    batch_norm_over : {"auto", "tick", "sequence"}
        Statistics of each tick (`snnsim.training.fused.tick_norm`), or of all ticks of a batch together
        (`snnsim.training.fused.sequence_norm`), which ``"auto"`` takes for networks with delays, where it is the only
        way.
    dropout : dict of str to float
        Share of neurons of a population that are silenced in training, the same ones at all ticks of a sample.
    dtype : {"float32", "float64"}
    seed : int, optional
        Key of the default generators of dropout, noise and SLTT's random ticks; default the seed of the network.
    path : {"auto", "fused", "plain"}
        ``"plain"`` is the slow loop over ticks under autograd; ``"auto"`` takes it only where it must.
    lengthen : {"end", "layer"}
        Delays make a sample longer, by half a kernel a layer of learnable ones, so that late spikes still arrive
        (`extension` ticks in all, or what the description says). ``"end"`` is silence after the sample, through which
        every population runs, as in a simulation; with ``"layer"`` each population stops half a kernel after the one
        before it, the convention of DCLS-Delays (arXiv:2306.17670).
    output : str, optional
        Population that is read, where several project nowhere; what does not lead to it is left as it is.

    Raises
    ------
    CapabilityError
        The network holds what training does not compute (recurrence, sources that make their own events).
    ParameterError
        An argument is not allowed, or the network would not be in `dtype` what its parameters say.

    Notes
    -----
    Calls from several threads wait for one another. In a loop of one's own, every call in training draws other random
    numbers, in an order that the seed decides and that is saved with the model.
    """

    def __init__(
        self,
        net: Network,
        learn: Iterable[str] = ("weights",),
        *,
        surrogate: Surrogate | None = None,
        batch_norm: Iterable[str] = (),
        batch_norm_over: str = "auto",
        dropout: Mapping[str, float] | None = None,
        dtype: str = "float32",
        seed: int | None = None,
        path: str = "auto",
        lengthen: str = "end",
        output: str | None = None,
    ) -> None:
        if not isinstance(net, Network):
            raise ParameterError(f"net={net!r}: expected a Network")
        one_of("dtype", dtype, ("float32", "float64"))
        one_of("path", path, ("auto", "fused", "plain"))
        kinds = names("learn", learn)
        for kind in kinds:
            one_of("learn", kind, LEARNABLE)
        one_of("lengthen", lengthen, ("end", "layer"))
        normed = names("batch_norm", batch_norm)
        pairs = sum(one.expected for one in net.connections if isinstance(one.rule, Dense))
        needed = {"weights": round(pairs * (8 + np.dtype(dtype).itemsize))}
        check_room("TrainableNetwork", needed, "Train fewer neurons, or Sparse projections")
        plan = make_plan(net, normed, shares("dropout", dropout), output)
        check_precision(plan.network, dtype)
        one_of("batch_norm_over", batch_norm_over, ("auto", "tick", "sequence"))
        if batch_norm_over == "tick" and plan.delayed and normed:
            raise CapabilityError("batch_norm_over='tick': a network with delays is normalised over the sequence")
        whole_samples = plan.delayed or batch_norm_over == "sequence"
        if whole_samples:
            refuse_frames(plan)
        surrogate = Triangle() if surrogate is None else surrogate
        if not isinstance(surrogate, Surrogate):
            raise ParameterError(f"surrogate={surrogate!r}: expected a Surrogate such as Triangle()")
        super().__init__(
            plan,
            kinds,
            surrogate=surrogate,
            dtype=getattr(torch, dtype),
            seed=net.seed if seed is None else seed_of("seed", seed),
            path=_choose(path, plan, surrogate),
            whole_samples=whole_samples,
            lengthen=lengthen,
        )
        #: Work buffers of the fast path, which `workspace.release()` gives back, and the lock of the model.
        self.workspace = Workspace()

    # -- running -----------------------------------------------------------------------------------------

    def forward(
        self,
        inputs: Inputs,
        state: State | None = None,
        *,
        generator: torch.Generator | None = None,
        detach_reset: bool = False,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run all ticks of the inputs and return readout and state; differentiable by BPTT, once.

        The readout of a sample ends with the sample and the network's `extension`; from there on it is zero, so that a
        sum over ticks is one over the sample, however much silence follows.

        Parameters
        ----------
        inputs : Events, Frames or Tensor of shape (batch, ticks, sources), or dict of them by population
            A Tensor that requires a gradient gets one: layers of torch can stand in front.
        state : dict, optional
            As an earlier call returned it; default `initial_state`. It is not changed, and no gradient passes into it.
        generator : torch.Generator, optional
            Of dropout and noise in training; default one keyed by `seed` and by the number of calls so far.
        detach_reset : bool
            Let no gradient pass through the spike in the reset.
        lengths : Tensor of int64, shape (batch,), optional
            Ticks of each sample where the inputs are Tensors, such as padded ones; Events and Frames bring their own.

        Returns
        -------
        readout : Tensor, shape (batch, ticks, classes)
            Membrane of the output population, or its spikes where it fires; as many ticks as the inputs and the
            extension have.
        state : dict
            After the last tick, without gradients.
        """
        keep_reset = not flag("detach_reset", detach_reset)
        return passes.forward(self, self.workspace, inputs, state, generator, keep_reset, lengths)

    def readout(
        self, inputs: Inputs, *, generator: torch.Generator | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the readout from rest, shape (batch, ticks, classes); see `forward`."""
        return self(inputs, generator=generator, lengths=lengths)[0]  # type: ignore[no-any-return]

    def scores(self, inputs: Inputs, *, score: str | None = None, lengths: Tensor | None = None) -> Tensor:
        """Return the scores of the classes at the end of each sample, shape (batch, classes).

        Parameters
        ----------
        inputs : Inputs
        score : str, optional
            One of `snnsim.scores.SCORES`; default the one that the network answers by.
        lengths : Tensor of int64, shape (batch,), optional
            As for `forward`.
        """
        one_of("score", score, (None, *SCORES))
        ends = sample_lengths(self.plan, inputs, self.dtype, lengths) + self.extension
        return scores_of(self.readout(inputs, lengths=lengths).transpose(0, 1), score or self.score, ends)

    def spikes(self, inputs: Inputs, populations: Iterable[str] | str | None = None) -> dict[str, Events]:
        """Return what populations fire from rest, without dropout and with the running batch-norm statistics.

        Parameters
        ----------
        inputs : Inputs
        populations : sequence of str, optional
            Default all that fire.
        """
        wanted = None if populations is None else names("populations", populations)
        return passes.spikes(self, self.workspace, inputs, wanted)

    @contextlib.contextmanager
    def evaluating(self, *, soft_delays: bool) -> Iterator[None]:
        """Give the model to this thread alone, in evaluation, and leave it and its parts in the modes that they had."""
        with passes.evaluating(self, self.workspace, soft_delays=soft_delays):
            yield

    def network(self) -> Network:
        """Return the network with what was learned: batch norm becomes part of weights and bias, delays whole ticks.

        Where it has learned from real values (`real_inputs`), what it is given are `snnsim.Frames`.
        """
        return export_network(self)

    def memory_report(self, ticks: int, batch: int, rule: RuleMemory | str) -> MemoryReport:
        """Forecast the memory of a training step before it runs.

        Parameters
        ----------
        ticks, batch : int
        rule : Rule or str
            A learning rule, or its name as `train` takes it.

        Returns
        -------
        MemoryReport
            ``print(...)`` shows it; ``.fits`` compares it with the free memory.
        """
        return report(self, self.workspace, ticks, batch, rule)


def _choose(path: str, plan: Plan, surrogate: Surrogate) -> str:
    """Return the path that a network takes, or raise `CapabilityError` where the compiled one has no part of it."""
    reasons = [reason for stage in plan.stages if (reason := stage.why_not_compiled(plan.network.dt))]
    for stage in plan.stages:
        if type(stage.model) not in LEAKY_MODELS and (error := why_no_rows(stage.model.arithmetic)) is not None:
            reasons.append(f"population {stage.name!r}: the arithmetic of {type(stage.model).__name__} {error}")
    if surrogate.number is None:
        reasons.append(f"the surrogate {surrogate!r} is not compiled")
    if path == "fused" and reasons:
        raise CapabilityError(f"path='fused': {reasons[0]}; path='plain' runs it")
    return "fused" if path != "plain" and not reasons else "plain"
