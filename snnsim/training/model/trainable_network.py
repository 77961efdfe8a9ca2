"""A network with learned parameters: a torch module over a description, which it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from snnsim.backends.contract.memory import check_room
from snnsim.backends.contract.precision import check_precision
from snnsim.connectivity import Dense
from snnsim.errors import CapabilityError, NetworkError, ParameterError, one_of
from snnsim.events import Events
from snnsim.network.network import Network
from snnsim.neurons import Exponential
from snnsim.scores import SCORES
from snnsim.training.compute.call import State
from snnsim.training.compute.spike_lists import Inputs, sample_lengths
from snnsim.training.compute.workspace import Workspace
from snnsim.training.fused.tick_norm import TickBatchNorm
from snnsim.training.model import passes as running
from snnsim.training.model.export import export_network
from snnsim.training.model.memory import MemoryReport, report
from snnsim.training.parameters import delay_parameters as learned_delays
from snnsim.training.parameters.neuron_parameters import learned_parameters
from snnsim.training.parameters.plan import make_plan, refuse_frames
from snnsim.training.parameters.settings import flag, names, seed_of, shares
from snnsim.training.parameters.surrogates import Surrogate, Triangle
from snnsim.training.parameters.values import Kept, computed_in, refuse_out_of_range
from snnsim.training.rules.losses import scores_of

if TYPE_CHECKING:
    from snnsim.training.chips.in_the_loop import OnChip
    from snnsim.training.chips.noise_aware import WeightNoise

#: What can be learned, apart from batch norm.
LEARNABLE = ("weights", "delays", "bias", "threshold", "time_constant")


class TrainableNetwork(nn.Module):
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

    draws: Tensor
    real_values: Tensor
    score_number: Tensor

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
        super().__init__()
        if not isinstance(net, Network):
            raise ParameterError(f"net={net!r}: expected a Network")
        one_of("dtype", dtype, ("float32", "float64"))
        one_of("path", path, ("auto", "fused", "plain"))
        self.learn = names("learn", learn)
        for kind in self.learn:
            one_of("learn", kind, LEARNABLE)
        one_of("lengthen", lengthen, ("end", "layer"))
        self.lengthen = lengthen
        normed = names("batch_norm", batch_norm)
        pairs = sum(one.expected for one in net.connections if isinstance(one.rule, Dense))
        needed = {"weights": round(pairs * (8 + np.dtype(dtype).itemsize))}
        check_room("TrainableNetwork", needed, "Train fewer neurons, or Sparse projections")
        self.plan = make_plan(net, normed, shares("dropout", dropout), output)
        check_precision(self.plan.network, dtype)
        one_of("batch_norm_over", batch_norm_over, ("auto", "tick", "sequence"))
        if batch_norm_over == "tick" and self.plan.delayed and normed:
            raise CapabilityError("batch_norm_over='tick': a network with delays is normalised over the sequence")
        #: Whether samples are computed whole, a layer at a time: delays and batch norm over the sequence need it.
        self.whole_samples = self.plan.delayed or batch_norm_over == "sequence"
        if self.whole_samples:
            refuse_frames(self.plan)
        self.surrogate = Triangle() if surrogate is None else surrogate
        if not isinstance(self.surrogate, Surrogate):
            raise ParameterError(f"surrogate={surrogate!r}: expected a Surrogate such as Triangle()")
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.seed = net.seed if seed is None else seed_of("seed", seed)
        self.path = self._choose(path)
        #: Whether evaluation keeps the kernels of training in place of delays rounded to ticks.
        self.soft_delays = False
        #: Work buffers of the fast path, which `workspace.release()` gives back, and the lock of the model.
        self.workspace = Workspace()
        #: The chip that computes some projections, and noise on the weights; see `in_the_loop` and `noise_aware`.
        self.chip: OnChip | None = None
        self.weight_noise: WeightNoise | None = None
        #: Projections whose delays `harden` has frozen; those that were frozen before stay so.
        self.hardened: set[str] = set()
        #: Projections by name.
        self.links = {link.name: link for stage in self.plan.stages for link in stage.links}
        #: Inputs that were given counts of events as real values.
        self.seen_counts: set[str] = set()
        #: Coefficients of neurons of which nothing is learned.
        self.constants: dict[tuple[Any, ...], Any] = {}
        #: Where weights, delays, biases, thresholds and time constants are, by kind and name.
        self.kept: dict[str, Kept] = {}
        for link in self.links.values():
            if link.has_weights:
                weights = torch.tensor(link.rule.weights, dtype=self.dtype)
                self.keep(f"weights:{link.name}", weights, "weights" in self.learn)
            if link.delays is not None:
                learned_delays.add(self, link.name, link.delays)
        for stage in self.plan.stages:
            for key, value, ends in learned_parameters(stage, self.learn, self.plan.network.dt, self.dtype):
                self.keep(key, value, True, *ends)
            if stage.batch_norm:
                self.add_module(self._free(self._norm_name(stage.name)), TickBatchNorm(stage.channels, self.dtype))
        for kind in ("bias", "threshold", "time_constant"):
            if kind in self.learn and not any(key.startswith(f"{kind}:") for key in self.kept):
                raise ParameterError(f"learn={kind!r}: nothing in the network has one that could be learned")
        if "delays" in self.learn:
            learned_delays.begin(self)
        self.register_load_state_dict_pre_hook(refuse_out_of_range)  # type: ignore[no-untyped-call]
        #: Calls that have drawn random numbers of their own: the key of the next ones, saved with the model.
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        #: Place in `SCORES` of the score that the network answers by.
        self.register_buffer("score_number", torch.tensor(SCORES.index(net.score)))
        #: For each input, whether the network has learned from real values that no events could have been.
        self.register_buffer("real_values", torch.zeros(len(self.plan.inputs), dtype=torch.bool))

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

    def keep(self, key: str, value: Tensor, learned: bool, low: Any = None, high: Any = None) -> None:
        """Keep a value, such as ``"weights:input->hidden"``, in its range: a parameter where learned, else a buffer."""
        attribute = self._free(key.replace(".", "_"))
        if learned:
            self.register_parameter(attribute, nn.Parameter(value.contiguous()))
        else:
            self.register_buffer(attribute, value.contiguous())
        self.kept[key] = Kept(attribute, value.shape, low, high)

    def bring_back(self) -> None:
        """Move what a step of an optimiser has taken out of its range back to the end of it."""
        for kept in self.kept.values():
            kept.of(self)

    def _free(self, attribute: str) -> str:
        if hasattr(self, attribute):
            raise NetworkError(f"two parameters would be named {attribute!r}; dots in names count as underscores")
        return attribute

    @staticmethod
    def _norm_name(population: str) -> str:
        return f"norm:{population}".replace(".", "_")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow ``double()`` and ``float()``; what the kernels do not have is refused before anything is changed."""
        dtype = computed_in(self, fn)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.dtype = dtype
        return self

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
        synapse; `time_constant` is the logarithm of it in ticks. It is in its range
        (`snnsim.training.parameters.values`).
        """
        kept = self.kept.get(f"{kind}:{name}")
        return None if kept is None else kept.of(self)

    def weights(self, projection: str) -> Tensor:
        """Return the weights of a projection."""
        found = self.value("weights", projection)
        if found is None:
            known = ", ".join(name for name, link in self.links.items() if link.has_weights)
            raise NetworkError(f"no projection {projection!r} with weights; there are: {known}")
        return found

    @property
    def score(self) -> str:
        """The score by which the network answers, one of `snnsim.scores.SCORES`; a loss of a score sets it."""
        return SCORES[int(self.score_number)]

    @score.setter
    def score(self, score: str) -> None:
        one_of("score", score, SCORES)
        self.score_number.fill_(SCORES.index(score))

    # -- delays ------------------------------------------------------------------------------------------

    @property
    def extension(self) -> int:
        """Ticks that the readout of a sample is longer than the sample; see `Network.extension_ticks`."""
        return self.plan.extension

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
                row = torch.tensor(np.asarray(value, np.float64)).to(self.dtype)
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
        inputs : Events or Tensor of shape (batch, ticks, sources), or dict of them by population
            A Tensor that requires a gradient gets one: layers of torch can stand in front.
        state : dict, optional
            As an earlier call returned it; default `initial_state`. It is not changed, and no gradient passes into it.
        generator : torch.Generator, optional
            Of dropout and noise in training; default one keyed by `seed` and by the number of calls so far.
        detach_reset : bool
            Let no gradient pass through the spike in the reset.
        lengths : Tensor of int64, shape (batch,), optional
            Ticks of each sample where the inputs are Tensors, such as padded ones; Events bring their own.

        Returns
        -------
        readout : Tensor, shape (batch, ticks, classes)
            Membrane of the output population, or its spikes where it fires; as many ticks as the inputs and the
            extension have.
        state : dict
            After the last tick, without gradients.
        """
        return running.forward(self, inputs, state, generator, not flag("detach_reset", detach_reset), lengths)

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
        return running.spikes(self, inputs, None if populations is None else names("populations", populations))

    def network(self, *, inputs: str | None = None) -> Network:
        """Return the network with what was learned: batch norm becomes part of weights and bias, delays whole ticks.

        Parameters
        ----------
        inputs : "events", optional
            Say that the network will be given events, where it has learned from real values.

        Raises
        ------
        CapabilityError
            It has learned from real values, which no backend takes, and nothing was said.
        """
        one_of("inputs", inputs, (None, "events"))
        if inputs is None and self.real_inputs:
            raise CapabilityError(
                f"network: it has learned from real values at {', '.join(map(repr, self.real_inputs))}, and backends "
                "take events: what turns the values into drives or spikes is not part of the network. "
                "network(inputs='events') returns it for events all the same"
            )
        return export_network(self)

    @property
    def real_inputs(self) -> tuple[str, ...]:
        """Inputs at which the network has learned from real values that no events could have been."""
        return tuple(name for name, real in zip(self.plan.inputs, self.real_values.tolist(), strict=True) if real)

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

    def next_generator(self) -> torch.Generator:
        """Return random numbers of its own for a call in training: keyed by the seed and by the calls so far."""
        generator = self.generator(int(self.draws))
        self.draws.add_(1)
        return generator
