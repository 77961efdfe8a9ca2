"""Poisson drives: their statistics, what they do, and the same numbers on every backend and in any batch."""

import decimal
import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from snnsim import (
    IF,
    LI,
    LIF,
    Delta,
    Events,
    Exponential,
    Input,
    Network,
    OneToOne,
    PoissonDrive,
    Population,
    Projection,
    Simulation,
    Trace,
)
from snnsim.errors import CapabilityError, ParameterError
from snnsim.neurons import DriveTable, drive_counts, drive_key
from snnsim.neurons.sources import drives

DT = 1e-3
SUM = LI(time_constant=np.inf)  # adds up what arrives


def counts_of(rate, n_ticks, size, *, recording=0, dt=DT, number=0, seed=0):
    """Return the events of a drive, shape (ticks, neurons)."""
    table, key = PoissonDrive(rate, 1.0).table(dt), drive_key(seed, "cells", number)
    return np.array([drive_counts(key, table, recording, tick, size) for tick in range(n_ticks)])


def network(drive, *, size=5, model=SUM, seed=0):
    return Network([Population("cells", size, model, drive=drive)], [], dt=DT, seed=seed)


# -- numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.0, 1e-4, 0.1, 2.0, 17.0, 100.0])
def test_counts_follow_the_poisson_distribution(mean):
    """Chi-square against the probabilities of scipy, at 1e-4; the mean within four standard errors."""
    counts = counts_of(mean / DT, 400, 501).ravel()
    assert abs(counts.mean() - mean) <= 4 * np.sqrt(mean / counts.size)
    if mean >= 0.1:
        low, high = (int(stats.poisson.ppf(q, mean)) for q in (1e-3, 1 - 1e-3))
        edges = np.arange(low, high + 1)
        expected = np.diff(np.concatenate(([0.0], stats.poisson.cdf(edges, mean), [1.0])))
        found = np.bincount(np.clip(counts, low, high + 1) - low, minlength=expected.size)
        assert stats.chisquare(found, expected * counts.size).pvalue > 1e-4


MEANS = [0.0, 1e-300, 1e-16, 1.1e-16, 1e-13, 1e-10, 1e-9, 1e-6, 0.1, 1.0, 2.0, 17.3, 100.0]


def exact_cumulative(mean):
    """Return the cumulative distribution in 60 digits, up to what is left being nothing in 64 bits."""
    with decimal.localcontext(decimal.Context(prec=60)):
        term = total = (-decimal.Decimal(mean)).exp()
        values = [total]
        while 1 - total > decimal.Decimal(2) ** -64 or len(values) < mean:
            term = term * decimal.Decimal(mean) / len(values)
            total += term
            values.append(total)
        return [Fraction(value) for value in values]


@pytest.mark.parametrize("mean", MEANS)
def test_thresholds_are_the_distribution_to_53_bits(mean):
    thresholds = PoissonDrive(mean / DT, 1.0).thresholds(DT)[:, 0]
    for found, right in itertools.zip_longest(thresholds.tolist(), exact_cumulative(mean / DT * DT)):
        assert abs((2**32 if found is None else Fraction(found)) / 2**32 - right) < Fraction(1.01) / 2**54
    assert np.all(np.diff(thresholds) >= 0)
    assert np.all(thresholds < 2**32)


def shares(table, column=0):
    """Return the probability of each count, as the numbers of 32 bits and the second ones have it."""
    top = int(table.top[column])
    edges = [0, *(min(int(row[column]), top) for row in table.thresholds), top]
    seconds = [0, *(int(row[column]) for row in table.remainders), 2**32 - 1]
    seconds = [min(edge, 2**32 - 1) for edge in seconds]
    count = max(len(edges), len(seconds)) - 1
    found = [Fraction(0)] * count
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        found[k] += Fraction(high - low, 2**32)
    for k, (low, high) in enumerate(itertools.pairwise(seconds)):
        # The largest second number counts as the one before it.
        values = high - low + (high == 2**32 - 1 > low)
        found[k] += Fraction((2**32 - top) * values, 2**64)
    return found


@pytest.mark.parametrize("mean", MEANS)
def test_what_is_drawn_is_the_distribution_to_53_bits(mean):
    found, total = shares(PoissonDrive(mean / DT, 1.0).table(DT)), Fraction(0)
    assert sum(found) == 1
    for share, right in itertools.zip_longest(found, exact_cumulative(mean / DT * DT)):
        total += share or 0
        assert right is None or abs(total - right) <= Fraction(1, 2**53)


@pytest.mark.parametrize("together", [1, 2, 4096])
def test_rates_one_a_neuron_are_drawn_as_each_alone(monkeypatch, together):
    monkeypatch.setattr(drives, "_TOGETHER", together)
    means = np.array([0.0, 1e-10, 3.0, 1e-3, 40.0])
    together = PoissonDrive(means / DT, 1.0).table(DT)
    for column, mean in enumerate(means):
        found, alone = shares(together, column), shares(PoissonDrive(mean / DT, 1.0).table(DT))
        assert found[: len(alone)] == alone
        assert not any(found[len(alone) :])


