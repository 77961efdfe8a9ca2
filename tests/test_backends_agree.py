"""Every backend gives what the reference gives: the same spikes, traces and counters, bit for bit."""

import numpy as np
import pytest

from snnsim import (
    LI,
    Alpha,
    Conductance,
    ConductanceLIF,
    Conv2d,
    Delta,
    Dense,
    Events,
    Exponential,
    Input,
    Network,
    Normal,
    Poisson,
    Population,
    Projection,
    Scripted,
    Simulation,
    Trace,
    Uniform,
)
from snnsim.connectivity import RULES
from snnsim.early_exit import DynamicConfidence
from snnsim.errors import NetworkError
from snnsim.neurons import MODELS

DT = 1e-3
N_TICKS = 30
PRECISIONS = ["float32", "float64"]
#: Each pair of model and options is compiled anew: one precision is enough while one works.
SLOW_PRECISIONS = ["float32", pytest.param("float64", marks=pytest.mark.slow)]


def everything(net):
    """Return probes of all spikes and all states."""
    probes = []
    for population in net.populations:
        if getattr(population.model, "spiking", True):
            probes.append(population.name)
        if not population.is_source:
            probes += [Trace(population.name, state) for state in population.model.arithmetic.states]
    return probes


def assert_same(first, second):
    """Check two results for equality of every number that is not a time of day."""
    assert first.spikes.keys() == second.spikes.keys()
    for name in first.spikes:
        assert first.spikes[name] == second.spikes[name], f"spikes of {name} differ"
    assert first.traces.keys() == second.traces.keys()
    for key, values in first.traces.items():
        other = second.traces[key]
        assert values.dtype == other.dtype
        assert np.array_equal(values, other, equal_nan=True), f"{key} differs"
    for name in ("spikes", "membrane_updates", "synaptic_operations", "exit_ticks"):
        assert np.array_equal(getattr(first.counters, name), getattr(second.counters, name)), f"{name} differ"


def compare(net, other_backend, dtype, inputs=None):
    """Run on both backends: recordings from rest where there are inputs, else two runs one after the other."""
    results = []
    for backend in ("reference", other_backend):
        sim = Simulation(net, backend, dtype=dtype)
        probes = everything(net)
        if inputs is not None:
            results.append([sim.run_samples(inputs, record=probes, batch_size=2)])
            one = {name: events[0] for name, events in inputs.items()}
            cut = {name: events.crop(11, 0) for name, events in one.items()}
            rest = {name: events.crop(19, 11) for name, events in one.items()}
            results[-1] += [sim.run(11 * DT, cut, record=probes), sim.run(19 * DT, rest, record=probes)]
        else:
            results.append([sim.run(ticks * DT, record=probes) for ticks in (13, 17)])
    for first, second in zip(*results, strict=True):
        assert_same(first, second)
    return results[0][0]


def events_for(n_sources, seed=0, recordings=3, rate=0.2):
    """Return recordings in which a source may stand twice in a tick."""
    counts = np.random.default_rng(seed).poisson(rate, (recordings, N_TICKS, n_sources))
    return {"in": Events.from_dense(counts, DT)}


# -- every model with every rule, delay, and option ---------------------------------------------------------


def rule_of(name, generator, signed=True):
    """Return a rule from (1, 4, 4) to its target shape, with weights that make neurons fire."""
    given = {
        "Sparse": {"sources": generator.integers(0, 16, 60), "targets": generator.integers(0, 16, 60)},
        "Conv2d": {"weights": generator.normal(0.3, 0.5, (1, 1, 3, 3)), "padding": 1},
        "FixedProbability": {"probability": 0.4},
        "FixedInDegree": {"in_degree": 5},
        "FixedTotalNumber": {"total": 70},
    }.get(name, {})
    if "weights" not in given:
        given["weights"] = 0.7 if "Pool" in name or name == "OneToOne" else Normal(0.25, 0.5)
    if not signed:  # what opens a conductance has no sign
        given["weights"] = np.abs(given["weights"]) if name == "Conv2d" else 0.7
    return RULES[name](**given), ((1, 2, 2) if "Pool" in name else (1, 4, 4))


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("delay", [0.0, 4e-3, "each"])
@pytest.mark.parametrize("rule_name", sorted(RULES))
@pytest.mark.parametrize("model", sorted(MODELS))
def test_models_by_rules_by_delays(other_backend, model, rule_name, delay, dtype):
    rule, shape = rule_of(rule_name, np.random.default_rng(1), signed=model != "ConductanceLIF")
    if delay == "each":
        delay = 2e-3 if rule_name == "MaxPool2d" else Uniform(1e-3, 9e-3)
    populations = [Population("in", (1, 4, 4), Input()), Population("cells", shape, MODELS[model]())]
    net = Network(populations, [Projection("in", "cells", rule, delay=delay)], dt=DT, seed=2)
    result = compare(net, other_backend, dtype, events_for(16))
    assert result.counters.synaptic_operations.sum() > 0


