"""Plasticity rules as descriptions: their windows, what they refuse, how they are shown and kept."""

import dataclasses

import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    STDP,
    Conv2d,
    Dense,
    FixedProbability,
    Input,
    Network,
    Normalisation,
    Population,
    Projection,
    RewardModulatedSTDP,
    Sparse,
    TripletSTDP,
    Uniform,
)
from snnsim.errors import NetworkError, ParameterError
from snnsim.plasticity import PLASTICITY

DT = 1e-3


def network(rule, connectivity=None, delay=DT, model=None, shape=4):
    """Return two populations with one plastic projection."""
    return Network(
        [Population("in", shape, Input()), Population("out", shape, model or LIF())],
        [Projection("in", "out", connectivity or Dense(0.5), delay=delay, plasticity=rule)],
        dt=DT,
    )


# -- the window ------------------------------------------------------------------------------------------------


def test_window_of_pairs():
    """Song, Miller and Abbott 2000: A+ exp(-dt/tau+) for pre before post, -A- exp(dt/tau-) after."""
    rule = STDP(0.02, 0.03, potentiation_time_constant=10e-3, depression_time_constant=40e-3)
    np.testing.assert_allclose(rule.window([0.0, 10e-3, 20e-3]), 0.02 * np.exp([0.0, -1.0, -2.0]), rtol=1e-12)
    np.testing.assert_allclose(rule.window([-40e-3, -80e-3]), -0.03 * np.exp([-1.0, -2.0]), rtol=1e-12)
    assert rule.window(-1e-9) == pytest.approx(-0.03)


def test_window_of_a_multiplicative_rule_depends_on_the_weight():
    rule = STDP(0.1, 0.2, minimum=1.0, maximum=5.0, weight_dependence="multiplicative")
    assert rule.window(0.0, weight=5.0) == 0.0
    assert rule.window(0.0, weight=1.0) == pytest.approx(0.4)
    assert rule.window(0.0) == pytest.approx(0.2)
    assert rule.window(-20e-3, weight=2.0) == pytest.approx(-0.2 * np.exp(-1.0))
    with pytest.raises(ParameterError, match=r"weight=7\.0.*between|weight=7\.0.*bounds 1 and 5"):
        rule.window(0.0, weight=7.0)


def test_a_single_pair_of_the_minimal_visual_cortex_model_only_depresses():
    """A2+ is zero there: potentiation takes a second postsynaptic spike."""
    window = TripletSTDP.visual_cortex().window([-10e-3, 10e-3])
    np.testing.assert_allclose(window, [-7.1e-3 * np.exp(-10 / 33.7), 0.0], rtol=1e-12)
    assert TripletSTDP.visual_cortex() == TripletSTDP()


def test_published_values_of_the_hippocampal_model():
    rule = TripletSTDP.hippocampus(maximum=2.0)
    assert rule.coefficients == (5.3e-3, 8e-3, 3.5e-3, 0.0, 0.0, 2.0)
    assert rule.post_time_constants == (33.7e-3, 40e-3)


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(PLASTICITY))
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maximum": -1.0}, r"minimum=0 must be below maximum=-1"),
        ({"maximum": "high"}, r"maximum='high': must be a number"),
        ({"minimum": np.nan}, r"minimum=nan: must be finite"),
        ({"weight_dependence": "multiplicative", "maximum": np.inf}, r"maximum=inf: must be finite"),
        ({"weight_dependence": "power"}, r"weight_dependence='power'.*'additive', 'multiplicative'"),
        ({"pairing": "some"}, r"pairing='some'.*'all', 'nearest'"),
        ({"potentiation_time_constant": 0.0}, r"potentiation_time_constant=0\.0: must be a finite number above zero"),
        ({"depression_time_constant": np.inf}, r"depression_time_constant=inf"),
        ({"normalisation": 3.0}, r"normalisation=3\.0: expected Normalisation"),
    ],
)
def test_nonsense_is_refused(kind, changes, message):
    with pytest.raises(ParameterError, match=f"{kind}.*{message}"):
        PLASTICITY[kind](**changes)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (STDP, "potentiation"),
        (STDP, "depression"),
        (TripletSTDP, "triplet_potentiation"),
        (TripletSTDP, "triplet_depression"),
        (RewardModulatedSTDP, "depression"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf, "much", None])
