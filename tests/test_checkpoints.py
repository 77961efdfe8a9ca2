"""Checkpoints: every field of a state is kept, and what does not fit is refused."""

from dataclasses import dataclass, field

import h5py
import numpy as np
import pytest

from snnsim import LIF, FixedProbability, Network, Poisson, Population, Projection, Simulation
from snnsim.backends.contract.state import State
from snnsim.errors import DataError, ParameterError
from snnsim.simulation import checkpoints


@dataclass
class Learned:
    weights: np.ndarray
    gain: float
    on: bool


@dataclass
class LearningState(State):
    """A state with more in it than any engine of today has."""

    learned: dict[str, Learned] = field(default_factory=dict)
    by_number: dict[int, np.ndarray] = field(default_factory=dict)
    parts: tuple[np.ndarray, ...] = ()
    label: str = ""
    maybe: np.ndarray | None = None


def small():
    populations = [Population("noise", 5, Poisson(50.0)), Population("cells", 4, LIF())]
    return Network(populations, [Projection("noise", "cells", FixedProbability(0.5, 0.4), delay=2e-3)], dt=1e-3)


def state(seed, maybe=None):
    generator = np.random.default_rng(seed)
    return LearningState(
        generator.random((1, 30)).astype(np.float32),
        generator.integers(0, 9, (1, 4)).astype(np.int32),
        int(generator.integers(0, 2**40)),
        learned={
            name: Learned(generator.random(7), float(generator.random()), seed % 2 == 1) for name in ("a->b", "b")
        },
        by_number={3: generator.integers(0, 5, 3), 1: np.zeros(0, np.uint8)},
        parts=(generator.random(2), generator.random((2, 3))),
        label=f"state {seed}",
        maybe=maybe,
    )


def assert_equal(first, second):
    assert type(first) is type(second)
    if isinstance(first, np.ndarray):
        assert first.dtype == second.dtype
        assert np.array_equal(first, second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_equal(first[key], second[key])
    elif isinstance(first, tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_equal(one, other)
    elif hasattr(first, "__dataclass_fields__"):
        assert_equal(vars(first), vars(second))
    else:
        assert first == second


@pytest.mark.parametrize("maybe", [None, np.arange(3.0)])
def test_every_field_of_a_state_comes_back(tmp_path, maybe):
    path = tmp_path / "run.h5"
    run = checkpoints.UnfinishedRun("abc", 2**33, 7, {"duration": "7 ticks", "größe": "x" * 100_000})
    checkpoints.save(path, small(), state(1, maybe), backend="cpu", dtype="float32", run=run)
    assert_equal(checkpoints.load_state(path, state(2)), state(1, maybe))
    facts = checkpoints.load_facts(path)
    assert (facts.backend, facts.dtype, facts.tick, facts.run) == ("cpu", "float32", state(1).tick, run)
    assert str(facts.network) == str(small())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda group: group.__delitem__("parts"), "damaged or not complete .*parts"),
        (lambda group: group["learned"].__delitem__("b"), "damaged or not complete"),
        (lambda group: group.__setitem__("colour", [1]), "state holds colour, which this snnsim does not know"),
        (lambda group: group["learned/b"].attrs.__setitem__("shade", 1), "b holds shade"),
        (lambda group: group["by_number"].move("3", "4"), "by_number holds 4"),
        (
            lambda group: (group.__delitem__("floats"), group.__setitem__("floats", np.zeros((1, 30)))),
            r"floats holds float64 \(1, 30\), expected float32 \(1, 30\)",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused(tmp_path, damage, message):
    path = tmp_path / "run.h5"
    checkpoints.save(path, small(), state(1), backend="cpu", dtype="float32")
    with h5py.File(path, "r+") as file:
        damage(file["state"])
    with pytest.raises(DataError, match=message):
        checkpoints.load_state(path, state(2))


def test_drawn_synapses_are_not_stored(tmp_path):
    populations = [Population("noise", 1000, Poisson(5.0)), Population("cells", 1000, LIF())]
    for i, probability in enumerate((0.001, 0.5)):
        projection = Projection("noise", "cells", FixedProbability(probability, 0.4), delay=2e-3)
        net = Network(populations, [projection], dt=1e-3)
        simulation = Simulation(net, "reference")
        simulation.run(0.01)
        simulation.save_checkpoint(tmp_path / f"{i}.h5")
    sizes = [(tmp_path / f"{i}.h5").stat().st_size for i in range(2)]
    assert sizes[0] == sizes[1] < 100_000


def test_another_precision_is_refused_however_a_run_goes_on(tmp_path):
    simulation = Simulation(small())
    simulation.run(0.005)
    simulation.save_checkpoint(tmp_path / "c.h5")
    for begin in (Simulation.from_checkpoint, Simulation.resume):
        assert begin(tmp_path / "c.h5", dtype="float32").tick == 5
        with pytest.raises(ParameterError, match=r"dtype='float64': the checkpoint .* is in float32"):
            begin(tmp_path / "c.h5", dtype="float64")
    with pytest.raises(ParameterError, match="path=3: expected a path"):
        Simulation.from_checkpoint(3)
