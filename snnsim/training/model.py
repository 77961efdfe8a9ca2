"""A network with learned parameters: a torch module over a description, which it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from snnsim.connectivity import Sparse
from snnsim.errors import CapabilityError, NetworkError, ParameterError, one_of
from snnsim.events import Events
from snnsim.network import Network
from snnsim.neurons import LI, LIF, AdaptiveLIF, Exponential
from snnsim.training import learned_delays, running
from snnsim.training.coefficients import coefficient_rows, differentiable
from snnsim.training.export import export_network
from snnsim.training.memory import MemoryReport, report
from snnsim.training.normalisation import TickBatchNorm
from snnsim.training.plan import Link, Stage, make_plan, refuse_frames
from snnsim.training.sequence import extensions
from snnsim.training.signals import Inputs
from snnsim.training.surrogate import Surrogate, Triangle
from snnsim.training.workspace import Workspace

if TYPE_CHECKING:
    from snnsim.training.in_the_loop import OnChip
    from snnsim.training.noise_aware import WeightNoise

#: What can be learned, apart from batch norm.
LEARNABLE = ("weights", "delays", "bias", "threshold", "time_constant")
State = dict[str, dict[str, Tensor]]


class TrainableNetwork(nn.Module):
    """A feed-forward network whose parameters torch can train.

    The forward pass computes the spikes that the backends compute. State belongs to the call: nothing is kept on the
    module between calls but parameters, batch-norm statistics and work buffers.

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
        Statistics of each tick (`snnsim.training.normalisation`), or of all ticks of a batch together
        (`snnsim.training.sequence_norm`), which ``"auto"`` takes for networks with delays, where it is the only way.
    dropout : dict of str to float
        Share of neurons of a population that are silenced in training, the same ones at all ticks of a sample.
    dtype : {"float32", "float64"}
    seed : int, optional
        Key of the default generator of dropout and of SLTT's random ticks; default the seed of the network.
    path : {"auto", "fused", "plain"}
        ``"plain"`` is the slow loop over ticks under autograd; ``"auto"`` takes it only where it must.
    lengthen : {"end", "layer"}
        Delays make a sample longer, by half a kernel a layer, so that late spikes still arrive (`extension` ticks
        in all). ``"end"`` is silence after the sample, through which every population runs, as in a simulation of that
        length; with ``"layer"`` each population stops half a kernel after the one before it, the convention of
        DCLS-Delays (arXiv:2306.17670).

    Raises
    ------
    CapabilityError
        The network holds what training does not compute (recurrence, sources that make their own events).
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
    ) -> None:
        super().__init__()
        if not isinstance(net, Network):
            raise ParameterError(f"net={net!r}: expected a Network")
        one_of("dtype", dtype, ("float32", "float64"))
        one_of("path", path, ("auto", "fused", "plain"))
        self.learn = (learn,) if isinstance(learn, str) else tuple(learn)
        for kind in self.learn:
            one_of("learn", kind, LEARNABLE)
        one_of("lengthen", lengthen, ("end", "layer"))
        self.lengthen = lengthen
        self.plan = make_plan(net, tuple(batch_norm), dict(dropout or {}))
        one_of("batch_norm_over", batch_norm_over, ("auto", "tick", "sequence"))
        if batch_norm_over == "tick" and self.plan.delayed and batch_norm:
            raise CapabilityError("batch_norm_over='tick': a network with delays is normalised over the sequence")
        #: Whether samples are computed whole, a layer at a time: delays and batch norm over the sequence need it.
        self.whole_samples = self.plan.delayed or batch_norm_over == "sequence"
        if self.whole_samples:
            refuse_frames(self.plan)
        self.surrogate = Triangle() if surrogate is None else surrogate
        if not isinstance(self.surrogate, Surrogate):
            raise ParameterError(f"surrogate={surrogate!r}: expected a Surrogate such as Triangle()")
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.seed = net.seed if seed is None else int(seed)
        self.path = self._choose(path)
        #: Whether evaluation keeps the kernels of training in place of delays rounded to ticks.
        self.soft_delays = False
        #: Work buffers of the fast path; `workspace.release()` gives them back.
        self.workspace = Workspace()
        #: The chip that computes some projections, and noise on the weights; see `in_the_loop` and `noise_aware`.
        self.chip: OnChip | None = None
        self.weight_noise: WeightNoise | None = None
        #: Projections by name.
        self.links = {link.name: link for stage in self.plan.stages for link in stage.links}
        for link in self.links.values():
            if link.has_weights:
                self.add_value(f"weights:{link.name}", torch.tensor(link.rule.weights, dtype=self.dtype), "weights")
            if link.delays is not None:
                learned_delays.add(self, link.name, link.delays)
        for stage in self.plan.stages:
            self._add_neuron_parameters(stage)
            if stage.batch_norm:
                self.add_module(self._norm_name(stage.name), TickBatchNorm(stage.channels, self.dtype))

        if "delays" in self.learn:
            learned_delays.begin(self)

    # -- making ------------------------------------------------------------------------------------------

    def _choose(self, path: str) -> str:
        reasons = [
            f"population {stage.name!r} is a {type(stage.model).__name__} with receptors or a refractory time that the "
            "compiled sweep does not have"
            for stage in self.plan.stages
            if not stage.fused(self.plan.network.dt)
        ]
        reasons += [f"{kind!r} is learned" for kind in ("threshold", "time_constant") if kind in self.learn]
        if self.surrogate.number is None:
            reasons.append(f"the surrogate {self.surrogate!r} is not compiled")
        if path == "fused" and reasons:
            raise CapabilityError(f"path='fused': {reasons[0]}; path='plain' runs it")
        return "fused" if path != "plain" and not reasons else "plain"

    def add_value(self, name: str, value: Tensor, kind: str) -> None:
        """Keep a value under a name: a parameter where its kind is learned, else a buffer."""
        key = name.replace(".", "_")
        if kind in self.learn:
            if key in self._parameters:
                raise NetworkError(f"two parameters would be named {key!r}; dots in names count as underscores")
            self.register_parameter(key, nn.Parameter(value.contiguous()))
        else:
            self.register_buffer(key, value.contiguous(), persistent=False)

    def _add_neuron_parameters(self, stage: Stage) -> None:
        model = stage.model
        if "bias" in self.learn and hasattr(model, "bias"):
            values = np.broadcast_to(np.asarray(model.bias, np.float64), (stage.size,)).reshape(stage.channels, -1)
            if np.any(values != values[:, :1]):
                raise ParameterError(f"bias of {stage.name!r} differs within a channel; a learned one cannot")
            self.add_value(f"bias:{stage.name}", torch.tensor(values[:, 0].copy(), dtype=self.dtype), "bias")
        if "threshold" in self.learn and hasattr(model, "threshold"):
            self.add_value(f"threshold:{stage.name}", torch.tensor(model.threshold, dtype=self.dtype), "threshold")
        if "time_constant" in self.learn and isinstance(model, (LIF, LI, AdaptiveLIF)):
            tau = np.asarray(model.time_constant)
            if np.any(tau <= 0) or np.any(np.isinf(tau)):
                return  # a plain sum or a plain readout has no time constant to learn
            if any(isinstance(receptor, Exponential) for receptor in model.receptor_list):
                raise CapabilityError(f"time_constant of {stage.name!r}: not learned with exponential receptors")
            # The logarithm keeps it positive and makes a step of the optimiser a relative change.
            value = torch.tensor(np.log(tau / self.plan.network.dt), dtype=self.dtype)
            self.add_value(f"time_constant:{stage.name}", value, "time_constant")

    @staticmethod
    def _norm_name(population: str) -> str:
        return f"norm:{population}".replace(".", "_")

    # -- looking -----------------------------------------------------------------------------------------

    def norm(self, population: str) -> TickBatchNorm:
        """Return the batch norm of a population."""
        module = getattr(self, self._norm_name(population), None)
        if not isinstance(module, TickBatchNorm):
            raise NetworkError(f"population {population!r} has no batch norm")
        return module

    def value(self, kind: str, name: str) -> Tensor | None:
        """Return a parameter or constant such as ``("weights", "input->hidden")``, or None where there is none.

        Weights of `Dense` have shape (sources, targets), of `Conv2d` those of torch, of `Sparse` and `OneToOne` one a
        synapse; `time_constant` is the logarithm of it in ticks.
        """
        found = getattr(self, f"{kind}:{name}".replace(".", "_"), None)
        return found if isinstance(found, Tensor) else None

    def weights(self, projection: str) -> Tensor:
        """Return the weights of a projection."""
        found = self.value("weights", projection)
        if found is None:
            known = ", ".join(name for name, link in self.links.items() if link.has_weights)
            raise NetworkError(f"no projection {projection!r} with weights; there are: {known}")
        return found

    # -- delays ------------------------------------------------------------------------------------------

    @property
    def extension(self) -> int:
        """Ticks that the readout is longer than the input; simulate the network for so much longer."""
        return extensions(self.plan, self.lengthen)[self.plan.output.name]

    def delays(self, projection: str) -> Tensor:
        """Return the delays of a projection in ticks, shape (sources, targets); real numbers while they are learned."""
        found = self.value("delays", projection)
        if found is None:
            known = ", ".join(name for name, link in self.links.items() if link.delays is not None) or "none"
            raise NetworkError(f"no projection {projection!r} with delays; there are: {known}")
        return found

    @property
    def sharpness(self) -> float:
        """How narrow the kernels are: 0 is half their length, 1 a standard deviation of half a tick."""
        return learned_delays.sharpness(self)

    @sharpness.setter
    def sharpness(self, value: float) -> None:
        learned_delays.sharpen(self, value)

    @property
    def hard(self) -> bool:
        """Whether delays are whole ticks for good; see `harden`."""
        return learned_delays.is_hard(self)

    def harden(self) -> None:
        """Round the delays to whole ticks and stop learning them; weights can then be tuned to what will run."""
        learned_delays.harden(self)

    def differentiable_weights(self) -> dict[str, Tensor]:
        """Return the weights of every projection; those of `Sparse` as a matrix (sources, targets).

        In noise-aware training they have the noise of the minibatch.
        """
        result = {}
        for name, link in self.links.items():
            found = self.value("weights", name)
            if found is not None and self.weight_noise is not None and self.training:
                found = self.weight_noise.added(name, found)
            if found is not None:
                result[name] = self._matrix(link, found) if isinstance(link.rule, Sparse) else found
        return result

    @staticmethod
    def _matrix(link: Link, values: Tensor) -> Tensor:
        rule = link.rule
        assert isinstance(rule, Sparse)
        shape = (int(np.prod(link.source_shape)), int(np.prod(link.target_shape)))
        where = (torch.from_numpy(rule.sources), torch.from_numpy(rule.targets.astype(np.int64)))
        return torch.zeros(shape, dtype=values.dtype).index_put(where, values, accumulate=True)

    def of_synapses(self, projection: str, matrix: Tensor) -> Tensor:
        """Return the entries of a matrix (sources, targets) that are synapses of a `Sparse` projection."""
        rule = self.links[projection].rule
        assert isinstance(rule, Sparse)
        return matrix[torch.from_numpy(rule.sources), torch.from_numpy(rule.targets.astype(np.int64))]

    def effective_weights(self) -> dict[str, Tensor]:
        """Return `differentiable_weights` without their graph."""
        with torch.no_grad():
            return {name: value.detach() for name, value in self.differentiable_weights().items()}

    def differentiable_coefficients(self) -> dict[str, Any]:
        """Return the coefficients of every population, as tensors that depend on what is learned."""
        return {stage.name: differentiable(self, stage) for stage in self.plan.stages}

    def coefficient_rows(self, stage: Stage) -> Tensor:
        """Return the coefficients of a population for the compiled sweep, shape (6, neurons)."""
        return coefficient_rows(self, stage)

    def initial_state(self, batch: int) -> State:
        """Return the state of every population before the first tick.

        Returns
        -------
        dict of str to dict of str to Tensor, shape (batch, neurons)
            By population, then ``"membrane"``, ``"current.<receptor>"``, ``"refractory"``.
        """
        state: State = {}
        for stage in self.plan.stages:
            own: dict[str, Tensor] = {}
            for name, value in zip(stage.model.arithmetic.states, stage.model.initial_states(), strict=True):
                row = torch.as_tensor(np.asarray(value, np.float64)).to(self.dtype)
                own[name] = row.expand(batch, stage.size).clone()
            for receptor in stage.model.receptor_list:
                if isinstance(receptor, Exponential):
                    own[f"current.{receptor.name}"] = torch.zeros(batch, stage.size, dtype=self.dtype)
            if stage.model.refractory_ticks(self.plan.network.dt):
                own["refractory"] = torch.zeros(batch, stage.size, dtype=torch.int64)
            state[stage.name] = own
        return state

    # -- running -----------------------------------------------------------------------------------------

    def forward(
        self, inputs: Inputs, state: State | None = None, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, State]:
        """Run all ticks of the inputs and return readout and state; differentiable by BPTT.

        Parameters
        ----------
        inputs : Events or Tensor of shape (batch, ticks, sources), or dict of them by population
        state : dict, optional
            As an earlier call returned it; default `initial_state`. It is not changed, and no gradient passes into it.
        generator : torch.Generator, optional
            Of the dropout masks in training; default one keyed by `seed`.

        Returns
        -------
        readout : Tensor, shape (batch, ticks, classes)
            Membrane of the output population, or its spikes where it fires.
        state : dict
            After the last tick, without gradients.
        """
        return running.forward(self, inputs, state, generator)

    def readout(self, inputs: Inputs, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the readout from rest, shape (batch, ticks, classes); see `forward`."""
        return self(inputs, generator=generator)[0]  # type: ignore[no-any-return]

    def spikes(self, inputs: Inputs, populations: Iterable[str] | str | None = None) -> dict[str, Events]:
        """Return what populations fire from rest, without dropout and with the running batch-norm statistics.

        Parameters
        ----------
        inputs : Inputs
        populations : sequence of str, optional
            Default all that fire.
        """
        wanted = (populations,) if isinstance(populations, str) else populations
        return running.spikes(self, inputs, None if wanted is None else tuple(wanted))

    def network(self) -> Network:
        """Return the network with what was learned: batch norm becomes part of weights and bias, delays whole ticks."""
        return export_network(self)

    def memory_report(self, ticks: int, batch: int, rule: Any) -> MemoryReport:
        """Forecast the memory of a training step before it runs.

        Parameters
        ----------
        ticks, batch : int
        rule : BPTT or SLTT

        Returns
        -------
        MemoryReport
            ``print(...)`` shows it; ``.fits`` compares it with the free memory.
        """
        return report(self, ticks, batch, rule)

    def generator(self, *key: int) -> torch.Generator:
        """Return random numbers keyed by the seed and by some numbers, such as epoch and step."""
        return running.keyed_generator(self.seed, *key)