def test_amplitudes_are_finite_numbers(kind, field, value):
    with pytest.raises(ParameterError, match=f"{kind.__name__} {field}="):
        kind(**{field: value})


@pytest.mark.parametrize(
    "values", [{"total": 0.0, "every": 1.0}, {"total": 1.0, "every": 0.0}, {"total": np.nan, "every": 1.0}]
)
def test_normalisation_needs_a_sum_and_a_time(values):
    with pytest.raises(ParameterError, match="Normalisation"):
        Normalisation(**values)


def test_a_network_refuses_what_cannot_be_plastic():
    with pytest.raises(NetworkError, match=r"'in->out'.*plasticity=STDP needs a weight for each synapse.*Conv2d"):
        network(STDP(), Conv2d(np.ones((1, 1, 1, 1))), shape=(1, 2, 2))
    with pytest.raises(NetworkError, match=r"'in->out'.*'out' \(LI\) does not spike"):
        network(STDP(), model=LI())
    with pytest.raises(NetworkError, match=r"'in->out'.*delay of one tick \(0\.001 s\) or more"):
        network(STDP(), delay=0.0)
    with pytest.raises(NetworkError, match="delay of one tick"):
        network(STDP(), delay=np.array([0.0, *[1e-3] * 15]))
    with pytest.raises(ParameterError, match=r"'in->out': Normalisation every=0\.0015 s is not a whole number"):
        network(STDP(normalisation=Normalisation(1.0, 1.5e-3)))
    with pytest.raises(ParameterError, match=r"'in->out': STDP: a time constant of 1e\+06 s is more than 2e\+07 ticks"):
        network(STDP(depression_time_constant=1e6))
    network(STDP(depression_time_constant=2e4))  # as long as may be
    with pytest.raises(ParameterError, match=r"plasticity is the class; write STDP\(\.\.\.\)"):
        network(STDP)
    with pytest.raises(ParameterError, match="plasticity='hebb' is no plasticity rule"):
        network("hebb")


@pytest.mark.parametrize("connectivity", [Dense(Uniform()), Sparse([0, 3], [1, 1]), FixedProbability(0.5)])
@pytest.mark.parametrize("delay", [DT, Uniform(0.0, 5e-3)])
def test_a_network_takes_plasticity_where_each_synapse_has_a_weight(connectivity, delay):
    assert network(STDP(), connectivity, delay).projections[0].plasticity == STDP()


# -- shown and kept --------------------------------------------------------------------------------------------


def test_the_network_shows_its_rules():
    shown = str(network(STDP(0.02, pairing="nearest")))
    assert "plasticity" in shown
    assert "STDP(potentiation=0.02, pairing=nearest)" in shown
    assert "plasticity" not in str(network(None))


def test_the_schedule_says_when_weights_change():
    schedule = network(STDP(normalisation=Normalisation(1.0, 1e-2))).schedule()
    steps = [schedule.index(word) for word in ("depress, deliver", "integrate", "potentiate", "normalise", "record")]
    assert steps == sorted(steps)
    assert "potentiate" not in network(None).schedule()


@pytest.mark.parametrize("kind", sorted(PLASTICITY))
def test_every_rule_comes_back_from_a_file(kind, tmp_path):
    plain = PLASTICITY[kind]()
    changed = dataclasses.replace(plain, maximum=np.inf, minimum=-3.0, normalisation=Normalisation(4.0, 2e-3))
    for rule in (plain, changed):
        network(rule).save(tmp_path / "network.h5")
        assert Network.load(tmp_path / "network.h5").projections[0].plasticity == rule
