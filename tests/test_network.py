"""The description: what fits together, what does not and how that is said, tables, resolved copies."""

import numpy as np
import pytest

from snnsim import (
    IF,
    LI,
    LIF,
    Conv2d,
    Dense,
    Exponential,
    FixedProbability,
    Input,
    LogNormal,
    MaxPool2d,
    Network,
    Normal,
    OneToOne,
    Poisson,
    Population,
    Projection,
    Sparse,
    Uniform,
)
from snnsim.errors import NetworkError, ParameterError

DT = 1e-3


def chain(*projections, size=3, dt=DT, seed=0, model=None):
    """Input a, then LIF populations b and c, with the given projections."""
    populations = [Population("a", size, Input()), Population("b", size, model or LIF()), Population("c", size, LIF())]
    return Network(populations, projections, dt=dt, seed=seed)


def test_populations_and_projections_are_found_by_name():
    net = chain(Projection("a", "b", Dense()), Projection("b", "c", Dense(), name="up"))
    assert net.population("b").size == 3
    assert net.projection("up").source == "b"
    assert net.projection("a->b").target == "b"
    assert net.population_number("c") == 2
    assert [p.name for p in net.inputs] == ["a"]
    assert net.output.name == "c"
    with pytest.raises(NetworkError, match="no population 'd'; there are: a, b, c"):
        net.population("d")
    with pytest.raises(NetworkError, match="no projection 'down'; there are: a->b, up"):
        net.projection("down")


def test_zero_delay_order_is_topological_whatever_the_order_of_naming():
    populations = [Population(name, 2, LIF()) for name in "dcba"]
    pairs = [("a", "b"), ("b", "c"), ("a", "d"), ("c", "d")]
    net = Network(populations, [Projection(*pair, Dense()) for pair in pairs], dt=DT)
    place = {net.populations[number].name: i for i, number in enumerate(net.order)}
    assert all(place[source] < place[target] for source, target in pairs)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("b", "b")], "zero-delay cycle: b -> b;"),
        ([("b", "c"), ("c", "b")], r"zero-delay cycle: (b -> c -> b|c -> b -> c); give one of these .* a delay"),
        ([("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e")], r"(b -> c -> d|c -> d -> b|d -> b -> c) -> "),
    ],
)
def test_a_zero_delay_cycle_is_named(pairs, message):
    populations = [Population(name, 2, LIF()) for name in "eabcd"]
    with pytest.raises(NetworkError, match=message) as caught:
        Network(populations, [Projection(*pair, Dense()) for pair in pairs], dt=DT)
    assert "e" not in str(caught.value).partition(": ")[2].partition(";")[0]  # downstream of the cycle, not in it
    delayed = [Projection(*pair, Dense(), delay=DT) for pair in pairs]
    assert len(Network(populations, delayed, dt=DT).order) == 5


