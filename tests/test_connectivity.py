"""Connection rules against SciPy, torch and counting; random wiring against its statistics."""

import numpy as np
import pytest
from scipy import signal, sparse, stats

from snnsim import (
    LIF,
    Conv2d,
    Dense,
    FixedInDegree,
    FixedProbability,
    FixedTotalNumber,
    Kaiming,
    LogNormal,
    MaxPool2d,
    Network,
    Normal,
    OneToOne,
    Population,
    Projection,
    Scripted,
    Simulation,
    Sparse,
    SumPool2d,
    Uniform,
)
from snnsim.connectivity import DISTRIBUTIONS, RULES, Key
from snnsim.errors import NetworkError, ParameterError

KEY = Key(7, "a->b")


def matrix_of(rule, source, target, key=KEY):
    """Return a rule as a plain matrix of summed weights, checking the form of its synapses on the way."""
    rule.check(source, target, "projection 'a->b'")
    n, m = int(np.prod(source)), int(np.prod(target))
    synapses = rule.synapses(source, target, key)
    sizes = np.diff(synapses.offsets)
    assert synapses.offsets[0] == 0
    assert synapses.offsets[-1] == synapses.targets.size == synapses.weights.size
    assert synapses.offsets.size == n + 1
    assert synapses.weights.dtype == np.float64
    assert synapses.targets.dtype == np.int32
    sources = np.repeat(np.arange(n), sizes)
    pairs = sources * m + synapses.targets
    assert np.all(np.diff(pairs) >= 0), "rows are not in ascending order of target"
    assert rule.count(source, target) in (None, synapses.targets.size)
    matrix = np.zeros((n, m))
    np.add.at(matrix, (sources, synapses.targets), synapses.weights)
    return matrix


# -- listed one by one --------------------------------------------------------------------------------------


def test_dense_sparse_and_one_to_one_are_their_matrices():
    weights = np.arange(12.0).reshape(3, 4)
    assert np.array_equal(matrix_of(Dense(weights), (3,), (2, 2)), weights)
    assert np.array_equal(matrix_of(Dense(0.5), (3,), (4,)), np.full((3, 4), 0.5))
    assert np.array_equal(matrix_of(OneToOne(np.array([1.0, 2, 3])), (3,), (3,)), np.diag([1.0, 2, 3]))
    assert np.array_equal(matrix_of(Sparse.from_matrix(weights), (3,), (4,)), weights)
    assert np.array_equal(matrix_of(Sparse.from_matrix(sparse.csr_matrix(weights)), (3,), (4,)), weights)


def test_sparse_keeps_every_synapse_and_knows_where_it_came_from():
    sources, targets = np.array([2, 0, 2, 2, 0]), np.array([1, 1, 0, 1, 0])
    weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    synapses = Sparse(sources, targets, weights).synapses((3,), (2,), KEY)
    assert synapses.offsets.tolist() == [0, 2, 2, 5]
    assert synapses.targets.tolist() == [0, 1, 0, 1, 1]
    assert synapses.weights.tolist() == [5.0, 2.0, 3.0, 1.0, 4.0]  # equal pairs in the order given
    assert np.array_equal(weights[synapses.order], synapses.weights)


# -- convolution and pooling --------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 3), (1, 1)])
def test_convolution_is_cross_correlation(stride, padding, kernel):
    generator = np.random.default_rng(0)
    weights, image = generator.normal(size=(3, 2, *kernel)), generator.normal(size=(2, 6, 7))
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    expected = np.array(
        [
            sum(signal.correlate2d(padded[i], weights[o, i], "valid") for i in range(2))[::stride, ::stride]
            for o in range(3)
        ]
    )
    matrix = matrix_of(Conv2d(weights, stride, padding), image.shape, expected.shape)
    assert image.reshape(-1) @ matrix == pytest.approx(expected.reshape(-1), rel=1e-12)


def test_convolution_is_that_of_torch():
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(1)
    weights, image = generator.normal(size=(4, 3, 5, 5)), generator.normal(size=(3, 9, 11))
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image)[None], torch.from_numpy(weights), stride=2, padding=2
    )[0].numpy()
    matrix = matrix_of(Conv2d(weights, 2, 2), image.shape, expected.shape)
    assert image.reshape(-1) @ matrix == pytest.approx(expected.reshape(-1), rel=1e-12)


