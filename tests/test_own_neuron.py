"""A neuron of a user's own: the guide runs as written, the equations are the published ones, what is wrong is named."""

import dataclasses
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import snnsim as sn
from snnsim.errors import CapabilityError, DataError, ParameterError, SnnsimError
from snnsim.neurons import MODELS, Arithmetic, NeuronModel, exp, maximum, minimum, where
from snnsim.neurons.registry import check_arithmetic
from snnsim.numerics import elementary

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "own_neuron.md").read_text(encoding="utf-8")
DT = 1e-3


@pytest.fixture(scope="module")
def guide():
    """Return the names that the code of the guide defines."""
    names = {"__name__": "guide"}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(compile(block, "own_neuron.md", "exec"), names)
    return names


@pytest.fixture
def registry():
    """Forget afterwards what a test registers."""
    before = dict(MODELS)
    yield MODELS
    MODELS.clear()
    MODELS.update(before)


def cells(model, size=1, dt=DT, **more):
    return sn.Network([sn.Population("cells", size, model)], [], dt=dt, **more)


# -- the guide, and the equations as they were published --------------------------------------------------------------


@pytest.mark.slow
def test_the_guide_runs_and_izhikevich_takes_twenty_lines(guide):
    assert guide["spikes"]["crossbar"].size == guide["spikes"]["cpu"].size
    first = re.search(r"@sn.neuron\nclass Izhikevich.*?```", GUIDE, flags=re.DOTALL).group()
    assert len([line for line in first.splitlines()[:-1] if line.strip()]) <= 20


def exact_spikes(slope, start, peak, land, duration):
    """Return spike times of two coupled equations by SciPy's solver, which finds where the peak is met."""

    def meets(_, state):
        return state[0] - peak

    meets.terminal, meets.direction = True, 1
    time, state, found = 0.0, start, []
    while time < duration:
        part = solve_ivp(
            lambda _, s: slope(s),
            (time, duration),
            state,
            events=meets,
            rtol=1e-9,
            atol=1e-14,
            max_step=duration / 2000,
        )
        time = part.t[-1]
        if part.t_events[0].size:
            found.append(time)
            state = land(part.y[:, -1])
    return np.array(found)


@pytest.mark.parametrize(
    ("a", "b", "c", "d"), [(0.02, 0.2, -65.0, 8.0), (0.02, 0.2, -50.0, 2.0), (0.1, 0.2, -65.0, 2.0)]
)
def test_izhikevich_fires_when_the_published_equations_do(guide, a, b, c, d):
    """Regular spiking, chattering, fast spiking of the paper, with a direct current of 10."""
    expected = exact_spikes(
        lambda s: np.array([0.04 * s[0] ** 2 + 5 * s[0] + 140 - s[1] + 10, a * (b * s[0] - s[1])]),
        (-65.0, -13.0),
        30.0,
        lambda s: (c, s[1] + d),
        200.0,
    )
    model = guide["Izhikevich"](a=a, b=b, c=c, d=d, current=10.0)
    check_convergence(model, 0.2, expected * 1e-3)


def check_convergence(model, duration, expected):
    """Forward Euler is wrong by a share of the tick: half as much with ticks half as long."""
    wrong = []
    for dt in (4e-6, 2e-6):
        result = sn.Simulation(cells(model, dt=dt), dtype="float64").run(duration, record="cells")
        times = result.spikes["cells"].ticks * dt
        assert times.size == expected.size > 4
        wrong.append(np.abs(times - expected).max())
    assert wrong[1] < 2e-3 * duration
    assert 1.5 < wrong[0] / wrong[1] < 2.5


def test_adex_fires_when_the_published_equations_do(guide):
    def slope(s):
        v, w = min(s[0], 0.02), s[1]
        ion = 30e-9 * (-70.6e-3 - s[0] + 2e-3 * np.exp((v + 50.4e-3) / 2e-3))
        return np.array([(ion - w + 1e-9) / 281e-12, (4e-9 * (s[0] + 70.6e-3) - w) / 144e-3])

    # From -20 mV to the peak, too steep for a solver, takes less than a microsecond.
    expected = exact_spikes(slope, (-70.6e-3, 0.0), -20e-3, lambda s: (-70.6e-3, s[1] + 80.5e-12), 0.3)
    check_convergence(guide["AdEx"](current=1e-9), 0.3, expected)


