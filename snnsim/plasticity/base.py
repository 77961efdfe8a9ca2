r"""What a plasticity rule is: how pairs and triplets of spikes change the weight of a synapse.

Every rule here is driven by traces that jump at spikes and decay in between (Morrison, Diesmann and Gerstner 2008,
doi:10.1007/s00422-008-0233-1). A synapse sees one or two traces of its presynaptic neuron, r₁ and r₂, and of its
postsynaptic neuron, o₁ and o₂:

.. math::
    \text{pre arrives:}\quad  w \leftarrow w - f_-(w)\, o_1 \, (A_2^- + A_3^- r_2), \qquad r_k \leftarrow r_k + 1

.. math::
    \text{post fires:}\quad  w \leftarrow w + f_+(w)\, r_1 \, (A_2^+ + A_3^+ o_2), \qquad o_k \leftarrow o_k + 1

where r₂ and o₂ are read before they jump. With ``pairing="nearest"`` a trace jumps to 1 instead of by 1, so that only
the nearest spike counts. Additive rules have :math:`f_\pm = 1`; multiplicative ones :math:`f_+ = w_{max} - w` and
:math:`f_- = w - w_{min}` (van Rossum, Bi and Turrigiano 2000, doi:10.1523/JNEUROSCI.20-23-08812.2000; the exponents
0 and 1 of Gütig et al. 2003, doi:10.1523/JNEUROSCI.23-09-03697.2003). Each change ends with a cut at the bounds.

Delays are axonal: the presynaptic spike acts at the synapse when it arrives. Within a tick arrivals come before
postsynaptic spikes. See docs/plasticity.md.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snnsim.errors import ParameterError, exactly, one_of, positive
from snnsim.plasticity.normalisation import Normalisation

DEPENDENCES = ("additive", "multiplicative")
PAIRINGS = ("all", "nearest")
#: Ticks of the longest time constant: 44 of them, after which nothing is left of a trace, fit in 30 bits.
LONGEST_TIME_CONSTANT = 2 * 10**7


class Coefficients(NamedTuple):
    """The numbers of a rule: amplitudes of pairs and triplets, and the bounds of the weight."""

    pair_potentiation: Any
    triplet_potentiation: Any
    pair_depression: Any
    triplet_depression: Any
    minimum: Any
    maximum: Any


class PlasticityRule(ABC):
    """Base of all plasticity rules; concrete rules are frozen dataclasses."""

    minimum: float
    maximum: float
    weight_dependence: str
    pairing: str
    normalisation: Normalisation | None

    @property
    @abstractmethod
    def coefficients(self) -> Coefficients:
        """Amplitudes and bounds, in float64."""

    @property
    @abstractmethod
    def pre_time_constants(self) -> tuple[float, ...]:
        """Seconds of the presynaptic traces r₁ and, where the rule has it, r₂."""

    @property
    @abstractmethod
    def post_time_constants(self) -> tuple[float, ...]:
        """Seconds of the postsynaptic traces o₁ and, where the rule has it, o₂."""

    @property
    def eligibility(self) -> float | None:
        """Seconds of the eligibility that the rule changes in place of the weight; None where it has none."""
        return None

    @property
    def learned_bounds(self) -> tuple[float, float]:
        """Least and greatest weight that a run learns, in float32 or float64: the bounds, rounded outwards."""
        c = self.coefficients
        return min(c.minimum, _in_float32(c.minimum)), max(c.maximum, _in_float32(c.maximum))

    def check_times(self, dt: float, where: str) -> None:
        """Raise `ParameterError` where a time does not go with ticks of `dt` seconds."""
        own = () if self.eligibility is None else (self.eligibility,)
        for time_constant in (*self.pre_time_constants, *self.post_time_constants, *own):
            if time_constant / dt > LONGEST_TIME_CONSTANT:
                raise ParameterError(
                    f"{where}: {type(self).__name__}: a time constant of {time_constant:g} s is more than "
                    f"{LONGEST_TIME_CONSTANT:.0e} ticks of {dt:g} s; choose a shorter one or a coarser dt"
                )
        if self.normalisation is not None:
            self.normalisation.ticks(dt, where)

    def window(self, differences: ArrayLike, weight: float | None = None) -> NDArray[np.float64]:
        """Return how much one pair of spikes changes a weight (with a reward rule: the eligibility).

        Parameters
        ----------
        differences : array_like
            Seconds from the arrival of the presynaptic spike to the postsynaptic spike; negative where the
            postsynaptic neuron fired first.
        weight : float, optional
            The weight before; multiplicative rules depend on it. Default halfway between the bounds.

        Returns
        -------
        ndarray of float64, in the shape of `differences`

        Examples
        --------
        >>> from snnsim import STDP
        >>> STDP(potentiation=1.0, depression=0.5).window([-20e-3, 0.0, 20e-3]).round(3)
        array([-0.184,  1.   ,  0.368])
        """
        seconds = np.asarray(differences, np.float64)
        c = self.coefficients
        up, down = 1.0, 1.0
        if self.weight_dependence == "multiplicative":
            weight = (c.minimum + c.maximum) / 2 if weight is None else float(weight)
            low, high = self.learned_bounds
            if not low <= weight <= high:
                raise ParameterError(
                    f"weight={weight!r}: must lie within the bounds {exactly(c.minimum)} and {exactly(c.maximum)}"
                )
            up, down = max(c.maximum - weight, 0.0), max(weight - c.minimum, 0.0)
        elapsed = np.abs(seconds)
        potentiation = up * c.pair_potentiation * np.exp(-elapsed / self.pre_time_constants[0])
        depression = down * c.pair_depression * np.exp(-elapsed / self.post_time_constants[0])
        return np.asarray(np.where(seconds >= 0, potentiation, -depression), np.float64)

    def describe(self) -> str:
        """Return the rule and the parameters that differ from the default, in one line."""
        parts = []
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value != field.default:
                shown = f"{value:.4g}" if isinstance(value, float) else str(value)
                parts.append(f"{field.name}={shown}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def _check(self, amplitudes: tuple[str, ...], time_constants: tuple[str, ...]) -> None:
        """Check the fields that all rules have, and those named."""
        kind = type(self).__name__
        for name in amplitudes:
            object.__setattr__(self, name, _number(f"{kind} {name}", getattr(self, name)))
        for name in time_constants:
            positive(f"{kind} {name}", getattr(self, name))
            object.__setattr__(self, name, float(getattr(self, name)))
        one_of(f"{kind} weight_dependence", self.weight_dependence, DEPENDENCES)
        one_of(f"{kind} pairing", self.pairing, PAIRINGS)
        for name in ("minimum", "maximum"):
            # Without dependence on the weight a bound may be left out; a multiplicative rule takes distances to it.
            infinite = self.weight_dependence == "additive"
            object.__setattr__(self, name, _number(f"{kind} {name}", getattr(self, name), infinite=infinite))
        if not self.minimum < self.maximum:
            raise ParameterError(
                f"{kind}: minimum={exactly(self.minimum)} must be below maximum={exactly(self.maximum)}"
            )
        if self.normalisation is not None and not isinstance(self.normalisation, Normalisation):
            raise ParameterError(f"{kind} normalisation={self.normalisation!r}: expected Normalisation(total, every)")


def _in_float32(bound: float) -> float:
    """Return a bound as it stands in a run in float32."""
    return float(np.float32(bound)) if abs(bound) < float(np.finfo(np.float32).max) else bound


def _number(name: str, value: Any, *, infinite: bool = False) -> float:
    """Return a number as float, or raise `ParameterError`."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ParameterError(f"{name}={value!r}: must be a number") from error
    if np.isnan(number) or (np.isinf(number) and not infinite):
        raise ParameterError(f"{name}={value!r}: must be finite")
    return number