@pytest.mark.parametrize(("size", "stride", "shape"), [(2, None, (2, 3, 3)), (3, 1, (2, 4, 4)), (3, 2, (2, 2, 2))])
def test_sum_pooling_sums_each_window(size, stride, shape):
    image = np.random.default_rng(2).integers(0, 5, (2, 6, 6)).astype(float)
    matrix = matrix_of(SumPool2d(size, stride, 0.5), image.shape, shape)
    step = stride or size
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(1, 2))[:, ::step, ::step]
    assert (image.reshape(-1) @ matrix).reshape(shape) == pytest.approx(0.5 * windows.sum(axis=(3, 4)))


def test_an_incomplete_window_at_the_border_is_dropped():
    assert SumPool2d(2).output_shape((1, 5, 7)) == (1, 2, 3)
    assert matrix_of(SumPool2d(2), (1, 5, 7), (1, 2, 3)).sum() == 2 * 3 * 4


def test_max_pooling_says_that_a_target_counts_once():
    assert MaxPool2d(2).synapses((1, 4, 4), (1, 2, 2), KEY).once
    assert not SumPool2d(2).synapses((1, 4, 4), (1, 2, 2), KEY).once


# -- random wiring ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.003, 0.1, 0.5, 0.97])
def test_fixed_probability_has_the_count_of_a_binomial(probability):
    n, m, seeds = 40, 50, 300
    counts = [matrix_of(FixedProbability(probability), (n,), (m,), Key(seed, "x")).astype(int) for seed in range(seeds)]
    stacked = np.array(counts)
    assert stacked.max() <= 1  # a pair is connected once or not at all
    totals, mean = stacked.sum(axis=(1, 2)), n * m * probability
    variance = mean * (1 - probability)
    assert abs(totals.mean() - mean) < 5 * np.sqrt(variance / seeds)
    assert abs(totals.var() / variance - 1) < 5 * np.sqrt(2 / seeds)
    everywhere = stacked.mean(axis=0)  # no pair is favoured: neither the first, nor the last
    assert np.all(np.abs(everywhere - probability) < 6 * np.sqrt(probability * (1 - probability) / seeds) + 1 / seeds)


@pytest.mark.parametrize(("probability", "share"), [(0.0, 0), (1.0, 1), (1e-18, 0), (1e-300, 0)])
def test_probabilities_at_the_ends(probability, share):
    assert matrix_of(FixedProbability(probability), (30,), (20,)).sum() == share * 600


def test_in_degree_is_exact_and_sources_are_equally_likely():
    matrix = matrix_of(FixedInDegree(40), (25,), (200,))
    assert np.all(matrix.sum(axis=0) == 40)
    assert stats.chisquare(matrix.sum(axis=1)).pvalue > 1e-3


def test_total_number_is_exact_and_ends_are_equally_likely():
    matrix = matrix_of(FixedTotalNumber(6000), (25,), (30,))
    assert matrix.sum() == 6000
    assert stats.chisquare(matrix.sum(axis=1)).pvalue > 1e-3
    assert stats.chisquare(matrix.sum(axis=0)).pvalue > 1e-3


@pytest.mark.parametrize(
    "rule", [FixedProbability(0.5, self_connections=False), FixedInDegree(30, self_connections=False)]
)
@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 30), (30, 20), (2, 9)])
def test_no_neuron_meets_itself_where_that_is_forbidden(rule, n, m):
    matrix = matrix_of(rule, (n,), (m,))
    k = min(n, m)
    assert np.all(np.diag(matrix[:k, :k]) == 0)
    if isinstance(rule, FixedInDegree):
        assert np.all(matrix.sum(axis=0) == 30)


def test_all_others_are_equally_likely_where_a_neuron_may_not_meet_itself():
    matrix = matrix_of(FixedInDegree(3000, self_connections=False), (6,), (8,))
    for target in range(8):
        others = np.delete(matrix[:, target], target) if target < 6 else matrix[:, target]
        assert stats.chisquare(others).pvalue > 1e-3 / 8


