"""What is learned of a network, what of it is constant, and the look-ups that engines compute with."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnsim.errors import NetworkError, ParameterError, one_of
from snnsim.neurons import Exponential
from snnsim.scores import SCORES
from snnsim.training.parameters.attached import Chip, WeightNoise
from snnsim.training.parameters.batch_norm import TickBatchNorm
from snnsim.training.parameters.delay_schedule import Kernel, kernel_width
from snnsim.training.parameters.finite import refuse_any_not_finite
from snnsim.training.parameters.hooks import refuse_hooks, work_out
from snnsim.training.parameters.neuron_parameters import learned_parameters
from snnsim.training.parameters.plan import LEAKY_MODELS, Delays, Plan, Stage, extensions
from snnsim.training.parameters.random_numbers import keyed_generator
from snnsim.training.parameters.settings import plain_number
from snnsim.training.parameters.surrogates import Surrogate
from snnsim.training.parameters.values import KeptValues, Values, refuse_out_of_range

#: What can be learned, apart from batch norm.
LEARNABLE = ("weights", "delays", "bias", "threshold", "time_constant")
#: State of every population, by its name and that of the state, each of shape (batch, neurons).
State = dict[str, dict[str, Tensor]]


class NetworkParameters(KeptValues):
    """What of a network is learned and how it is computed, below the engines that compute it.

    Parameters
    ----------
    plan : Plan
    learn : tuple of str
        Of `LEARNABLE`.
    surrogate : Surrogate
    dtype : torch.dtype
    seed : int
        Key of the default generators.
    path : {"fused", "plain"}
        The engine: compiled, or autograd.
    whole_samples : bool
        Whether samples are computed whole, a layer at a time: delays and batch norm over the sequence need it.
    lengthen : {"end", "layer"}
        How long each population runs on after a sample; see `snnsim.training.parameters.plan.extensions`.

    Raises
    ------
    ParameterError
        Nothing in the network has what is to be learned.
    """

    draws: Tensor
    real_values: Tensor
    score_number: Tensor
    #: Sharpness of the kernels, and whether the delays are hard; None where no delays are learned.
    delay_progress: Tensor | None

    def __init__(
        self,
        plan: Plan,
        learn: tuple[str, ...],
        *,
        surrogate: Surrogate,
        dtype: torch.dtype,
        seed: int,
        path: str,
        whole_samples: bool,
        lengthen: str,
    ) -> None:
        super().__init__(dtype)
        self.plan, self.learn, self.surrogate, self.seed = plan, learn, surrogate, seed
        self.path, self.whole_samples, self.lengthen = path, whole_samples, lengthen
        #: Whether evaluation keeps the kernels of training in place of delays rounded to ticks.
        self.soft_delays = False
        #: The chip that computes some projections, and noise on the weights; see `in_the_loop` and `noise_aware`.
        self.chip: Chip | None = None
        self.weight_noise: WeightNoise | None = None
        #: Projections whose delays `harden` has frozen; those that were frozen before stay so.
        self.hardened: set[str] = set()
        #: Projections by name.
        self.links = {link.name: link for stage in plan.stages for link in stage.links}
        #: By how many ticks each population runs on after the input has ended.
        self.extensions = extensions(plan, lengthen)
        #: Inputs that were given counts of events as real values.
        self.seen_counts: set[str] = set()
        #: What is worked out once: coefficients of which nothing is learned, first states.
        self.constants: dict[tuple[Any, ...], Any] = {}
        for link in self.links.values():
            if link.has_weights:
                self.keep(f"weights:{link.name}", torch.tensor(link.rule.weights, dtype=dtype), "weights" in learn)
            if link.delays is not None:
                self._keep_delays(link.name, link.delays)
        for stage in plan.stages:
            for key, value, ends in learned_parameters(stage, learn, plan.network.dt, dtype):
                self.keep(key, value, True, *ends)
            if stage.batch_norm:
                self.add_module(self.free_attribute(f"norm:{stage.name}"), TickBatchNorm(stage.channels, dtype))
        #: Populations that the kernels of leaky membranes sweep: nothing but their bias is learned. Other sweeps are
        #: made of their models' own arithmetic.
        self.leaky = frozenset(
            stage.name
            for stage in plan.stages
            if type(stage.model) in LEAKY_MODELS
            and not any(f"{kind}:{stage.name}" in self.kept for kind in ("threshold", "time_constant"))
        )
        for kind in ("bias", "threshold", "time_constant"):  # weights are asked for by default, delays are below
            if kind in learn and not any(key.startswith(f"{kind}:") for key in self.kept):
                raise ParameterError(f"learn={kind!r}: nothing in the network has one that could be learned")
        self.register_buffer("delay_progress", self._first_progress())
        if self.delay_progress is not None:
            self.register_load_state_dict_post_hook(_after_loading)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(refuse_out_of_range)  # type: ignore[no-untyped-call]
        #: Calls that have drawn random numbers of their own: the key of the next ones, saved with the model.
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        #: Place in `SCORES` of the score that the network answers by.
        self.register_buffer("score_number", torch.tensor(SCORES.index(plan.network.score)))
        #: For each input, whether the network has learned from real values that no events could have been.
        self.register_buffer("real_values", torch.zeros(len(plan.inputs), dtype=torch.bool))

    # -- values ------------------------------------------------------------------------------------------

    def norm(self, population: str) -> TickBatchNorm:
        """Return the batch norm of a population."""
        module = getattr(self, f"norm:{population}".replace(".", "_"), None)
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

    def look_up(self) -> Values:
        """Return all values, with factor and shift of every batch norm; its running statistics are checked, too."""
        values = super().look_up()
        for stage in self.plan.stages:
            if not stage.batch_norm:
                continue
            norm, where = self.norm(stage.name), f"the batch norm of {stage.name!r}"
            refuse_hooks(norm, where)
            work_out(norm)
            values |= {f"norm:{stage.name}.{name}": getattr(norm, name) for name in ("weight", "bias")}
            every = ("weight", "bias", "running_mean", "running_variance")
            refuse_any_not_finite({f"{name} of {where}": getattr(norm, name) for name in every})
        return values

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

    @property
    def real_inputs(self) -> tuple[str, ...]:
        """Inputs at which the network has learned from real values that no events could have been."""
        return tuple(name for name, real in zip(self.plan.inputs, self.real_values.tolist(), strict=True) if real)

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
        return 1.0 if self.delay_progress is None else float(self.delay_progress[0])

    @sharpness.setter
    def sharpness(self, value: float) -> None:
        if self.delay_progress is None:
            raise ParameterError("sharpness: no delays are learned")
        given = plain_number(value)
        number = float(given) if isinstance(given, Real) else math.nan
        if not 0.0 <= number <= 1.0:
            raise ParameterError(f"sharpness={given!r}: must lie in 0 ... 1")
        self.delay_progress[0] = number

    @property
    def hard(self) -> bool:
        """Whether delays are whole ticks for good; see `harden`."""
        return self.delay_progress is None or bool(self.delay_progress[1])

    def harden(self) -> None:
        """Round the delays to whole ticks and stop learning them; weights can then be tuned to what will run."""
        if self.delay_progress is not None:
            self.delay_progress[1] = 1.0
            self.freeze_or_free_delays()

    def has_whole_delays(self, projection: str) -> bool:
        """Whether the next call uses the delays of a projection rounded to ticks."""
        found = self.links[projection].delays
        assert found is not None
        return found.kernel is None or self.hard or not (self.training or self.soft_delays)

    def delays_now(self, projection: str, delays: Tensor) -> tuple[Tensor, Kernel, float]:
        """Return delays, kernel and width of a projection as a call uses them.

        Parameters
        ----------
        projection : str
        delays : Tensor, shape (sources, targets)
            As they were looked up: in their range.

        Returns
        -------
        delays : Tensor, shape (sources, targets)
        kernel : {"gauss", "triangle", "two_tap", "whole"}
            ``"whole"`` stands for delays rounded to ticks.
        width : float
            Standard deviation of the Gaussian or half-width of the triangle, in ticks.
        """
        found = self.links[projection].delays
        assert found is not None
        if found.kernel is None or self.has_whole_delays(projection):
            return delays.detach().round(), "whole", 1.0
        return delays, found.kernel, kernel_width(found.kernel, found.longest, self.sharpness)

    def freeze_or_free_delays(self) -> None:
        """Make the delays what `hard` says: whole and constant, or free to be learned again."""
        hard = self.hard
        for name, link in self.links.items():
            value = self.delays(name) if link.delays is not None and link.delays.kernel is not None else None
            if not isinstance(value, nn.Parameter):
                continue  # worked out from parameters of others, which are theirs to freeze
            if hard:
                with torch.no_grad():
                    value.round_()
                if value.requires_grad:
                    self.hardened.add(name)
            if name in self.hardened:
                value.requires_grad_(not hard)
        if not hard:
            self.hardened.clear()

    def _keep_delays(self, projection: str, delays: Delays) -> None:
        """Keep the delays of a projection: as they are where they are learned, else rounded."""
        ticks = torch.tensor(delays.ticks, dtype=self.dtype)
        learned = "delays" in self.learn and delays.kernel is not None
        key, high = f"delays:{projection}", float(delays.longest)
        self.keep(key, ticks if learned else ticks.round(), learned, low=0.0, high=high)

    def _first_progress(self) -> Tensor | None:
        if "delays" not in self.learn:
            return None
        if not any(link.delays is not None and link.delays.kernel for link in self.links.values()):
            raise ParameterError("learn='delays': no projection has delay=Learnable(maximum=...)")
        return torch.zeros(2, dtype=torch.float64)

    # -- calls -------------------------------------------------------------------------------------------

    def initial_state(self, batch: int) -> State:
        """Return the state of every population before the first tick.

        Returns
        -------
        dict of str to dict of str to Tensor, shape (batch, neurons)
            By population, then ``"membrane"``, ``"current.<receptor>"``, ``"refractory"``.
        """
        key = ("first states", self.dtype)
        if key not in self.constants:
            self.constants[key] = {stage.name: self._first_states(stage) for stage in self.plan.stages}
        first: State = self.constants[key]
        return {
            population: {name: row.expand(batch, -1).clone() for name, row in own.items()}
            for population, own in first.items()
        }

    def _first_states(self, stage: Stage) -> dict[str, Tensor]:
        """Return the states of a population before the first tick, each of shape (neurons,)."""
        states: dict[str, Tensor] = {}
        with torch.inference_mode(False):  # or no graph could take them afterwards
            for name, value in zip(stage.model.arithmetic.states, stage.model.initial_states(), strict=True):
                states[name] = torch.tensor(np.asarray(value, np.float64)).to(self.dtype).expand(stage.size)
            for receptor in stage.model.receptor_list:
                if isinstance(receptor, Exponential):
                    states[f"current.{receptor.name}"] = torch.zeros(stage.size, dtype=self.dtype)
            if stage.model.refractory_ticks(self.plan.network.dt):
                states["refractory"] = torch.zeros(stage.size, dtype=torch.int64)
        return states

    def generator(self, *key: int) -> torch.Generator:
        """Return random numbers keyed by the seed and by some numbers, such as epoch and step."""
        return keyed_generator(self.seed, *key)

    def next_generator(self) -> torch.Generator:
        """Return random numbers of its own for a call in training: keyed by the seed and by the calls so far."""
        generator = self.generator(int(self.draws))
        self.draws.add_(1)
        return generator


def _after_loading(model: NetworkParameters, _: Any) -> None:
    model.freeze_or_free_delays()