OPTIONS = [
    {"reset": "subtract"},
    {"reset": "zero"},
    {"reset": -0.25},
    {"reset": np.linspace(-1.0, 0.5, 16)},
    {"strict": True, "threshold": 0.75},
    {"threshold": np.linspace(0.3, 2.0, 16)},
    {"refractory": 1e-3},
    {"refractory": 5e-3, "reset": "zero"},
    {"bias": 0.11, "initial": 0.4},
    {"bias": np.linspace(-0.2, 0.6, 16), "initial": np.linspace(-1.0, 1.0, 16)},
    {"time_constant": np.inf},
    {"time_constant": 0.0},
    {"time_constant": np.geomspace(1e-3, 1.0, 16), "decay_input": True},
    {"integration": "euler", "time_constant": 7e-3, "rest": 0.2},
    {"rest": -0.5, "decay_input": True, "bias": 2.0},
    {"receptors": (Exponential(5e-3),)},
    {"receptors": (Delta(), Exponential(20e-3, "slow"), Exponential(2e-3, "fast")), "refractory": 3e-3},
    {"receptors": (Exponential(3e-3),), "integration": "euler", "decay_input": True},
    {"receptors": (Alpha(2e-3), Delta("jump"), Alpha(30e-3, "slow")), "refractory": 2e-3},
    {"receptors": (Alpha(4e-3),), "time_constant": np.geomspace(2e-3, 1.0, 16), "integration": "euler"},
    {"target_rate": np.linspace(1.0, 90.0, 16), "rise": 0.2, "bias": 0.3},
    {"adaptation": 0.5, "adaptation_time_constant": np.geomspace(5e-3, 1.0, 16), "bias": 0.3},
]


@pytest.mark.parametrize("dtype", SLOW_PRECISIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options))
@pytest.mark.parametrize("model", sorted(MODELS))
def test_models_by_options(other_backend, model, options, dtype):
    kind = MODELS[model]
    known = {name: value for name, value in options.items() if name in kind.__dataclass_fields__}
    if kind is ConductanceLIF:  # takes no currents, and leaks
        known = {
            name: value for name, value in known.items() if name != "receptors" and str(value) not in ("0.0", "inf")
        }
    if not known:
        known = {"bias": 0.3}
    weights = Normal(0.1, 0.4)
    if kind is ConductanceLIF:
        weights = Normal(0.02, 0.05, low=0.0)  # forward Euler stays stable
        if known.keys() & {"reset", "rest"}:  # a threshold above where they land
            above = (Conductance(5e-3, 3.0, "excitatory"), Conductance(10e-3, -1.0, "inhibitory"))
            known = {"threshold": 1.0, "rest": 0.0, "receptors": above} | known
    receptors = [receptor.name for receptor in kind(**known).receptor_list]
    net = Network(
        [Population("in", 16, Input()), Population("cells", 16, kind(**known))],
        [
            Projection("in", "cells", Dense(weights), receptor=name, delay=i * 1e-3, name=f"to {name}")
            for i, name in enumerate(receptors)
        ],
        dt=DT,
        seed=4,
    )
    compare(net, other_backend, dtype, events_for(16, rate=0.1))