@pytest.mark.parametrize("rate", [1e-2, 1e-3, 1e-4, 1e-6])
@pytest.mark.parametrize("dt", [1e-6, 1e-7])
def test_low_rates_at_fine_ticks_are_what_was_asked_for(rate, dt):
    """32 bits gave 1.16 of 0.001/s at a microsecond, and none of 0.0001/s."""
    found = shares(PoissonDrive(rate, 1.0).table(dt))
    mean = float(sum(k * share for k, share in enumerate(found)))
    assert mean == pytest.approx(rate * dt, abs=2.0**-53, rel=0)


@pytest.mark.parametrize("each", [False, True])
def test_numbers_that_are_left_over_take_a_second_one(backend, each, monkeypatch):
    """They are too rare to be met by chance: here half of all are, a quarter of which is one event, and half two."""
    top, thresholds, remainders = [2**31], [[2**29]], [[2**30], [2**31]]
    table = DriveTable(*(np.array(part, np.uint32) for part in (thresholds, top, remainders)))
    if each:
        table = DriveTable(*(np.repeat(part, 600, axis=-1) for part in table))
    monkeypatch.setattr(PoissonDrive, "table", lambda drive, dt: table)
    size, n_ticks = 600, 40
    sim = Simulation(network(PoissonDrive(1.0, 1.0), size=size), backend, dtype="float64")
    sums = sim.run(n_ticks * DT, record=Trace("cells")).traces["cells.membrane"][0]
    counts = np.diff(sums, axis=0, prepend=0.0).astype(int)
    key = drive_key(0, "cells", 0)
    assert counts.tolist() == [drive_counts(key, table, 0, tick, size).tolist() for tick in range(n_ticks)]
    shares = np.bincount(counts.ravel(), minlength=3) / counts.size
    right = np.array([1 / 8 + 1 / 8, 3 / 8 + 1 / 8, 1 / 4])
    assert np.all(np.abs(shares - right) < 4 * np.sqrt(right / counts.size))


def test_neurons_ticks_recordings_drives_and_seeds_are_independent():
    base = counts_of(2000.0, 300, 40)
    others = [
        base[:, ::-1],
        np.roll(base, 1, axis=0),
        counts_of(2000.0, 300, 40, recording=1),
        counts_of(2000.0, 300, 40, number=1),
        counts_of(2000.0, 300, 40, seed=1),
    ]
    for other in others:
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(base.size)
    assert np.array_equal(base[:, :7], counts_of(2000.0, 300, 7))  # a neuron's numbers do not depend on the others


# -- in a network ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 257, 700])
def test_a_sum_counts_the_events(backend, size, dtype):
    rates = np.linspace(0.0, 90e3, size) if size > 2 else 3000.0
    sim = Simulation(network(PoissonDrive(rates, 0.5), size=size), backend, dtype=dtype)
    trace = sim.run(0.03, record=Trace("cells")).traces["cells.membrane"][0]
    assert trace.tolist() == (0.5 * np.cumsum(counts_of(rates, 30, size), axis=0)).tolist()


def test_the_events_come_after_the_spikes_of_the_network_and_act_in_their_tick(backend):
    """In float32 the sum of two weights of 2**24 and of some tens of events depends on what is added first."""
    size, dtype = 3, np.float32
    cells = Population("cells", size, SUM, drive=PoissonDrive(60e3, 1.0))
    net = Network(
        [Population("in", size, Input()), cells], [Projection("in", "cells", OneToOne(2.0**24))], dt=DT, seed=0
    )
    events = Events.from_ticks([0] * 2 * size, [0, 0, 1, 1, 2, 2], n_sources=size, n_ticks=1, dt=DT)
    trace = Simulation(net, backend).run_samples(events, record=Trace("cells")).traces["cells.membrane"][0, 0]
    expected = dtype(2.0**25) + counts_of(60e3, 1, size)[0].astype(dtype)
    assert trace.tolist() == expected.tolist()


def test_two_drives_on_two_receptors(backend):
    model = LI(time_constant=np.array([5e-3] * 4), receptors=(Delta("jump"), Exponential(3e-3, "slow")))
    drives = [PoissonDrive(800.0, 1.0, "slow"), PoissonDrive(500.0, -0.25)]
    sim = Simulation(network(drives, size=4, model=model), backend, dtype="float64")
    trace = sim.run(0.04, record=Trace("cells")).traces["cells.membrane"][0]
    slow, jump = counts_of(800.0, 40, 4), counts_of(500.0, 40, 4, number=1)
    decay, coupling = model.receptor_coefficients(model.receptors[1], DT)
    membrane, current = np.zeros(4), np.zeros(4)
    for tick in range(40):
        membrane = np.exp(-0.2) * membrane + (-0.25 * jump[tick] + coupling * current)
        current = decay * current + slow[tick]
        assert trace[tick] == pytest.approx(membrane, rel=1e-12, abs=1e-15)