def test_one_zero_among_the_delays_makes_a_cycle():
    net = [Population("b", 2, LIF())]
    with pytest.raises(NetworkError, match="zero-delay cycle: b -> b"):
        Network(net, [Projection("b", "b", Dense(), delay=np.array([[0, 1], [1, 1]]) * DT)], dt=DT)
    # A distribution is at least one tick.
    assert Network(net, [Projection("b", "b", Dense(), delay=Normal(0.0, 1e-3))], dt=DT).order == (0,)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: chain(Projection("a", "d", Dense())), NetworkError, "'a->d': no population 'd'; there are: a, b, c"),
        (lambda: chain(Projection("b", "a", Dense())), NetworkError, "'a' is a source and takes no input"),
        (
            lambda: chain(Projection("b", "c", Dense()), model=LI()),
            NetworkError,
            r"'b->c': 'b' \(LI\) does not spike",
        ),
        (
            lambda: chain(Projection("a", "b", Dense(np.ones((2, 3))))),
            NetworkError,
            r"'a->b': Dense weights have shape",
        ),
        (
            lambda: chain(Projection("a", "b", Dense(), receptor="slow")),
            NetworkError,
            "'a->b': population 'b' has no receptor 'slow'; there are: input",
        ),
        (lambda: chain(Projection("a", "b", Dense()), Projection("a", "b", Dense())), NetworkError, "named 'a->b'"),
        (
            lambda: chain(Projection("a", "b", Dense(), delay=-DT)),
            ParameterError,
            r"'a->b': delay=-0\.001 s is negative",
        ),
        (
            lambda: chain(Projection("a", "b", Dense(), delay=1.5e-3)),
            ParameterError,
            r"projection 'a->b': delay=0\.0015 s is not a whole number of ticks of dt=0\.001 s",
        ),
        (lambda: chain(Projection("a", "b", Dense(), delay=np.nan)), ParameterError, "a->b: delay holds NaN"),
        (
            lambda: chain(Projection("a", "b", Dense(), delay=np.zeros(5))),
            NetworkError,
            r"'a->b': delay has shape \(5,\), expected one number or shape \(3, 3\) or \(9,\)",
        ),
        (
            lambda: chain(Projection("a", "b", Sparse([0, 1], [0, 1]), delay=np.zeros((2, 1)))),
            NetworkError,
            r"delay has shape \(2, 1\), expected one number or shape \(2,\)",
        ),
        (
            lambda: chain(Projection("a", "b", FixedProbability(0.5), delay=np.zeros(4))),
            NetworkError,
            "FixedProbability takes one delay or a Distribution, not an array",
        ),
        (
            lambda: chain(Projection("a", "b", Dense(), delay=np.full((3, 3), 2**32 * DT))),
            ParameterError,
            "'a->b': delay is 4294967296 ticks .* at most 2147483647",
        ),
        (
            lambda: chain(model=LIF(refractory=2**32 * DT)),
            ParameterError,
            "population 'b': refractory is 4294967296 ticks",
        ),
        (lambda: chain(model=LIF(strict="False")), ParameterError, "strict='False': must be True or False"),
        (lambda: chain(Projection("a", "b", Dense(), name=3)), ParameterError, "projection name=3"),
        (lambda: Population("two\nlines", 1, LIF()), ParameterError, "must be text in one line"),
        (lambda: Population(".", 1, LIF()), ParameterError, "population name='.'"),
        (lambda: chain(dt=np.ones(2)), ParameterError, "dt=.*must be a finite number"),
        (lambda: chain(dt=0.0), ParameterError, r"dt=0\.0"),
        (lambda: chain(seed=1.5), ParameterError, r"seed=1\.5: must be a whole number"),
        (lambda: chain(seed=-1), ParameterError, "seed=-1"),
        (lambda: chain(seed=True), ParameterError, "seed=True"),
        (lambda: Network([], [], dt=DT), NetworkError, "at least one population"),
        (lambda: Network(Population("a", 1, LIF()), [], dt=DT), ParameterError, "sequence of Population"),
        (lambda: Network(["a"], [], dt=DT), ParameterError, "populations must be a sequence of Population"),
        (lambda: Network([Population("a", 1, LIF())], None, dt=DT), ParameterError, "sequence of Projection"),
        (lambda: Network([Population("a", 1, LIF())] * 2, [], dt=DT), NetworkError, "two populations are named 'a'"),
        (lambda: Population("", 1, LIF()), ParameterError, "name=''"),
        (lambda: Population("a/b", 1, LIF()), ParameterError, "must not hold '/'"),
        (lambda: Population("a", 0, LIF()), ParameterError, r"shape=0: must be whole numbers above zero"),
        (lambda: Population("a", 2.5, LIF()), ParameterError, r"shape=2\.5: must be whole numbers"),
        (lambda: Population("a", (), LIF()), ParameterError, r"shape=\(\)"),
        (lambda: Population("a", 1, LIF), ParameterError, r"model is the class; write LIF\(\.\.\.\)"),
        (lambda: Population("a", 1, "LIF"), ParameterError, "is no neuron model and no source"),
        (lambda: Projection("a", "b", Dense), ParameterError, r"connectivity is the class; write Dense\(\.\.\.\)"),
        (lambda: Projection("a", "b", np.ones(3)), ParameterError, "is no Connectivity"),
        (lambda: Projection("a", Population("b", 1, LIF()), Dense()), ParameterError, "give the name"),
        (lambda: Projection("a", "b", Dense(), name="x/y"), ParameterError, "must not hold '/'"),
    ],
)
def test_what_does_not_fit_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_transposed_array_of_delays_is_refused():
    populations = [Population("a", 2, Input()), Population("b", 3, LIF())]
    with pytest.raises(
        NetworkError, match=r"delay has shape \(3, 2\), expected one number or shape \(2, 3\) or \(6,\)"
    ):
        Network(populations, [Projection("a", "b", Dense(), delay=np.zeros((3, 2)))], dt=DT)


def test_delays_follow_their_synapses_through_sorting():
    sources, targets, ticks = [2, 0, 2, 1], [1, 2, 0, 1], np.array([4, 3, 2, 1])
    net = chain(Projection("a", "b", Sparse(sources, targets, np.array([0.4, 0.3, 0.2, 0.1])), delay=ticks * DT))
    synapses = net.synapses(net.projection("a->b"))
    assert synapses.delays.tolist() == [3, 1, 2, 4]
    assert synapses.weights.tolist() == [0.3, 0.1, 0.2, 0.4]


def test_drawn_delays_are_whole_ticks_from_one_up_with_the_mean_asked_for():
    net = chain(Projection("a", "b", FixedProbability(0.5), delay=LogNormal(10e-3, 2e-3)), size=60)
    delays = net.synapses(net.projections[0]).delays
    assert delays.min() >= 1
    assert delays.mean() == pytest.approx(10, abs=5 * 2 / np.sqrt(delays.size))
    low = chain(Projection("a", "b", Dense(), delay=Uniform(0.0, 0.6 * DT)))
    assert np.all(low.synapses(low.projections[0]).delays == 1)