@pytest.mark.parametrize("kind", [FixedProbability, FixedInDegree])
@pytest.mark.parametrize(("n", "m"), [(80, 20), (20, 80), (20, 20), (1, 20), (1, 1)])
def test_self_connections_are_those_of_one_population(backend, kind, n, m):
    """All pairs of two populations, as drawn, forecast, and counted in a run; of one, all but a neuron with itself."""
    everything = (lambda size: 1.0) if kind is FixedProbability else (lambda size: size)
    populations = [Population("E", n, Scripted(np.zeros(n), np.arange(n))), Population("I", m, LIF(threshold=1e9))]
    across = Projection("E", "I", kind(everything(n), 0.5, self_connections=False))
    within = Projection("I", "I", FixedProbability(1.0, self_connections=False), delay=1e-3)
    network = Network(populations, [across, within], dt=1e-3)
    drawn = network.synapses(across)
    assert drawn.weights.size == n * m
    if kind is FixedProbability:
        assert np.array_equal(drawn.targets.reshape(n, m), np.tile(np.arange(m), (n, 1)))
    elif n == m == 20:
        sources = np.repeat(np.arange(n), np.diff(drawn.offsets))
        assert np.any(sources == drawn.targets)
    own = network.synapses(within)
    assert own.weights.size == m * (m - 1)
    assert np.all(np.repeat(np.arange(m), np.diff(own.offsets)) != own.targets)
    assert network.memory().n_synapses == n * m + m * (m - 1)
    fixed = network.resolved()
    assert [fixed.synapses(projection).weights.size for projection in fixed.projections] == [n * m, m * (m - 1)]
    counted = Simulation(network, backend).run(1e-3).counters
    assert counted.synaptic_operations[0].tolist() == [n * m, 0]


def test_one_source_is_enough_for_another_population_and_not_for_its_own():
    one = Population("one", 1, LIF())
    rule = FixedInDegree(1, self_connections=False)
    network = Network([one, Population("many", 9, LIF())], [Projection("one", "many", rule, delay=1e-3)], dt=1e-3)
    assert network.synapses(network.projections[0]).weights.size == 9
    with pytest.raises(NetworkError, match="'one->one': FixedInDegree without self-connections needs two sources"):
        Network([one], [Projection("one", "one", rule, delay=1e-3)], dt=1e-3)


def test_all_pairs_without_self_connections():
    assert np.array_equal(matrix_of(FixedProbability(1.0, self_connections=False), (5,), (5,)), 1 - np.eye(5))


@pytest.mark.parametrize(
    "rule",
    [
        FixedProbability(0.3, Normal(0.0, 1.0)),
        FixedInDegree(5, Uniform(0.0, 1.0)),
        FixedTotalNumber(50, LogNormal(1.0, 0.5)),
        Dense(Kaiming()),
        OneToOne(Normal()),
    ],
)
def test_the_seed_and_the_name_decide_and_nothing_else(rule):
    first = matrix_of(rule, (20,), (20,), Key(1, "x"))
    assert np.array_equal(first, matrix_of(rule, (20,), (20,), Key(1, "x")))
    assert not np.array_equal(first, matrix_of(rule, (20,), (20,), Key(2, "x")))
    assert not np.array_equal(first, matrix_of(rule, (20,), (20,), Key(1, "y")))
    fixed = rule.resolved((20,), (20,), Key(1, "x"))
    assert np.array_equal(first, matrix_of(fixed, (20,), (20,), Key(99, "other")))


# -- distributions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (Normal(2.0, 3.0), stats.norm(2.0, 3.0)),
        (Normal(0.0, 1.0, low=-0.5, high=2.0), stats.truncnorm(-0.5, 2.0)),
        (Normal(0.0, 1.0, 2.5, 3.0), stats.truncnorm(2.5, 3.0)),
        (Normal(-2.0, 0.5, low=0.3), stats.truncnorm(4.6, np.inf, -2.0, 0.5)),
        (Normal(2.0, 0.5, high=-0.3), stats.truncnorm(-np.inf, -4.6, 2.0, 0.5)),
        (Normal(1.0, 2.0, 0.999, 1.001), stats.truncnorm(-0.0005, 0.0005, 1.0, 2.0)),
        (Normal(0.0, 1.0, 1.5, 1.51), stats.truncnorm(1.5, 1.51)),
        (Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0)),
        (LogNormal(2.0, 1.0), stats.lognorm(np.sqrt(np.log(1.25)), scale=2.0 / np.sqrt(1.25))),
        (Kaiming(2.0), stats.uniform(-2.0 * np.sqrt(3 / 50), 4.0 * np.sqrt(3 / 50))),
    ],
)
def test_draws_follow_their_distribution(distribution, expected):
    values = distribution.draw(50_000, 3, 4, 50.0)
    assert stats.kstest(values, expected.cdf).pvalue > 1e-3
    assert np.array_equal(values[:100], distribution.draw(100, 3, 4, 50.0))
    assert np.unique(values).size > 49_900  # none is moved to where another is
    lowest, highest = distribution.reach(50_000, 50.0)
    assert lowest <= values.min() < values.max() <= highest


