"""The same spikes as NEST, one by one: small recurrent networks without noise, a second long, in ticks of 0.1 ms.

Delta, exponential and alpha currents (NEST's iaf_psc_delta, iaf_psc_exp, iaf_psc_alpha), each in a network of 300
neurons with weights and delays of their own, refractory times, a constant current of each neuron's own, and events from
outside. Both sides compute in float64.

`--write tests/nest_reference.npz` keeps NEST's spikes for the tests, which take them where NEST is not installed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import harness
import numpy as np

import snnsim as sn

DT, SECONDS = 1e-4, 1.0
TICKS = round(SECONDS / DT)
SIZES = {"excitatory": 240, "inhibitory": 60}
SOURCES, IN_DEGREE, LONGEST_DELAY = 40, 30, 40
TIME_CONSTANT = {"excitatory": 20e-3, "inhibitory": 10e-3}
REFRACTORY = {"excitatory": 2e-3, "inhibitory": 1e-3}
#: Receptors for excitation and inhibition, and the weights that keep the network irregular.
RECEPTORS: dict[str, tuple[Any, ...]] = {
    "iaf_psc_delta": (sn.Delta(),),
    "iaf_psc_exp": (sn.Exponential(2e-3, "ex"), sn.Exponential(8e-3, "in")),
    "iaf_psc_alpha": (sn.Alpha(1.5e-3, "ex"), sn.Alpha(5e-3, "in")),
}
WEIGHTS = {"iaf_psc_delta": (0.5, -1.4), "iaf_psc_exp": (5.0, -4.2), "iaf_psc_alpha": (2.4, -2.6)}
Spikes = dict[str, np.ndarray]


def network(kind: str) -> sn.Network:
    """Describe the network of one of NEST's models.

    Parameters
    ----------
    kind : str
        A name in `RECEPTORS`.
    """
    generator = np.random.default_rng(2026)
    receptors = RECEPTORS[kind]
    events = np.sort(generator.integers(0, TICKS - 1, 2400))
    script = sn.Scripted(np.round(events * DT, 6), generator.integers(0, SOURCES, events.size))
    populations = [sn.Population("input", SOURCES, script)]
    for name, size in SIZES.items():
        decay = np.exp(-DT / TIME_CONSTANT[name])
        model = sn.LIF(
            TIME_CONSTANT[name],
            threshold=-50.0,
            reset=-62.0,
            refractory=REFRACTORY[name],
            rest=-65.0,
            # A current that would hold the membrane x mV above rest, in what it adds in a tick.
            bias=generator.uniform(14.0, 20.0, size) * (1.0 - decay),
            receptors=receptors,
            initial=generator.uniform(-65.0, -51.0, size),
        )
        populations.append(sn.Population(name, size, model))
    projections = []
    for source, number in {"input": SOURCES, **SIZES}.items():
        for target, size in SIZES.items():
            targets = np.repeat(np.arange(size), IN_DEGREE)
            mean = WEIGHTS[kind][source == "inhibitory"]
            weights = np.round(generator.normal(mean, 0.2 * abs(mean), targets.size), 3)
            rule = sn.Sparse(generator.integers(0, number, targets.size), targets, weights)
            delays = generator.integers(1, LONGEST_DELAY + 1, targets.size) * DT
            receptor = receptors[-1 if source == "inhibitory" else 0].name
            projections.append(sn.Projection(source, target, rule, delay=delays, receptor=receptor))
    return sn.Network(populations, projections, dt=DT, name=kind)


def ours(kind: str, backend: str = "cpu", seconds: float = SECONDS, **options: Any) -> Spikes:
    """Return ticks and neurons of all spikes of snnsim, in order, shape (2, spikes) for each population."""
    simulation = sn.Simulation(network(kind), backend, dtype="float64", **options)
    result = simulation.run(seconds, record=list(SIZES))
    return {name: np.stack([events.ticks, events.sources]) for name, events in result.spikes.items()}


def theirs(kind: str) -> Spikes:
    """Return the same of NEST, which gives a spike of tick k the time (k + 1) dt at the end of the tick."""
    import nest

    described = network(kind)
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution = DT * 1e3
    nodes, recorders = {}, {}
    for population in described.populations:
        model: Any = population.model
        if isinstance(model, sn.Scripted):
            ticks = np.rint(model.times / DT)
            nodes[population.name] = nest.Create("spike_generator", population.size)
            for number, node in enumerate(nodes[population.name]):
                node.spike_times = np.round((ticks[model.sources == number] + 1) * DT * 1e3, 6).tolist()
            continue
        tau = model.time_constant * 1e3
        parameters = {
            "tau_m": tau,
            "C_m": tau,  # weights then keep their numbers
            "E_L": model.rest,
            "V_th": model.threshold,
            "V_reset": model.reset,
            "t_ref": model.refractory * 1e3,
        }
        if kind != "iaf_psc_delta":
            first, last = (receptor.time_constant * 1e3 for receptor in model.receptors)
            parameters |= {"tau_syn_ex": first, "tau_syn_in": last}
        neurons = nest.Create(kind, population.size, parameters)
        neurons.I_e = (model.bias / (1.0 - np.exp(-DT / model.time_constant))).tolist()
        neurons.V_m = model.initial.tolist()
        nodes[population.name] = neurons
        recorders[population.name] = nest.Create("spike_recorder")
        nest.Connect(neurons, recorders[population.name])
    for projection in described.projections:
        connect(nest, described, projection, nodes[projection.source], nodes[projection.target])
    nest.Simulate(SECONDS * 1e3)
    return {name: recorded(recorder, nodes[name]) for name, recorder in recorders.items()}


def connect(nest: Any, described: sn.Network, projection: sn.Projection, source: Any, target: Any) -> None:
    """Connect every synapse of a projection with its weight and delay."""
    drawn = described.synapses(projection)
    for number in range(len(source)):
        row = slice(int(drawn.offsets[number]), int(drawn.offsets[number + 1]))
        for neuron, weight, delay in zip(drawn.targets[row], drawn.weights[row], drawn.delays[row], strict=True):
            synapse = {"weight": float(weight), "delay": round(float(delay) * DT * 1e3, 6)}
            nest.Connect(source[number], target[int(neuron)], "one_to_one", synapse)


def recorded(recorder: Any, neurons: Any) -> np.ndarray:
    """Return ticks and neurons of a recorder, in order."""
    ticks = np.rint(np.asarray(recorder.events["times"]) / (DT * 1e3)).astype(np.int64) - 1
    numbers = np.asarray(recorder.events["senders"], np.int64) - neurons[0].global_id
    order = np.lexsort((numbers, ticks))
    return np.stack([ticks[order], numbers[order]])


def write(path: Path) -> None:
    """Keep NEST's spikes of all networks, with where they come from."""
    import nest

    arrays = {f"{kind}.{name}": spikes.astype(np.int16) for kind in RECEPTORS for name, spikes in theirs(kind).items()}
    source = f"NEST {nest.__version__}, bench/nest_agreement.py --write; ticks and neurons, {SECONDS:g} s of {DT:g} s"
    np.savez_compressed(path, source=np.array(source), **arrays)
    print(f"wrote {path}: {source}")


def main(arguments: list[str] | None = None) -> dict[str, Any] | None:
    """Compare, or write the reference."""
    parser = harness.options(__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="keep NEST's spikes in this file instead of comparing")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("nest") is None:
        raise SystemExit("NEST is not installed: make bench-env")
    if options.write is not None:
        write(options.write)
        return None
    rows = []
    for kind in list(RECEPTORS)[: 1 if options.quick else None]:
        mine, other = ours(kind), theirs(kind)
        spikes = sum(found.shape[1] for found in mine.values())
        differ = sum(
            len(set(map(tuple, mine[name].T.tolist())) ^ set(map(tuple, other[name].T.tolist()))) for name in mine
        )
        rows.append(
            harness.row(kind, "spikes in a second", "", spikes, sum(o.shape[1] for o in other.values()), "NEST")
        )
        rows.append(harness.row(kind, "spikes of either side that the other has not", "", differ))
    return harness.finish("nest_agreement", {"seconds": SECONDS, "dt": DT}, rows, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
