"""Values at the ends of their ranges and beyond, in all places at once: an error of our own, or a run with numbers.

No error of Python's own, no warning of NumPy (warnings are errors), and no NaN in silence.
"""

import numpy as np
import pytest

import snnsim as sn
from snnsim.errors import SnnsimError

ENDS = [
    *(0.0, -0.0, 1.0, -1.0, 1e-3, -1e-3, 1e-9, 1e-30, -1e-30, 5e-324, 1e-308, 1e30, 1e38, 3.4e38, 1e39, 1e154, 1e300),
    *(-1e300, 1.7e308, np.inf, -np.inf, np.nan, 1e9, 1e20, -65e-3, 2**31, 10**400, None, "x", np.float32(0.1)),
    *(np.int64(3), True, [0.1, 0.2, 0.3], np.array([1.0, 2.0, 3.0]), np.array([0.02, np.inf, 0.0]), (1,)),
]
USUAL = [20e-3, 5e-3, 1.0, 0.5, 0.1, 0.0]


class Chance:
    """Draws parts of networks, with a value from the ends here and there."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def of(self, options):
        return options[int(self.random.integers(len(options)))]

    def value(self, share=0.3):
        return self.of(ENDS if self.random.random() < share else USUAL)

    def some(self, *names):
        return {name: self.value() for name in names if self.random.random() < 0.35}

    def model(self):
        membrane = ("time_constant", "rest", "bias", "initial")
        fires = {"reset": self.of(["subtract", "zero", self.value()]), "strict": self.of([True, False])}
        how = {"integration": self.of(["exact", "euler"])}
        leaky = how | {"decay_input": self.of([True, False])}
        receptor = self.of([sn.Delta, lambda: sn.Exponential(self.value()), lambda: sn.Alpha(self.value())])()
        return self.of(
            [
                lambda: sn.LIF(**self.some(*membrane, "threshold", "refractory"), **fires, **leaky, receptors=receptor),
                lambda: sn.LI(**self.some(*membrane), **leaky, receptors=receptor),
                lambda: sn.IF(**self.some("threshold", "bias", "initial", "refractory"), **fires),
                lambda: sn.AdaptiveLIF(
                    **self.some(*membrane, "threshold", "adaptation", "adaptation_time_constant"), **fires, **leaky
                ),
                lambda: sn.HomeostaticLIF(
                    **self.some(*membrane, "threshold", "target_rate", "rise", "refractory"), **how
                ),
                lambda: sn.ConductanceLIF(
                    sn.Conductance(self.value(), self.value()), **self.some(*membrane, "threshold", "reset"), **how
                ),
            ]
        )()

    def values(self):
        bounds = self.some("low", "high")
        return self.of(
            [
                self.value,
                lambda: sn.Normal(self.value(), self.value(), **bounds),
                lambda: sn.LogNormal(self.value(), self.value()),
                lambda: sn.Uniform(self.value(), self.value()),
                lambda: sn.Kaiming(self.value()),
            ]
        )()

    def rule(self):
        return self.of(
            [
                lambda: sn.Dense(self.values()),
                lambda: sn.OneToOne(self.values()),
                lambda: sn.FixedProbability(self.value(0.2), self.values()),
                lambda: sn.FixedInDegree(2, self.values(), self_connections=False),
                lambda: sn.FixedTotalNumber(5, self.values()),
                lambda: sn.Sparse([0, 1], [1, 2], self.values()),
            ]
        )()

    def plasticity(self):
        numbers = [self.value(0.2) for _ in range(4)]
        bounds = self.some("minimum", "maximum") | {"weight_dependence": self.of(["additive", "multiplicative"])}
        normalisation = self.of([None, lambda: sn.Normalisation(self.value(), self.value())])
        bounds["normalisation"] = normalisation and normalisation()
        return self.of([sn.STDP, sn.TripletSTDP, sn.RewardModulatedSTDP])(*numbers, **bounds)

    def network(self):
        source = self.of([sn.Poisson, lambda rate: sn.Scripted([0.0, rate], [0, 1])])(self.value(0.2))
        drive = self.of([(), (), lambda: sn.PoissonDrive(self.value(0.2), self.value(0.2))])
        delay = self.of([1e-3, 1e-3, self.values])
        plasticity = self.of([None, None, None, self.plasticity])
        populations = [
            sn.Population("in", 3, source),
            sn.Population("cells", 3, self.model(), drive() if callable(drive) else drive),
        ]
        delay = delay() if callable(delay) else delay
        projection = sn.Projection("in", "cells", self.rule(), delay=delay, plasticity=plasticity and plasticity())
        return sn.Network(populations, [projection], dt=self.of([1e-3, 1e-3, 1e-3, 1e-4, self.value(0.8)]))


@pytest.mark.parametrize("seed", range(8))
def test_ends_of_ranges_end_in_errors_of_our_own_or_in_numbers(seed):
    chance, outcomes = Chance(seed), {"runs": 0, "errors": 0}
    for _ in range(150):
        try:
            network = chance.network()
            if network.connection(network.projections[0]).longest_delay > 10**5:
                continue
            simulation = sn.Simulation(network, "reference", dtype=chance.of(["float32", "float64"]))
            trace = simulation.run(10 * network.dt, record=sn.Trace("cells")).traces["cells.membrane"]
        except SnnsimError:
            outcomes["errors"] += 1
            continue
        assert np.all(np.isfinite(trace)), (network.populations[1], network.projections)
        outcomes["runs"] += 1
    assert min(outcomes.values()) > 10


def test_numbers_of_numpy_are_as_good_as_those_of_python():
    """A float32 among the settings must not make the rest of the arithmetic float32."""
    for number in (np.float32(0.3), np.float64(0.3)):
        plain = float(number)
        for make in (
            lambda x: sn.Normal(x, x, low=x - 1),
            lambda x: sn.LogNormal(x, x),
            lambda x: sn.Uniform(-x, x),
            lambda x: sn.Kaiming(x),
        ):
            one, other = make(number), make(plain)
            assert one == other
            assert one.draw(50, 1, 2, 3.0).tolist() == other.draw(50, 1, 2, 3.0).tolist()
        for receptor in (sn.Exponential, sn.Alpha):
            one, other = (sn.LIF(receptors=receptor(x)) for x in (number, plain))
            assert one.receptor_coefficients(one.receptors[0], 1e-3) == other.receptor_coefficients(
                other.receptors[0], 1e-3
            )
        matrices = [
            sn.FixedProbability(x, 1.0).synapses((50,), (40,), sn.connectivity.Key(1, "x")) for x in (number, plain)
        ]
        assert np.array_equal(*(matrix.targets for matrix in matrices))