def test_the_model_of_all_tests_fires_as_often_as_its_formula_says():
    """dV/dt = r V^2 + b from V0 to V1 takes (atan(V1 k) - atan(V0 k)) / sqrt(r b), k = sqrt(r / b)."""
    rate, current = 50.0, 20.0
    k = np.sqrt(rate / current)
    period = (np.arctan(1.0 * k) - np.arctan(-0.5 * k)) / np.sqrt(rate * current)
    model = MODELS["QuadraticIF"](rate=rate, bias=current * 1e-6)
    spikes = sn.Simulation(cells(model, dt=1e-6), dtype="float64").run(1.0, record="cells").spikes["cells"]
    assert np.diff(spikes.ticks).mean() * 1e-6 == pytest.approx(period, rel=1e-4)


# -- every engine -----------------------------------------------------------------------------------------------------


def driven(model, dt=0.25e-3, back=True):
    populations = [sn.Population("noise", 40, sn.Poisson(300.0)), sn.Population("cells", 12, model)]
    projections = [sn.Projection("noise", "cells", sn.FixedInDegree(20, sn.Uniform(0.0, 4.0)), delay=1e-3)]
    if back:
        projections.append(sn.Projection("cells", "cells", sn.Dense(-0.5), delay=sn.Uniform(1e-3, 5e-3), name="back"))
    return sn.Network(populations, projections, dt=dt, seed=3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_runs_agree_go_on_and_resume(guide, dtype, tmp_path):
    model = guide["Izhikevich"](d=np.linspace(2.0, 8.0, 12), refractory=1e-3, receptors=sn.Exponential(4e-3))
    net, record = driven(model), [sn.Spikes("cells"), sn.Trace("cells"), sn.Trace("cells", "recovery")]

    def outcome(result):
        return [result.spikes["cells"].ticks, *(result.traces[name] for name in sorted(result.traces))]

    whole = outcome(sn.Simulation(net, "reference", dtype=dtype).run(0.2, record=record))
    assert whole[0].size > 50
    for backend in ("cpu", "crossbar"):
        for expected, found in zip(
            whole, outcome(sn.Simulation(net, backend, dtype=dtype, threads=2).run(0.2, record=record)), strict=True
        ):
            assert np.array_equal(expected, found)
    sim = sn.Simulation(net, dtype=dtype)
    first = outcome(sim.run(0.08, record=record))
    sim.save_checkpoint(tmp_path / "state.h5")
    net.save(tmp_path / "net.h5")
    assert type(sn.Network.load(tmp_path / "net.h5").population("cells").model) is guide["Izhikevich"]
    second = outcome(sn.Simulation.from_checkpoint(tmp_path / "state.h5").run(0.12, record=record))
    assert np.array_equal(whole[0], np.concatenate([first[0], second[0] + round(0.08 / net.dt)]))
    for expected, one, two in zip(whole[1:], first[1:], second[1:], strict=True):
        assert np.array_equal(expected, np.concatenate([one, two], axis=1))
    assert "d=array(2…8)" in net.population("cells").model.describe()


def test_a_readout_has_no_spikes_and_a_model_may_stand_anywhere(registry, other_backend):
    leak = 0.9

    def decayed(value):
        return leak * value / (1 + 0 * value)

    @sn.neuron
    class Sum:
        gain: sn.Parameter = 2
        membrane: sn.State = 0.0
        total: sn.State = 0.0

        @staticmethod
        def integrate(membrane, total, drive, p):
            return decayed(membrane) + p.gain * drive, total + abs(drive)

    assert not Sum.spiking
    net = driven(Sum(gain=np.arange(12.0)), back=False)
    one, two = (
        sn.Simulation(net, backend).run(0.05, record=[sn.Trace("cells"), sn.Trace("cells", "total")]).traces
        for backend in ("reference", other_backend)
    )
    assert one["cells.total"].max() > 10
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_are_the_same_bits_on_arrays_compiled_and_on_tensors(registry, dtype):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(0.0, 20.0, 4000).astype(dtype)

    @sn.neuron
    class Probe:
        membrane: sn.State = 0.0
        smaller: sn.State = 0.0
        larger: sn.State = 0.0
        chosen: sn.State = 0.0

        @staticmethod
        def integrate(membrane, smaller, larger, chosen, drive, p):
            third = 1 / 3
            return (
                exp(drive * third),
                minimum(drive, third),
                maximum(third * 3e-2, drive),
                where((drive > 1) & (drive <= 7), drive * third, 2),
            )

    net = sn.Network(
        [sn.Population("in", x.size, sn.Input()), sn.Population("cells", x.size, Probe())],
        [sn.Projection("in", "cells", sn.OneToOne(x.astype(np.float64)))],
        dt=DT,
    )
    events = sn.Events.from_ticks(np.zeros(x.size, int), np.arange(x.size), n_sources=x.size, n_ticks=1, dt=DT)
    traces = [sn.Trace("cells", name) for name in Probe.arithmetic.states]
    runs = [sn.Simulation(net, name, dtype=dtype).run_samples(events, record=traces) for name in ("reference", "cpu")]
    one, two = (np.stack([run.traces[f"cells.{name}"][0, 0] for name in Probe.arithmetic.states]) for run in runs)
    assert np.array_equal(one, two)
    third = x.dtype.type(1 / 3)
    assert np.array_equal(one[0], elementary.exp((x * third).astype(np.float64)).astype(dtype))
    drive = torch.tensor(x, requires_grad=True)
    zero = torch.zeros_like(drive)
    found = Probe.arithmetic.integrate(zero, zero, zero, zero, drive, None)
    assert np.array_equal(one, np.stack([part.detach().numpy() for part in found]))
    (slope,) = torch.autograd.grad(found[0].sum(), drive, retain_graph=True)
    assert np.array_equal(slope.numpy(), (found[0] * (1 / 3)).detach().numpy())
    (slope,) = torch.autograd.grad(sum(part.sum() for part in found[1:]), drive)
    inside = (x > 1) & (x <= 7)
    expected = (x < third) * 1.0 + (x > third * x.dtype.type(3e-2)) + inside * third
    assert slope.numpy() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_passes_through_the_spike_of_a_reset(guide):
    torch = pytest.importorskip("torch")
    arithmetic, model = guide["Izhikevich"].arithmetic, guide["Izhikevich"]()
    c = arithmetic.coefficients(*(torch.tensor(value) for value in model.coefficients(DT)))
    v, u = torch.tensor([35.0, 10.0]), torch.tensor([1.0, 2.0])
    spike = torch.tensor([1.0, 0.0], requires_grad=True)
    membrane, recovery = arithmetic.reset(v, u, spike, c)
    assert membrane.tolist() == [-65.0, 10.0]
    assert recovery.tolist() == [9.0, 2.0]
    (slope,) = torch.autograd.grad(membrane.sum() + recovery.sum(), spike)
    assert slope.tolist() == [-65.0 - 35.0 + 8.0, -65.0 - 10.0 + 8.0]


# -- registering ------------------------------------------------------------------------------------------------------

INTEGRATE = "def integrate(membrane, drive, p):\n    return (membrane + drive,)\n"
FIRES = "def distance(membrane, p):\n    return membrane - 1\ndef reset(membrane, p):\n    return (0,)\n"


def defined(body, module="cells", name="Mine", fields="tau: sn.Parameter = 1.0\nmembrane: sn.State = 0.0\n"):
    text = f"@sn.neuron\nclass {name}:\n" + textwrap.indent(fields + body, "    ")
    names = {"sn": sn, "np": np, "exp": exp, "ARRAY": np.ones(3), "PEAK": 1.0, "__name__": module}
    exec(compile(text, "cells.py", "exec"), names)
    return names[name]


def test_a_cell_may_run_again_and_its_new_equations_count(registry):
    first = defined(INTEGRATE + FIRES)
    old = cells(first(), 3)
    second = defined(INTEGRATE.replace("+ drive", "+ drive + 0.25") + FIRES)
    assert registry["Mine"] is second
    for model, expected in ((first, 0.0), (second, 0.75)):
        for backend in ("reference", "cpu"):
            trace = sn.Simulation(cells(model(), 3), backend).run(3 * DT, record=sn.Trace("cells"))
            assert trace.traces["cells.membrane"][0, -1, 0] == expected
    with pytest.raises(SnnsimError, match=r"cannot save a Mine: .* registered again since"):
        old.save("never.h5")


def test_a_name_belongs_to_one_module(registry):
    defined(INTEGRATE + FIRES)
    with pytest.raises(ParameterError, match="a neuron model Mine is registered by the module cells already"):
        defined(INTEGRATE + FIRES, module="other")
    with pytest.raises(ParameterError, match="LIF is a neuron model of snnsim; choose another name"):
        defined(INTEGRATE + FIRES, name="LIF")


def test_numbers_are_those_of_the_moment_of_registration(registry):
    names = {"sn": sn, "PEAK": 1.0, "__name__": "cells"}
    text = "@sn.neuron\nclass Mine:\n    membrane: sn.State = 0.75\n" + textwrap.indent(
        INTEGRATE + FIRES.replace("- 1", "- PEAK"), "    "
    )
    exec(text, names)
    names["PEAK"] = 0.5
    for backend in ("reference", "cpu"):
        result = sn.Simulation(cells(names["Mine"]()), backend).run(2 * DT, record="cells")
        assert result.spikes["cells"].ticks.size == 0


@pytest.mark.slow
def test_scripts_with_models_of_one_name_have_machine_code_of_their_own(tmp_path):
    """Also where there is no file, and from the disk; the equations differ in a number outside of the class."""
    text = textwrap.dedent("""
        import snnsim as sn
        GAIN = {gain}
        @sn.neuron
        class Größe:
            membrane: sn.State = 1.0
            def integrate(membrane, drive, p):
                return (membrane * GAIN + drive,)
        net = sn.Network([sn.Population("cells", 2, Größe())], [], dt=1e-3)
        print(sn.Simulation(net).run(2e-3, record=sn.Trace("cells")).traces["cells.membrane"][0, -1, 0])
    """)

    def outcome(*arguments, given=None):
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning:snnsim", *arguments],
            input=given, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    for gain in (2.0, 3.0, 2.0):
        assert outcome("-c", text.format(gain=gain)) == gain * gain
    (tmp_path / "cells.py").write_text(text.format(gain=5.0), encoding="utf-8")
    assert outcome("cells.py") == 25.0
    assert outcome(given=text.format(gain=7.0)) == 49.0


def test_a_file_with_a_model_that_is_not_registered_says_so(registry, tmp_path):
    cells(defined(INTEGRATE + FIRES)()).save(tmp_path / "net.h5")
    del registry["Mine"]
    with pytest.raises(DataError, match=r"does not know the type 'Mine'.*run the code that registers it first"):
        sn.Network.load(tmp_path / "net.h5")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", r"Mine has no integrate: write def integrate\(membrane, drive, p\)"),
        (INTEGRATE + "def distance(membrane, p):\n    return membrane\n", "Mine has no reset"),
        (
            "def integrate(v, drive, p):\n    return (v,)\n",
            r"Mine.integrate takes \(v, drive, p\); write def integrate",
        ),
        (INTEGRATE + "gain = 3.0\n", "Mine: gain has no annotation; write gain: sn.Parameter = 3.0"),
        (INTEGRATE + "other: sn.Parameter\n", "Mine: other has no default"),
        (INTEGRATE + "dt: sn.Parameter = 1.0\n", "Mine: a parameter or state cannot be called 'dt'"),
        (INTEGRATE + "def helper(x):\n    return x\n", "Mine has a function 'helper'; known are integrate"),
        (INTEGRATE + "def coefficients(self, dt):\n    return 3\n", "Mine.coefficients: must return a dict"),
        (INTEGRATE + "def coefficients(self, dt):\n    return {'tau': 1}\n", "Mine.coefficients: tau: is a parameter"),
        (INTEGRATE + FIRES.replace("- 1", "> 1"), "Mine.distance returns a truth value"),
        (INTEGRATE + FIRES.replace("(0,)", "0"), "Mine.reset returns 1 number.*write a comma"),
        (INTEGRATE + FIRES.replace("(0,)", "0, 1"), "Mine.reset returns 2 number.*one for each of membrane"),
        ("integrate = 3\n", "Mine: 3 is no function"),
        ("def integrate(membrane, drive, p, *more):\n    return (0,)\n", "Mine.integrate: takes plain arguments only"),
    ],
)
def test_what_a_class_lacks_is_named(registry, body, message):
    with pytest.raises(ParameterError, match=message):
        defined(body)
    assert "Mine" not in registry


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("if membrane > 0: return (drive,)", "decides by a number .*write where"),
        ("drive = max(drive, 0.0)", "arithmetic cannot use max; it may call abs, and exp"),
        ("drive = 0.0 if drive < 0 else drive", "decides by a number"),
        ("drive = drive * p.tua", "reads 'tua', which is no parameter; there are: tau, dt"),
        ("drive = drive * gain", "there is no 'gain'"),
        ("drive = np.exp(drive)", "np is the module numpy; arithmetic may name numbers"),
        ("drive = drive * ARRAY", "ARRAY is of type ndarray"),
        ("drive += membrane", "changes a number in place"),
        ("drive = drive ** 2", r"other than \+ - \* / and comparisons; write v \* v"),
        ("drive = drive * (membrane > 0)", "computes with a truth value"),
        ("drive = drive[0]", "takes a number for a list"),
        ("for i in range(3): drive = drive + i", "arithmetic cannot use range"),
        ("drive = 'text' + drive", "computes with 'text', which is no number"),
    ],
)
def test_arithmetic_that_does_not_run_everywhere_is_named_with_its_line(registry, line, message):
    body = f"def integrate(membrane, drive, p):\n    {line}\n    return (membrane + drive,)\n"
    with pytest.raises(ParameterError, match=rf"Mine\.integrate, line 6 of cells\.py: .*{message}"):
        defined(body)