@pytest.mark.parametrize("seed", range(20))
def test_bounds_hold_a_millionth_of_a_distribution_or_more(seed):
    """At random bounds, and just inside and outside of the limit."""
    generator = np.random.default_rng(seed)
    mean, sd = generator.normal(0.0, 3.0), 10.0 ** generator.uniform(-3, 2)
    for share in (0.9e-6, 1.1e-6, 10.0 ** generator.uniform(-12, 0)):
        below = generator.random() * (1.0 - share)
        ends = [stats.norm.ppf(below), stats.norm.ppf(below + share)]
        one_sided = stats.norm.isf(share)
        for low, high in (ends, (one_sided, np.inf), (-np.inf, -one_sided)):
            bounds = mean + sd * low, mean + sd * high
            if share > 1e-6:
                values = Normal(mean, sd, *bounds).draw(50, seed, 1, 1.0)
                assert np.all((values >= bounds[0]) & (values <= bounds[1]))
                continue
            with pytest.raises(ParameterError, match=r"a share of \S+ lies between low=.*at least 1e-06 must"):
                Normal(mean, sd, *bounds)


def test_kaiming_is_the_bound_of_torch_layers():
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(60, 500)
    weights = Dense(Kaiming(1 / np.sqrt(3))).matrix((60,), (500,), KEY)
    assert np.abs(weights).max() <= 1 / np.sqrt(60)
    assert np.abs(weights).max() == pytest.approx(float(layer.weight.detach().abs().max()), rel=1e-3)
    kernels = Conv2d(Kaiming(1.0), kernel=5).kernels((4, 9, 9), (6, 5, 5), KEY)
    assert kernels.shape == (6, 4, 5, 5)
    assert np.abs(kernels).max() == pytest.approx(np.sqrt(3 / 100), rel=2e-2)


