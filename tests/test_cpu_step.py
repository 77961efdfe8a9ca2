"""The compiled step of a population, called by its address over any ranges, against the reference, bit for bit."""

import itertools

import numba
import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    AdaptiveLIF,
    Alpha,
    Conductance,
    ConductanceLIF,
    Delta,
    Exponential,
    Network,
    Population,
    Simulation,
)
from snnsim.backends.contract.layout import Layout
from snnsim.backends.cpu.neurons.population_tables import population_tables
from snnsim.backends.cpu.neurons.step import CHUNK, SCRATCH, call_step, step_address
from snnsim.backends.numpy_engine.integrate import advance, coefficients_of
from snnsim.neurons import MODELS

SIZE = 2 * CHUNK + 77
DT = 1e-3
CURRENTS = (Exponential(3e-3, "fast"), Delta("jump"), Alpha(20e-3, "slow"))
CONDUCTANCES = (Conductance(3e-3, 4.0, "fast"), Conductance(20e-3, -0.5, "slow"))


@numba.njit
def one_tick(address, tables, state, arrived, stride, tick, low, high, scratch, fired):
    """Call the step from compiled code, as the engines do."""
    populations, receptors, drives, coefficients, thresholds = tables
    floats, counters = state
    return call_step(
        address,
        populations,
        receptors,
        drives,
        coefficients,
        thresholds,
        floats,
        counters,
        arrived,
        stride,
        0,
        tick,
        low,
        high,
        scratch,
        fired,
    )


class Cells:
    """A population that can be stepped by the kernel in ranges, and by the reference as a whole."""

    def __init__(self, model, dtype):
        self.network = Network([Population("before", 3, LI()), Population("cells", SIZE, model)], [], dt=DT)
        self.layout = Layout.of(self.network)
        self.place, self.model = self.layout.places[1], model
        tables = population_tables(self.network, self.layout, np.dtype(dtype))
        self.tables = (
            tables.populations[1],
            tables.receptors,
            tables.drives,
            tables.coefficients,
            tables.thresholds,
        )
        self.address = step_address(model, dtype)
        self.coefficients = coefficients_of(model, DT, np.dtype(dtype))
        self.dtype = dtype

    def rest(self):
        """Return the state before the first tick."""
        floats = np.zeros((1, self.layout.n_floats), self.dtype)
        for number, value in enumerate(self.place.initial):
            self.layout.states(floats, self.place)[:, number] = value
        return floats, np.zeros(self.layout.n_counters, np.int32)

    def reference(self, floats, counters, arrived):
        """Advance by one tick with the reference."""
        own = counters[self.place.counters : self.place.counters + SIZE]
        states, currents = self.layout.states(floats, self.place)[0], self.layout.currents(floats, self.place)[0]
        return advance(self.coefficients, states, currents, own, arrived)

    def kernel(self, floats, counters, arrived, tick, edges):
        """Advance by one tick with the kernel, one range after another, as the owners of the ranges do."""
        found = []
        for low, high in itertools.pairwise(edges):
            plane = np.ascontiguousarray(arrived[:, low:high])
            fired, scratch = np.full(high - low, -1, np.int32), np.full(SCRATCH, np.nan, self.dtype)
            count = one_tick(
                self.address, self.tables, (floats[0], counters), plane, high - low, tick, low, high, scratch, fired
            )
            assert not plane.any(), "what arrived is left empty"
            assert np.all(fired[count:] == -1), "nothing is written beyond the neurons that fired"
            found.append(fired[:count])
        return np.concatenate(found)