# -- exact ties of rounding ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_sums_that_depend_on_their_order_are_made_in_one_order(other_backend, dtype):
    """Weights over fifteen orders of magnitude: any other order of adding gives other bits."""
    weights = np.random.default_rng(0).normal(size=(64, 8)) * np.geomspace(1e-8, 1e7, 64)[:, None]
    net = Network(
        [Population("in", 64, Input()), Population("out", 8, LI(time_constant=np.inf))],
        [Projection("in", "out", Dense(weights), name="now"), Projection("in", "out", Dense(-weights[::-1]), 2e-3)],
        dt=DT,
    )
    result = compare(net, other_backend, dtype, events_for(64, rate=0.5))
    kind = np.dtype(dtype).type
    first = events_for(64, rate=0.5)["in"][0]
    total = np.zeros(8, kind)
    for source in first.sources[first.ticks == 0]:
        total = total + weights[source].astype(kind)
    assert np.array_equal(result.traces["out.membrane"][0, 0], total)


# -- recurrence, sources, early exit ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_a_recurrent_network_of_noise(other_backend, dtype):
    net = Network(
        [
            Population("noise", 30, Poisson(np.linspace(0.0, 400.0, 30))),
            Population("script", 2, Scripted([0.0, 0.003, 0.003, 0.020], [0, 1, 1, 0])),
            Population("exc", 40, MODELS["LIF"](refractory=2e-3, receptors=(Exponential(3e-3),))),
            Population("inh", 10, MODELS["AdaptiveLIF"](time_constant=8e-3)),
        ],
        [
            Projection("noise", "exc", Dense(Uniform(0.0, 1.0))),
            Projection("script", "inh", Dense(0.6)),
            Projection("exc", "exc", RULES["FixedProbability"](0.1, 0.5), delay=Uniform(1e-3, 12e-3)),
            Projection("exc", "inh", RULES["FixedInDegree"](8, 0.4)),
            Projection("inh", "exc", RULES["FixedProbability"](0.3, -1.0), delay=1e-3),
            Projection("inh", "inh", Dense(-0.1), delay=2e-3),
        ],
        dt=DT,
        seed=11,
    )
    result = compare(net, other_backend, dtype)
    assert result.counters.spikes[0].min() > 0


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_early_exit(other_backend, dtype):
    kernels = np.random.default_rng(3).normal(0.2, 0.5, (2, 1, 3, 3))
    net = Network(
        [
            Population("in", (1, 4, 4), Input()),
            Population("hidden", (2, 2, 2), MODELS["LIF"]()),
            Population("out", 5, LI()),
        ],
        [Projection("in", "hidden", Conv2d(kernels)), Projection("hidden", "out", Dense(Normal()), delay=1e-3)],
        dt=DT,
        seed=3,
    )
    events = events_for(16, recordings=25)
    for rule in (DynamicConfidence(4.0, 0.7), DynamicConfidence(2.0, np.linspace(1.0, 0.3, N_TICKS + 1), 5)):
        first, second = (
            Simulation(net, backend, dtype=dtype).run_samples(
                events, record=everything(net), early_exit=rule, batch_size=10
            )
            for backend in ("reference", other_backend)
        )
        assert len(set(first.exit_ticks.tolist())) > 3
        assert_same(first, second)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(other_backend, threads):
    net, events = random_network(5)
    alone = Simulation(net, "reference").run_samples(events, record=everything(net))
    assert_same(alone, Simulation(net, other_backend, threads=threads).run_samples(events, record=everything(net)))


# -- networks drawn at random --------------------------------------------------------------------------------


def random_model(generator, size):
    """Return a model with parameters drawn at random, some of them one a neuron."""
    kind = MODELS[generator.choice(sorted(MODELS))]

    def some(low, high):
        return generator.uniform(low, high, size) if generator.random() < 0.3 else float(generator.uniform(low, high))

    receptors = [
        (Delta(),),
        (Exponential(4e-3),),
        (Delta("x"), Exponential(9e-3, "y")),
        (Alpha(2e-3), Exponential(9e-3, "y"), Delta("z")),
    ]
    if kind is ConductanceLIF:
        receptors = [
            (Conductance(3e-3, 1.5),),
            (Conductance(2e-3, 3.0, "x"), Conductance(8e-3, -1.0, "y")),
        ]
    drawn = {
        "time_constant": some(2e-3, 50e-3),
        "threshold": some(0.3, 1.5),
        "reset": generator.choice(["subtract", "zero"]) if generator.random() < 0.6 else some(-0.5, 0.2),
        "refractory": int(generator.integers(0, 5)) * DT,
        "rest": some(-0.2, 0.2),
        "bias": some(-0.05, 0.15),
        "receptors": receptors[generator.integers(len(receptors))],
        "decay_input": bool(generator.random() < 0.3),
        "integration": str(generator.choice(["exact", "euler"])),
        "strict": bool(generator.random() < 0.5),
        "initial": some(-0.3, 0.9),
        "adaptation": some(0.0, 0.5),
        "adaptation_time_constant": some(5e-3, 200e-3),
        "target_rate": some(0.0, 100.0),
        "rise": some(0.0, 0.3),
    }
    if isinstance(drawn["reset"], str):
        drawn["reset"] = str(drawn["reset"])
    if kind is ConductanceLIF:  # forward Euler is stopped where conductances are too large for the time constant
        drawn["time_constant"] = 20 * np.asarray(drawn["time_constant"])
    # Forward Euler is refused below dt; receptors of 2 ms and a membrane of 2 ms are above it.
    return kind(**{name: value for name, value in drawn.items() if name in kind.__dataclass_fields__})