# -- nonsense -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(np.array([[1.0, np.nan]])), r"Dense weights holds NaN \(1 of 2\)"),
        (lambda: Dense([[np.inf]]), "Dense weights holds infinite values"),
        (lambda: Dense("much"), "Dense weights='much': expected a number, an array or a Distribution"),
        (lambda: Sparse([0, 1], [0]), r"Sparse: sources \(2,\) and targets \(1,\)"),
        (lambda: Sparse([0.5], [0]), "Sparse: sources and targets must be whole numbers"),
        (lambda: Sparse([-1], [0]), "zero or above"),
        (lambda: Sparse([0], [2**31]), "target numbers must fit in 32 bits"),
        (lambda: Sparse([0, 1], [0, 1], [1.0]), r"weights have shape \(1,\), expected one number or \(2,\)"),
        (lambda: Sparse.from_matrix([1.0, 2.0]), r"matrix has shape \(2,\)"),
        (lambda: Conv2d(np.ones((2, 2))), r"Conv2d weights have shape \(2, 2\)"),
        (lambda: Conv2d(Kaiming()), "with kernel="),
        (lambda: Conv2d(1.0), "4-dimensional array"),
        (lambda: Conv2d(Kaiming(), kernel=2.5), r"Conv2d kernel=2\.5: must be a whole number"),
        (lambda: Conv2d(np.ones((1, 1, 3, 3)), kernel=5), "kernel=5, but the weights"),
        (lambda: Conv2d(np.ones((1, 1, 3, 3)), stride=0), "Conv2d stride=0"),
        (lambda: Conv2d(np.ones((1, 1, 3, 3)), padding=-1), "Conv2d padding=-1"),
        (lambda: SumPool2d(0), "SumPool2d size=0"),
        (lambda: MaxPool2d(2, 0), "MaxPool2d stride=0"),
        (lambda: SumPool2d(2, weights=Normal()), "SumPool2d weights: one number"),
        (lambda: FixedProbability(1.5), r"FixedProbability probability=1\.5: must lie between 0 and 1"),
        (lambda: FixedProbability(np.nan), "probability=nan"),
        (lambda: FixedProbability(0.1, np.ones(4)), "FixedProbability weights: one number or a Distribution"),
        (lambda: FixedProbability("half"), "probability='half': must be a finite number"),
        (lambda: MaxPool2d(None), "MaxPool2d size=None"),
        (lambda: Normal("0"), "Normal mean='0': must be a number"),
        (lambda: Normal(0.0, 1.0, None), "Normal low=None: must be a number"),
        (lambda: Uniform([0.0]), "Uniform low="),
        (lambda: FixedInDegree(-1), "in_degree=-1"),
        (lambda: FixedInDegree(2.0), r"in_degree=2\.0"),
        (lambda: FixedTotalNumber(True), "total=True"),
        (lambda: Normal(0.0, -1.0), r"Normal sd=-1\.0"),
        (lambda: Normal(0.0, 1.0, 2.0, 1.0), "Normal low=2 must be below high=1"),
        (
            lambda: Normal(-0.1, 0.01, low=0.0),
            r"Normal\(mean=-0\.1, sd=0\.01\): a share of 7\.6e-24 lies between low=0",
        ),
        (lambda: Normal(1.0, 0.0, 2.0, 3.0), "a share of 0 lies between"),
        (lambda: Normal(1e308, 1e308), "Normal: its numbers would reach inf"),
        (lambda: Normal(10**400), "Normal mean=1000.*: must be a number"),
        (lambda: Uniform(-1e308, 1e308), "Uniform: its numbers would reach inf"),
        (lambda: LogNormal(1.0, 1e200), r"LogNormal sd=1e\+200: at most 1e\+150 times mean=1"),
        (lambda: LogNormal(1e308, 1e308), "LogNormal: its numbers would reach"),
        (lambda: Kaiming(1.5e308), "Kaiming: its numbers would reach"),
        (lambda: Uniform(1.0, 0.0), "Uniform low=1"),
        (lambda: Uniform(0.0, np.inf), "Uniform"),
        (lambda: Normal(np.nan), "Normal mean"),
        (lambda: LogNormal(0.0), r"LogNormal mean=0\.0"),
        (lambda: Kaiming(-1.0), "Kaiming gain"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


@pytest.mark.parametrize(
    ("rule", "source", "target", "message"),
    [
        (Dense(np.ones((3, 2))), (2,), (3,), r"expected \(sources, targets\) \(2, 3\); transpose it"),
        (Dense(np.ones((3, 4))), (2,), (3,), r"Dense weights have shape \(3, 4\), expected .* \(2, 3\)$"),
        (OneToOne(), (2,), (3,), "OneToOne needs populations of one size, got 2 and 3"),
        (OneToOne(np.ones(3)), (2,), (2,), r"OneToOne weights have shape \(3,\), expected \(2,\)"),
        (Sparse([5], [0]), (2,), (3,), "Sparse names source 5, the population has 2"),
        (Sparse([0], [3]), (2,), (3,), "Sparse names target 3, the population has 3"),
        (Conv2d(np.ones((2, 1, 3, 3))), (5,), (2, 3, 3), r"Conv2d connects populations of shape \(channels"),
        (Conv2d(np.ones((2, 1, 3, 3))), (2, 5, 5), (2, 3, 3), "take 1 channels, the source has 2"),
        (
            Conv2d(np.ones((2, 1, 3, 3))),
            (1, 5, 5),
            (2, 5, 5),
            r"gives shape \(2, 3, 3\), but the target .* \(2, 5, 5\)",
        ),
        (MaxPool2d(2), (1, 4, 4), (1, 3, 3), r"MaxPool2d on \(1, 4, 4\) gives shape \(1, 2, 2\)"),
        (FixedInDegree(3, self_connections=False), (1,), (4,), "needs two sources or more"),
    ],
)
def test_a_rule_that_does_not_fit_the_shapes_says_so(rule, source, target, message):
    with pytest.raises(NetworkError, match=message):
        rule.check(source, target, "projection 'a->b'")


def test_registries_name_their_classes():
    assert all(RULES[name].__name__ == name for name in RULES)
    assert all(DISTRIBUTIONS[name].__name__ == name for name in DISTRIBUTIONS)