@pytest.mark.parametrize("edges", [(0, SIZE), (0, 1, 2, CHUNK, CHUNK + 3, SIZE)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"refractory": 3e-3, "strict": True},
        {"threshold": np.linspace(0.2, 2.0, SIZE), "bias": np.linspace(0.0, 0.1, SIZE)},
        {"time_constant": np.linspace(2e-3, 50e-3, SIZE), "refractory": 1e-3, "receptors": CURRENTS},
        {"receptors": CURRENTS[:1], "threshold": 0.2, "reset": "zero", "refractory": 2e-3},
    ],
    ids=["plain", "refractory", "each", "each with receptors", "current"],
)
@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_kernel_does_what_the_reference_does(name, options, dtype, edges):
    kind = MODELS[name]
    if kind is ConductanceLIF:
        options = {"threshold": 0.4, "rest": 0.0, **options, "receptors": CONDUCTANCES}
    model = kind(**{key: value for key, value in options.items() if key in kind.__dataclass_fields__})
    cells, generator = Cells(model, dtype), np.random.default_rng(7)
    first, second = cells.rest(), cells.rest()
    total = 0
    for tick in range(60):
        weights = np.round(generator.normal(0.1, 0.3, (cells.place.n_receptors, SIZE)), 2)
        weights = np.abs(weights) if kind is ConductanceLIF else weights
        arrived = (weights * (generator.random(weights.shape) < 0.4)).astype(dtype)
        expected = cells.reference(*first, arrived)
        found = cells.kernel(*second, arrived, tick, edges)
        assert found.tolist() == expected.tolist()
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])
        total += found.size
    assert (total > 60) == model.spiking


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_on_the_threshold_fires_unless_it_is_strict(dtype):
    for strict in (False, True):
        cells = Cells(LIF(threshold=0.5, strict=strict), dtype)
        fired = cells.kernel(*cells.rest(), np.full((1, SIZE), 0.5, dtype), 0, (0, SIZE))
        assert fired.tolist() == ([] if strict else list(range(SIZE)))


def test_every_neuron_may_fire_at_once_and_at_every_tick():
    cells = Cells(AdaptiveLIF(bias=5.0, adaptation=0.0, reset="zero"), "float32")
    state = cells.rest()
    for tick in range(3):
        assert cells.kernel(*state, np.zeros((1, SIZE), np.float32), tick, (0, SIZE)).tolist() == list(range(SIZE))


def test_a_call_with_what_cannot_be_passed_is_refused_when_it_is_compiled():
    @numba.njit
    def wrong(address):
        return call_step(address, 1.5)

    with pytest.raises(TypeError, match="call_step: 1 arguments, expected 15"):
        wrong(0)


def test_states_begin_at_lines_of_the_cache():
    model = LIF(refractory=1e-3, receptors=CURRENTS)
    net = Network([Population(f"p{size}", size, model) for size in (1, 17, 100)], [], dt=DT)
    layout = Layout.of(net)
    for dtype in ("float32", "float64"):
        state = Simulation(net, dtype=dtype).state
        views = [view(state.floats, place) for place in layout.places for view in (layout.states, layout.currents)]
        views += [state.counters[:, place.counters :] for place in layout.places]
        assert all(view.ctypes.data % 64 == 0 and np.shares_memory(view, view.base) for view in views)


def test_no_two_steps_have_functions_of_one_name(monkeypatch):
    """The linker takes functions of one name and type for the same, also where programs have compiled them apart."""
    from snnsim.backends.cpu.neurons import integrate, step
    from snnsim.backends.cpu.neurons import receptors as receive

    names: set[str] = set()
    specialised = receive.specialised

    def named(template, name, **more):
        names.add(name)
        return specialised(template, name, **more)

    monkeypatch.setattr(receive, "specialised", named)
    monkeypatch.setattr(integrate, "specialised", named)
    monkeypatch.setattr(step, "c_function", lambda template, name, signature, **more: names.add(name))
    currents = (Exponential(5e-3, "first"), Exponential(10e-3, "second"))
    conductances = (Conductance(5e-3, 0.0, "first"), Conductance(10e-3, -80.0, "second"))
    models = [LIF(receptors=currents), LIF(receptors=currents, time_constant=np.full(3, 0.01))]
    models += [LIF(receptors=currents, refractory=2e-3), LIF(receptors=currents[:1]), LIF()]
    models += [AdaptiveLIF(receptors=currents), LI(receptors=currents), ConductanceLIF(conductances)]
    models += [ConductanceLIF(conductances, integration="euler")]
    seen: set[str] = set()
    for model in models:
        for dtype in ("float32", "float64"):
            names.clear()
            kinds = tuple(type(receptor) for receptor in model.receptor_list)
            held = getattr(model, "refractory", 0.0) > 0
            name = type(model).__name__
            step._compiled.__wrapped__(step.Variant(name, model.arithmetic, kinds, step.varies(model), held, dtype))
            assert len(names) >= 5
            assert not names & seen
            seen |= names
