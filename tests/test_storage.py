"""Files: every registered part comes back the same, damage is named, nothing half-written is left."""

import dataclasses

import h5py
import numpy as np
import pytest

from snnsim import (
    LI,
    LIF,
    Conductance,
    Conv2d,
    Delta,
    Dense,
    Events,
    Exponential,
    Input,
    Network,
    Population,
    Projection,
    Result,
    Scripted,
    Simulation,
    Sparse,
    Spikes,
    Trace,
    Uniform,
)
from snnsim.connectivity import DISTRIBUTIONS, RULES
from snnsim.errors import DataError, ParameterError, SnnsimError
from snnsim.neurons import MODELS, SOURCES, NeuronModel
from snnsim.storage.hdf5 import SCHEMA, replacing, sweep, write_hdf5

DT = 1e-3
#: Parts that cannot be made without arguments; everything else in the registries is made from its defaults.
NEEDED = {
    "Sparse": {"sources": [3, 0, 1], "targets": [0, 0, 2], "weights": [0.1, 0.2, 0.3]},
    "Conv2d": {"weights": np.arange(9.0).reshape(1, 1, 3, 3), "padding": 1},
    "Scripted": {"times": [0.001, 0.0], "sources": [1, 0]},
}


def same(first, second):
    """Whether two parts have equal types and fields, all the way down."""
    if dataclasses.is_dataclass(first):
        return type(first) is type(second) and all(
            same(getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(first)
        )
    if isinstance(first, np.ndarray):
        return isinstance(second, np.ndarray) and first.dtype == second.dtype and np.array_equal(first, second)
    if isinstance(first, tuple):
        return isinstance(second, tuple) and len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


def round_trip(network, folder):
    network.save(folder / "network.h5")
    return Network.load(folder / "network.h5")


def varied(model):
    """Return a model with an array, a tuple and a flag away from their defaults, where it has such fields."""
    fields = {field.name for field in dataclasses.fields(model)}
    values = {"bias": np.arange(4.0), "strict": True, "reset": 0.5, "refractory": 2e-3, "time_constant": np.inf}
    values["receptors"] = (Delta("a"), Delta("b"))
    if model.__name__ == "ConductanceLIF":  # which has a leak, and receptors that move it
        values["time_constant"], values["receptors"] = 0.03, (Conductance(0.01, 60.0, "a"),)
        values["reset"] = -0.07
    return model(**{name: value for name, value in values.items() if name in fields})


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("make", [lambda model: model(), varied])
def test_every_model_comes_back(name, make, tmp_path):
    network = Network([Population("cells", (2, 2), make(MODELS[name]))], [], dt=DT, seed=2**62, name="größer")
    back = round_trip(network, tmp_path)
    assert same(network.populations, back.populations)
    assert (back.dt, back.seed, back.name) == (DT, 2**62, "größer")


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_comes_back(name, tmp_path):
    network = Network([Population("source", 4, SOURCES[name](**NEEDED.get(name, {})))], [], dt=DT)
    assert same(network.populations, round_trip(network, tmp_path).populations)


@pytest.mark.parametrize(
    ("name", "delay"),
    [
        (name, delay)
        for name in sorted(RULES)
        for delay in (0.0, 2e-3, Uniform(1e-3, 5e-3))
        if name != "MaxPool2d" or isinstance(delay, float)  # max pooling has one delay; a Network refuses others
    ],
)
def test_every_rule_comes_back_and_gives_the_same_synapses(name, delay, tmp_path):
    rule = RULES[name](**NEEDED.get(name, {}))
    pooled = (1, 2, 2) if "Pool" in name else (1, 4, 4)
    populations = [Population("in", (1, 4, 4), Input()), Population("out", pooled, LIF())]
    network = Network(populations, [Projection("in", "out", rule, delay=delay)], dt=DT, seed=5)
    back = round_trip(network, tmp_path)
    assert same(network.projections, back.projections)
    first, second = (net.synapses(net.projections[0]) for net in (network, back))
    assert same(first, second)


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
def test_every_distribution_comes_back(name, tmp_path):
    populations = [Population("in", 3, Input()), Population("out", 3, LIF())]
    network = Network(populations, [Projection("in", "out", Dense(DISTRIBUTIONS[name]()))], dt=DT)
    assert same(network.projections, round_trip(network, tmp_path).projections)


def test_exotic_values_come_back(tmp_path):
    receptors = (Exponential(5e-3, "slow"), Delta("fast"))
    populations = [
        Population("in", (2, 5, 5), Input()),
        Population("mid", (1, 3, 3), LIF(receptors=receptors, initial=np.linspace(0, 1, 9))),
        Population("out", 2, LI(time_constant=0.0)),
    ]
    projections = [
        Projection("in", "mid", Conv2d(Uniform(-1.0, 1.0), kernel=3), receptor="fast", name="κ"),
        Projection("mid", "out", Sparse([], []), delay=3e-3),
        Projection("mid", "mid", Dense(0.1), delay=np.arange(1, 82).reshape(9, 9) * DT),
    ]
    network = Network(populations, projections, dt=DT, name="")
    back = round_trip(network, tmp_path)
    assert same(network.populations, back.populations)
    assert same(network.projections, back.projections)
    assert back.name == ""


def test_a_model_of_ones_own_is_refused_and_leaves_no_file(tmp_path):
    class Mine(LIF):
        pass

    with pytest.raises(SnnsimError, match="cannot save a Mine"):
        Network([Population("a", 1, Mine())], [], dt=DT).save(tmp_path / "network.h5")
    assert list(tmp_path.iterdir()) == []


# -- damage -------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """Return a file of events large enough to have an inside."""
    path = tmp_path / "events.h5"
    ticks = np.sort(np.random.default_rng(0).integers(0, 1000, 20_000))
    Events.from_ticks(ticks, np.zeros(20_000, int), n_sources=1, dt=DT).save(path)
    return path


def fails(load, path, message):
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_named(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    fails(Events.load, saved, "not a readable HDF5 file; it may be cut short or of another format|damaged")


@pytest.mark.parametrize("load", [Network.load, Result.load, Simulation.from_checkpoint])
def test_a_file_of_another_kind_is_named(saved, load):
    fails(load, saved, r"expected a file of kind 'snnsim\.\w+', found 'snnsim\.events'")


def test_no_file_and_no_hdf5(tmp_path):
    fails(Events.load, tmp_path / "none.h5", "no such file")
    fails(Events.load, tmp_path, "is a folder")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    fails(Events.load, tmp_path / "text.h5", "not a readable HDF5 file")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = [1]
    fails(Events.load, tmp_path / "foreign.h5", "expected a file of kind 'snnsim.events', found None")


def test_a_newer_schema_is_named(saved):
    with h5py.File(saved, "r+") as file:
        file.attrs["schema"] = SCHEMA + 1
    fails(Events.load, saved, f"written with schema {SCHEMA + 1}, this snnsim reads schema {SCHEMA}; update snnsim")


@pytest.mark.parametrize("part", ["ticks", "sources", "offsets"])
def test_a_missing_part_is_named(saved, part):
    with h5py.File(saved, "r+") as file:
        del file[part]
    fails(Events.load, saved, part)


def test_flipped_bytes_are_an_error_of_ours(saved):
    with h5py.File(saved, "r") as file:
        start = file["ticks"].id.get_chunk_info(0).byte_offset
    content = bytearray(saved.read_bytes())
    content[start : start + 200] = b"\xff" * 200
    saved.write_bytes(bytes(content))
    with pytest.raises(DataError):
        Events.load(saved)


def test_a_damaged_network_is_named(tmp_path):
    path = tmp_path / "network.h5"
    network = Network([Population("a", 1, LIF()), Population("b", 1, LIF())], [], dt=DT)
    for damage, message in (
        (lambda file: file["populations/000000/model"].attrs.__setitem__("type", "Unheard"), "the type 'Unheard'"),
        (lambda file: file["populations/000000/model"].attrs.__setitem__("field.colour", 3), "colour"),
        (lambda file: file["populations/000001"].attrs.__delitem__("type"), "damaged"),
        (lambda file: file.attrs.__delitem__("dt"), "damaged.*dt"),
        (lambda file: file.__delitem__("projections"), "damaged.*projections"),
    ):
        network.save(path)
        with h5py.File(path, "r+") as file:
            damage(file)
        fails(Network.load, path, message)


def test_a_result_without_its_counters_is_named(tmp_path):
    net = Network([Population("a", 2, LIF(bias=0.3))], [], dt=DT)
    path = tmp_path / "result.h5"
    Simulation(net, "reference").run(0.01).save(path)
    with h5py.File(path, "r+") as file:
        del file["counters"]
    fails(Result.load, path, "damaged or not complete.*counters")


# -- writing ------------------------------------------------------------------------------------------------


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(saved):
    def cut_in_hdf5():
        with write_hdf5(saved, "events") as file:
            file["half"] = np.arange(1000)
            raise RuntimeError("power cut")

    def cut_in_text():
        with replacing(saved) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    before = saved.read_bytes()
    for write, error in ((cut_in_hdf5, RuntimeError), (cut_in_text, KeyboardInterrupt)):
        with pytest.raises(error):
            write()
        assert saved.read_bytes() == before
        assert list(saved.parent.iterdir()) == [saved]


def test_a_folder_is_no_file_to_write(tmp_path):
    net = Network([Population("cells", 1, LIF())], [], dt=DT)
    for path in (tmp_path, "."):
        with pytest.raises(ParameterError, match="is a folder; give the name of a file"):
            net.save(path)


def test_a_result_comes_back(tmp_path):
    populations = [Population("in", 2, Scripted([0.001, 0.002], [0, 1])), Population("cells", 3, LIF(bias=0.3))]
    net = Network(populations, [Projection("in", "cells", Dense(0.4))], dt=DT)
    result = Simulation(net, "reference").run(0.02, record=["cells", Spikes("in"), Trace("cells")])
    result.save(tmp_path / "result.h5")
    back = Result.load(tmp_path / "result.h5")
    assert back.spikes == result.spikes
    assert back.traces.keys() == result.traces.keys()
    assert np.array_equal(back.traces["cells.membrane"], result.traces["cells.membrane"])
    assert same(back.counters, result.counters)
    assert (back.n_ticks, back.start_tick, back.dt, back.provenance) == (20, 0, DT, result.provenance)
    assert str(back) == str(result)


def test_a_result_of_nothing_comes_back(tmp_path):
    net = Network([Population("cells", 1, LIF())], [], dt=DT)
    result = Simulation(net, "reference").run(0.002, record=())
    result.save(tmp_path / "result.h5")
    back = Result.load(tmp_path / "result.h5")
    assert (back.spikes, back.traces, back.counters.projections) == ({}, {}, ())


def test_a_result_of_thousands_of_names_comes_back_in_its_order(tmp_path):
    names = [f"population number {i} with a long name {'x' * 60}" for i in range(1000, 0, -1)]
    net = Network([Population(name, 1, LIF(bias=0.3)) for name in names], [], dt=DT)
    result = Simulation(net, "reference").run(0.02, record=names[:300])
    result.save(tmp_path / "result.h5")
    back = Result.load(tmp_path / "result.h5")
    assert back.counters.populations == tuple(names)
    assert list(back.spikes) == names[:300]
    assert back.spikes == result.spikes


def test_a_result_may_stay_in_its_file(tmp_path):
    path = tmp_path / "result.h5"
    net = Network([Population(name, 3, LIF(bias=0.3)) for name in "ba"], [], dt=DT)
    result = Simulation(net, "reference").run(0.02, record=["b", "a", Trace("b")])
    result.save(path)
    stored = Result.open(path)
    assert (list(stored.spikes), list(stored.traces)) == (["b", "a"], ["b.membrane"])
    assert stored.spikes == result.spikes
    assert np.array_equal(stored.traces["b.membrane"], result.traces["b.membrane"])
    assert np.array_equal(stored.rates("a"), result.rates("a"))
    assert str(stored) == str(result)
    assert "c" not in stored.spikes
    with pytest.raises(KeyError, match="c"):
        stored.spikes["c"]
    stored.save(tmp_path / "copy.h5")
    assert Result.load(tmp_path / "copy.h5").spikes == result.spikes
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        stored.spikes["b"]


def test_what_a_killed_writer_left_is_swept(tmp_path):
    path = tmp_path / "result.h5"
    kept = [tmp_path / ".other.h5.1.partial", tmp_path / "result.h5.1.partial", path]
    for file in [*kept, tmp_path / ".result.h5.1.partial", tmp_path / ".result.h5.23.partial"]:
        file.write_bytes(b"half")
    sweep(path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_registries_hold_models():
    assert all(issubclass(model, NeuronModel) for model in MODELS.values())


def test_only_the_last_folder_of_a_path_is_made(tmp_path):
    events = Events.from_ticks([1], [0], n_sources=1, dt=1e-3)
    events.save(tmp_path / "new" / "events.h5")
    assert Events.load(tmp_path / "new" / "events.h5") == events
    with pytest.raises(ParameterError, match=r"out/typo: there is no folder .*out to make it in"):
        events.save(tmp_path / "out" / "typo" / "events.h5")
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ParameterError, match="there is no folder"):
        events.save(tmp_path / "file" / "new" / "events.h5")


def test_a_stream_makes_no_path_of_folders(tmp_path):
    net = Network([Population("a", 1, LIF())], [], dt=1e-3)
    with pytest.raises(ParameterError, match="there is no folder"):
        Simulation(net, "reference").run(0.01, stream=tmp_path / "no" / "such" / "result.h5")
    assert list(tmp_path.iterdir()) == []