def test_rate_and_variance_of_a_driven_membrane(backend):
    """Campbell's theorem: mean w r dt / (1 - a) and variance w^2 r dt / (1 - a^2) for weight w, rate r and decay a."""
    tau, rate, weight = 10e-3, 5000.0, 0.3
    sim = Simulation(network(PoissonDrive(rate, weight), size=400, model=LI(tau)), backend)
    sim.run(0.1)
    values = sim.run(0.5, record=Trace("cells", every=50)).traces["cells.membrane"][0]
    decay = np.exp(-DT / tau)
    assert values.mean() == pytest.approx(weight * rate * DT / (1 - decay), rel=0.01)
    assert values.var() == pytest.approx(weight**2 * rate * DT / (1 - decay**2), rel=0.08)


def test_recordings_differ_and_do_not_depend_on_their_batch(backend):
    populations = [Population("in", 1, Input()), Population("cells", 9, IF(), drive=PoissonDrive(400.0, 0.3))]
    sim = Simulation(Network(populations, [], dt=DT), backend)
    events = Events.from_dense(np.zeros((7, 50, 1)), DT)
    whole = sim.run_samples(events, record="cells").spikes["cells"]
    parts = sim.run_samples(events, record="cells", batch_size=3).spikes["cells"]
    assert whole == parts
    assert len({one.ticks.tobytes() for one in whole}) == 7
    long = sim.run(0.05, {"in": events[0]}, record="cells").spikes["cells"]
    assert long == whole[0]


def test_a_run_that_is_cut_goes_on_with_the_same_numbers(backend, tmp_path):
    net = network(PoissonDrive(2000.0, 0.1), size=30, model=LIF(refractory=2e-3), seed=5)
    whole = Simulation(net, backend).run(0.06, record="cells").spikes["cells"]
    first = Simulation(net, backend)
    before = first.run(0.025, record="cells").spikes["cells"]
    first.save_checkpoint(tmp_path / "state.h5")
    after = Simulation.from_checkpoint(tmp_path / "state.h5").run(0.035, record="cells").spikes["cells"]
    assert np.concatenate([before.ticks, after.ticks + 25]).tolist() == whole.ticks.tolist()
    assert np.concatenate([before.sources, after.sources]).tolist() == whole.sources.tolist()
    assert whole.ticks.size > 100


# -- the description ------------------------------------------------------------------------------------------


def test_a_network_shows_and_keeps_its_drives(tmp_path):
    net = network([PoissonDrive(np.arange(5.0), 0.5), PoissonDrive(20.0, 1.0, "input")], model=LIF())
    assert "LIF() + PoissonDrive(rate=2/s, weight=0.5) + PoissonDrive(rate=20/s, weight=1, receptor=input)" in str(net)
    assert "PoissonDrive(rate=20/s, weight=1, receptor=input)" in net.schedule()
    net.save(tmp_path / "net.h5")
    first, second = Network.load(tmp_path / "net.h5").populations[0].drive
    assert first.rate.tolist() == [0, 1, 2, 3, 4]
    assert (first.weight, first.receptor, second.rate, second.receptor) == (0.5, None, 20.0, "input")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PoissonDrive(-1.0, 0.1), r"PoissonDrive rate=-1\.0: must be 0 or above"),
        (lambda: PoissonDrive(np.nan, 0.1), "PoissonDrive rate holds NaN"),
        (lambda: PoissonDrive(1.0, np.inf), r"PoissonDrive weight=inf: must be finite"),
        (lambda: PoissonDrive(1.0, [0.1, 0.2]), "PoissonDrive weight=.*must be one number"),
        (lambda: network(PoissonDrive([1.0, 2.0], 0.1)), r"'cells': PoissonDrive rate has shape \(2,\).*or \(5,\)"),
        (lambda: network(PoissonDrive(1.1e5, 0.1)), r"rate=110000/s is 110 events a tick of 0\.001 s; at most 100"),
        (lambda: network(PoissonDrive(1.0, 0.1, "slow")), "receptor='slow' is not known; there are: input"),
        (lambda: network(3.0), r"population 'cells': drive=3\.0: expected PoissonDrive"),
        (lambda: network([LIF()]), "population 'cells': drive=.*expected PoissonDrive"),
        (lambda: network(PoissonDrive(1.0, 0.1), model=Input()), "population 'cells': a source takes no drive"),
    ],
)
def test_a_drive_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_training_refuses_a_drive():
    pytest.importorskip("torch")
    from snnsim.training import TrainableNetwork

    cells = Population("cells", 2, LI(), drive=PoissonDrive(1.0, 0.1))
    net = Network([Population("in", 2, Input()), cells], [Projection("in", "cells", OneToOne(1.0))], dt=DT)
    with pytest.raises(CapabilityError, match=r"'cells' has a drive \(PoissonDrive\(rate=1/s, weight=0.1\)\)"):
        TrainableNetwork(net)