def test_what_only_the_compiler_refuses_is_named_when_it_is_compiled(registry):
    body = "def integrate(membrane, drive, p):\n    p = p._replace(tau=2.0)\n    return (membrane + p.tau,)\n"
    net = cells(defined(body)())
    assert sn.Simulation(net, "reference").run(DT, record=sn.Trace("cells")).traces["cells.membrane"][0, 0, 0] == 2
    with pytest.raises(ParameterError, match=r"Mine\.integrate, line 6 of cells\.py does not compile.*_replace"):
        sn.Simulation(net).run(DT)


def test_parameters_are_checked_and_the_class_may_check_more(registry):
    check = "def check(self):\n    if self.tau <= 0:\n        raise ValueError('tau')\n"
    kind = defined(INTEGRATE + FIRES + check + "refractory: float = 2e-3\n")
    assert kind().refractory == 2e-3
    assert kind().refractory_ticks(DT) == 2
    with pytest.raises(ParameterError, match="tau holds NaN"):
        kind(tau=np.nan)
    with pytest.raises(ValueError, match="tau"):
        kind(tau=-1.0)
    with pytest.raises(ParameterError, match=r"receptors=3: expected Delta"):
        kind(receptors=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().tau = 3.0


@pytest.mark.parametrize("visit", ["events", {"cells": "events"}])
def test_what_it_lacks_for_visits_by_events_is_said_by_name(guide, visit):
    with pytest.raises(CapabilityError, match=r"population 'cells' .Izhikevich. has no closed form between events"):
        sn.Simulation(cells(guide["Izhikevich"]()), visit=visit).run(DT)


# -- models that are written out --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"QuadraticIF"}))
def test_models_of_snnsim_pass_the_same_checks(name):
    check_arithmetic(name, MODELS[name].arithmetic)


def test_a_subclass_is_registered_by_the_same_call(registry):
    lif = MODELS["LIF"]

    @sn.neuron
    @dataclasses.dataclass(frozen=True, eq=False)
    class Slow(lif):
        time_constant: float = 1.0

    net = cells(Slow(bias=0.3), 4)
    one, two = (sn.Simulation(net, name).run(0.02, record="cells").spikes["cells"] for name in ("reference", "cpu"))
    assert one.ticks.size
    assert np.array_equal(one.ticks, two.ticks)
    with pytest.raises(ParameterError, match="Bare is no dataclass"):

        @sn.neuron
        class Bare(lif):
            pass

    with pytest.raises(ParameterError, match="Empty has no coefficients and no initial_states and no arithmetic"):

        @sn.neuron
        @dataclasses.dataclass(frozen=True, eq=False)
        class Empty(NeuronModel):
            pass

    def integrate(membrane, drive, c):
        return (membrane if drive > 0 else drive,)

    with pytest.raises(ParameterError, match=r"Branches\.integrate, line \d+ of test_own_neuron\.py: decides"):

        @sn.neuron
        @dataclasses.dataclass(frozen=True, eq=False)
        class Branches(lif):
            arithmetic = Arithmetic(("membrane",), lif.arithmetic.coefficients, integrate, None, None)


# -- names, pickles, equations that change ----------------------------------------------------------------------------


def declared(**fields):
    """Declare a model with more fields than a membrane; `fields` by name: annotation and default."""

    def integrate(membrane, drive, p):
        return (0.9 * membrane + drive,)

    annotations = {"membrane": sn.State} | {name: kind for name, (kind, _) in fields.items()}
    body = {"membrane": 0.0} | {name: value for name, (_, value) in fields.items()}
    body |= {"__annotations__": annotations, "integrate": integrate}
    return sn.neuron(type("Named", (), body))


@pytest.mark.parametrize("name", ["spiking", "arithmetic", "closed_form", "initial_states", "receptor_list", "derived"])
@pytest.mark.parametrize("kind", [sn.Parameter, sn.State])
def test_names_that_a_model_has_already_are_refused(registry, name, kind):
    with pytest.raises(ParameterError, match=f"Named: a parameter or state cannot be called '{name}'"):
        declared(**{name: (kind, 0.3)})


@pytest.mark.parametrize("name", ["c", "landing", "landed", "landing_membrane"])
def test_names_of_states_that_stand_in_written_functions_are_refused(registry, name):
    with pytest.raises(ParameterError, match=f"Named: a state cannot be called '{name}'"):
        declared(**{name: (sn.State, 0.3)})


def test_coefficients_of_a_wrong_length_are_named(registry):
    @sn.neuron
    class Uneven:
        membrane: sn.State = 0.0

        def coefficients(self, dt):
            return {"share": np.ones(3)}

        @staticmethod
        def integrate(membrane, drive, p):
            return (p.share * membrane + drive,)

    with pytest.raises(ParameterError, match=r"'cells': coefficients of Uneven give share the shape \(3,\).*\(5,\)"):
        cells(Uneven(), size=5)


def test_a_network_of_ones_own_neurons_is_pickled():
    import pickle

    net = cells(MODELS["QuadraticIF"](bias=0.3), size=3)
    assert net.coefficients  # worked out, and kept with the network
    again = pickle.loads(pickle.dumps(net))
    one, other = (sn.Simulation(each).run(0.05, record="cells").spikes["cells"] for each in (net, again))
    assert one == other
    assert one.ticks.size > 0


def test_training_goes_on_with_the_same_equations_only(registry, tmp_path):
    torch = pytest.importorskip("torch")
    from snnsim.training import TrainableNetwork, train

    def made(share):
        @sn.neuron
        class Changing:
            membrane: sn.State = 0.0

            @staticmethod
            def integrate(membrane, drive, p):
                return (share * membrane + drive,)

        populations = [sn.Population("in", 4, sn.Input()), sn.Population("out", 2, Changing())]
        net = sn.Network(populations, [sn.Projection("in", "out", sn.Dense(sn.Normal(0.0, 0.5)))], dt=DT, seed=1)
        return TrainableNetwork(net)

    events = sn.Events.from_dense((np.random.default_rng(0).random((8, 6, 4)) < 0.4).astype(int), DT)
    from types import SimpleNamespace

    data = SimpleNamespace(events=events, labels=np.arange(8) % 2)
    path = tmp_path / "c.h5"
    train(made(0.9), data, epochs=1, validation=0, checkpoint=path)
    train(made(0.9), data, epochs=2, validation=0, resume=path, checkpoint=path)
    with pytest.raises(ParameterError, match=r"population 'out'.*equations"):
        train(made(0.8), data, epochs=3, validation=0, resume=path, checkpoint=path)
    assert torch is not None


def test_what_lies_beyond_all_numbers_does_no_harm_where_nothing_lands():
    """`landed` on tensors takes one of two values, as everywhere, and does not add the other times zero."""
    torch = pytest.importorskip("torch")
    from snnsim.neurons.arithmetic.functions import landed

    spike = torch.tensor([0.0, 1.0], requires_grad=True)
    landing = torch.tensor([float("inf"), 2.0], requires_grad=True)
    before = torch.tensor([3.0, float("inf")], requires_grad=True)
    found = landed(spike, landing, before)
    assert found.tolist() == [3.0, 2.0]
    found.sum().backward()
    assert landing.grad.tolist() == [0.0, 1.0]
    assert before.grad.tolist() == [1.0, 0.0]