def random_network(seed):
    """Return a network with 2 to 5 populations, any wiring that is allowed, and inputs for it."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 20, generator.integers(2, 6))
    n_inputs = int(generator.integers(1, 12))
    populations = [Population("in", n_inputs, Input())]
    if generator.random() < 0.5:
        populations.append(Population("noise", 5, Poisson(generator.uniform(0, 300, 5))))
    first_cell = len(populations)
    populations += [Population(f"p{i}", int(n), random_model(generator, int(n))) for i, n in enumerate(sizes)]
    projections = []
    for number in range(int(generator.integers(2, 9))):
        source, target = generator.integers(0, len(populations)), generator.integers(first_cell, len(populations))
        before, after = populations[source], populations[target]
        if not getattr(before.model, "spiking", True):
            continue
        n, m = before.size, after.size
        count = int(generator.integers(0, 3 * (n + m)))
        weights = float(generator.normal(0.3, 0.6)) if generator.random() < 0.3 else Normal(0.2, 0.6)
        if type(after.model) is ConductanceLIF:  # what opens a conductance has no sign
            weights = abs(weights) if isinstance(weights, float) else Normal(0.2, 0.6, low=0.0)
        rule = [
            Dense(weights),
            RULES["Sparse"](generator.integers(0, n, count), generator.integers(0, m, count), weights),
            RULES["FixedProbability"](float(generator.random()), weights, bool(generator.random() < 0.5)),
            RULES["FixedInDegree"](int(generator.integers(0, 6)), weights),
            RULES["FixedTotalNumber"](count, weights),
        ][generator.integers(5)]
        # A delay may be zero where it goes forward; anything else could close a cycle.
        least = 0 if source < target else 1
        delay = int(generator.integers(least, 8)) * DT
        if generator.random() < 0.3:
            delay = Uniform(0.0, 12e-3)
        elif generator.random() < 0.3 and type(rule).__name__ in ("Dense", "Sparse"):
            delay = generator.integers(least, 10, n * m if isinstance(rule, Dense) else count) * DT
        receptor = str(generator.choice([receptor.name for receptor in after.model.receptor_list]))
        projections.append(Projection(before.name, after.name, rule, delay, receptor, name=f"projection {number}"))
    counts = generator.poisson(generator.uniform(0.02, 0.6), (3, N_TICKS, n_inputs))
    try:
        net = Network(populations, projections, dt=DT, seed=seed)
    except NetworkError as error:
        raise AssertionError(f"the drawing of networks is at fault: {error}") from error
    return net, {"in": Events.from_dense(counts, DT)}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 30))])
def test_random_networks(other_backend, seed, dtype):
    net, events = random_network(seed)
    compare(net, other_backend, dtype, events)


def test_the_random_networks_are_worth_comparing():
    """Taken together they fire, are silent at times, and use all models."""
    spikes, models = [], set()
    for seed in range(30):
        net, events = random_network(seed)
        models |= {type(p.model).__name__ for p in net.populations}
        counters = Simulation(net, "reference").run_samples(events, record=()).counters
        cells = [i for i, source in enumerate(counters.sources) if not source]
        spikes.append(counters.spikes[:, cells].sum() / counters.membrane_updates[:, cells].sum())
    assert models >= set(MODELS)
    assert 0.02 < np.mean(spikes) < 0.6