@pytest.mark.parametrize(
    "delay", [Normal(-1e-3, 1e-4), Normal(0.1 * DT, 0.02 * DT), Uniform(0.0, 0.49 * DT), LogNormal(1e-6, 1e-7)], ids=str
)
def test_drawn_delays_that_would_all_be_one_tick_are_refused(delay):
    with pytest.raises(
        ParameterError, match=r"projection 'a->b': delay=\w+\(.*hardly any of it reaches half a tick of"
    ):
        chain(Projection("a", "b", Dense(), delay=delay))


def test_max_pooling_has_one_delay():
    populations = [Population("a", (1, 4, 4), Input()), Population("b", (1, 2, 2), IF())]
    with pytest.raises(NetworkError, match="MaxPool2d takes one delay, not a Distribution"):
        Network(populations, [Projection("a", "b", MaxPool2d(2), delay=Uniform(1e-3, 5e-3))], dt=DT)


@pytest.mark.parametrize(
    "rule",
    [Dense(Normal()), OneToOne(Normal()), Sparse([5, 0, 5], [1, 1, 0], Normal()), FixedProbability(0.4, Normal())],
)
@pytest.mark.parametrize("delay", [2e-3, Uniform(1e-3, 9e-3)])
def test_a_resolved_network_has_the_same_synapses_and_no_chance_left(rule, delay):
    net = chain(Projection("a", "b", rule, delay=delay), size=8, seed=3)
    fixed = net.resolved()
    drawn, same = net.synapses(net.projections[0]), fixed.synapses(fixed.projections[0])
    other = fixed.replaced(seed=99)
    for again in (same, other.synapses(other.projections[0])):
        assert np.array_equal(drawn.offsets, again.offsets)
        assert np.array_equal(drawn.targets, again.targets)
        assert np.array_equal(drawn.weights, again.weights)
        assert np.array_equal(drawn.delays, again.delays)


def test_a_resolved_convolution_keeps_its_kernels():
    populations = [Population("a", (2, 6, 6), Input()), Population("b", (3, 4, 4), LIF())]
    net = Network(populations, [Projection("a", "b", Conv2d(Normal(), kernel=3))], dt=DT, seed=1)
    fixed = net.resolved().projections[0].connectivity
    assert isinstance(fixed, Conv2d)
    assert fixed.weights.shape == (3, 2, 3, 3)
    assert np.array_equal(
        net.synapses(net.projections[0]).weights, net.resolved().synapses(net.resolved().projections[0]).weights
    )


def test_replacing_parts_leaves_the_rest():
    net = chain(Projection("a", "b", Dense()), Projection("b", "c", Dense()))
    changed = net.replaced([Population("b", 3, IF())], [Projection("b", "c", Dense(0.5))], seed=4)
    assert [type(p.model).__name__ for p in changed.populations] == ["Input", "IF", "LIF"]
    assert changed.projection("b->c").connectivity.weights == 0.5
    assert changed.seed == 4
    assert net.seed == 0
    with pytest.raises(NetworkError, match="nothing named 'x' to replace; there are: a, b, c"):
        net.replaced([Population("x", 3, IF())])


def test_an_output_is_asked_for_only_where_there_is_one():
    with pytest.raises(NetworkError, match=r"no single output population \(ends: 'b', 'c'\)"):
        _ = chain(Projection("a", "b", Dense())).output


def test_the_tables_name_every_part():
    net = Network(
        [
            Population("in", (1, 4, 4), Input()),
            Population("noise", 4, Poisson(20.0)),
            Population("hidden", (1, 2, 2), LIF(receptors=(Exponential(5e-3, "slow"), Exponential(2e-3, "fast")))),
            Population("out", 2, LI()),
        ],
        [
            Projection("in", "hidden", MaxPool2d(2), receptor="fast"),
            Projection("noise", "hidden", FixedProbability(0.5), delay=2e-3),
            Projection("hidden", "hidden", OneToOne(), delay=1e-3),
            Projection("hidden", "out", Dense(Normal())),
        ],
        dt=DT,
        name="demo",
    )
    text = str(net)
    assert text.startswith("demo: 6 neurons, dt 0.001 s, seed 0")
    for expected in ("1×4×4", "Poisson(rate=20/s)", "MaxPool2d(2)", "random", "0.002 s", "fast", "hidden->out", "slow"):
        assert expected in text
    steps = net.schedule().splitlines()[2:]
    order = [next(i for i, line in enumerate(steps) if mark in line) for mark in ("deliver", "in:", "hidden:", "out:")]
    assert order == sorted(order)
    assert "noise->hidden, hidden->hidden" in steps[0]
    assert "now, in order of source" in next(line for line in steps if "in->hidden" in line)
    assert any("hidden->hidden:" in line and "at tick + delay" in line for line in steps)
    assert steps[-1].split()[1] == "record"


def test_a_network_does_not_change_with_the_arrays_it_was_made_from():
    weights, taus = np.ones((2, 3)), np.full(3, 10e-3)
    network = Network(
        [Population("a", 2, Input()), Population("b", 3, LIF(taus))], [Projection("a", "b", Dense(weights))], dt=1e-3
    )
    before = str(network)
    weights[:], taus[:] = 5, 1
    assert str(network) == before
    assert np.all(network.synapses(network.projections[0]).weights == 1)
