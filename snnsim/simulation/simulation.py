"""Run a network: one long run that continues, or many recordings that each start from rest."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snnsim.system.mpi_processes  # noqa: F401 - so that a process that ends tells those that wait for it, whatever it came to
from snnsim.backends.contract.inputs import Inputs, RunInputs
from snnsim.backends.contract.options import Options, Visit
from snnsim.backends.contract.plasticity import refuse_recordings
from snnsim.backends.contract.program import Program
from snnsim.backends.contract.requests import RunOutput, most
from snnsim.backends.contract.state import State
from snnsim.backends.contract.state_checks import check_state
from snnsim.backends.registry import compile_network
from snnsim.dynamic_confidence import DynamicConfidence
from snnsim.errors import DeviceError, ParameterError, SnnsimError, whole
from snnsim.frames import Recordings
from snnsim.network.fingerprint import check_same_network, description, shown
from snnsim.network.network import Network
from snnsim.simulation import checkpoints, plastic_weights
from snnsim.simulation.counters import Counters
from snnsim.simulation.long_run import LongRun
from snnsim.simulation.network_change import carried, check_layout
from snnsim.simulation.probes import Probe, Probes, answer_of, check_kinds, products_of, resolve_probes
from snnsim.simulation.provenance import provenance
from snnsim.simulation.recorders import MemorySink, StreamSink
from snnsim.simulation.recordings import exit_request_of, run_recordings
from snnsim.simulation.result import Result
from snnsim.simulation.stream.stream import Place, call_of, check_call, header_of, writing
from snnsim.simulation.stream.unfinished_run import UnfinishedRun
from snnsim.timebase import tick_count


class Simulation:
    """A network on a backend, with the state of one long run.

    Parameters
    ----------
    network : Network
    backend : str
        ``"cpu"``, ``"reference"``, ``"crossbar"`` or another one that is installed.
    dtype : {"float32", "float64"}
        Precision of weights and states.
    threads : int, optional
        Threads to compute on; default all cores, of which a long run of a small network takes only as many as have
        something to do. The results do not depend on it.
    visit : {"auto", "events", "ticks"} or dict of str to one of these
        When populations of a long run are advanced: where an event or their bound asks for it (``"events"``), at every
        tick (``"ticks"``), or as the backend thinks best; for all, or by name of the population. The spikes are the
        same either way, so the reference backend takes all three and visits every tick.
    progress : bool
        Show a bar while the network is built.
    memory_limit : int, optional
        Bytes that the program may take; default what the machine has to spare.
    **options
        What only this backend takes, as `chip` and `mapping` of ``"crossbar"``
        (see `snnsim.backends.crossbar`), and `ranks` of ``"cpu"``, which decides whether processes that
        a launcher of MPI has started run one network together or each its own.

    Examples
    --------
    >>> sim = Simulation(network)                       # doctest: +SKIP
    >>> first = sim.run(0.5); second = sim.run(0.5)     # one second in all  # doctest: +SKIP
    >>> answers = sim.run_samples(events)               # each from rest     # doctest: +SKIP
    """

    def __init__(
        self,
        network: Network,
        backend: str = "cpu",
        *,
        dtype: str = "float32",
        threads: int | None = None,
        visit: Visit = "auto",
        progress: bool = False,
        memory_limit: int | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(network, Network):
            raise ParameterError(f"network={network!r}: expected a Network")
        self._backend = backend
        self._options = Options(dtype, threads, visit, progress, memory_limit)
        self._own_options = options
        self._state: State | None = None
        #: The run into a stream that the next call of `run` goes on with.
        self._unfinished: UnfinishedRun | None = None
        self._lost = False
        #: How the long run has changed the hardware it is on.
        self._moves: tuple[str, ...] = ()
        self._take(compile_network(network, backend, self._options, **options))

    def _take(self, program: Program) -> None:
        """Run this program from now on."""
        self._program, network = program, program.network
        self._inputs = RunInputs(network)
        # Looked up once: a run of one short recording takes less time than these would at every call.
        self._names = tuple(p.name for p in network.populations), tuple(p.name for p in network.projections)
        self._is_source = tuple(p.is_source for p in network.populations)
        self._default_probes = resolve_probes(network, None)
        self._answer = answer_of(network)
        self._facts = provenance(backend=self.backend, dtype=self.dtype, threads=program.threads, seed=network.seed)

    @property
    def network(self) -> Network:
        """What is run; `change` goes on with another one."""
        return self._program.network

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self._backend

    @property
    def dtype(self) -> str:
        """Precision of weights and states."""
        return self._options.dtype

    @property
    def program(self) -> Program:
        """The network compiled for the backend."""
        return self._program

    # -- one long run ------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the long run."""
        if self._lost:
            raise SnnsimError(
                "the last run was broken off within a block of ticks, and its state is lost; "
                "reset() goes back to tick 0, Simulation.resume(...) to a checkpoint"
            )
        if self._state is None:
            self._state = self.program.initial_state(1)
        return self._state

    @property
    def tick(self) -> int:
        """The next tick of the long run."""
        return self.state.tick

    def reset(self) -> None:
        """Go back to tick 0 and rest."""
        self._state, self._unfinished, self._lost, self._moves = None, None, False, ()

    def run(
        self,
        duration: float | None = None,
        inputs: Inputs | None = None,
        *,
        record: Iterable[Probe] | Probe | None = None,
        progress: bool = False,
        stream: str | Path | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_every: float | None = None,
    ) -> Result:
        """Run on from where the last run stopped.

        Ctrl-C stops after the present block of ticks, with the state of that tick.

        Parameters
        ----------
        duration : float, optional
            Seconds; default the length of the longest of the inputs.
        inputs : Events or Frames, or dict of them by population, optional
            One recording for each `Input` population, its ticks counted from the start of this run.
        record : probes, optional
            Population names, `Spikes` and `Trace`; default the network's ends.
        progress : bool
            Show a bar with the time left.
        stream : str or Path, optional
            HDF5 file for the result. Spikes and traces go to the disk as they come, in segments in a folder beside it,
            with bounded memory; at the end they become this file, and the `Result` reads from it when asked.
        checkpoint : str or Path, optional
            With `stream`: HDF5 file that is replaced by a new checkpoint again and again, so that `Simulation.resume`
            goes on from it, bit for bit, after whatever has ended the process. It is never half-written.
        checkpoint_every : float, optional
            Seconds of simulated time between checkpoints; default about five minutes of work.

        Returns
        -------
        Result
            With one recording.
        """
        program, network = self._program, self._program.network
        given = self._inputs.check(inputs, recordings=1)
        if duration is None:
            if not given:
                raise ParameterError("duration is missing; without inputs a run needs a length in seconds")
            n_ticks = max(int(events.lengths[0]) for events in given.values())
        else:
            n_ticks = tick_count(duration, network.dt, name="duration")
        if n_ticks < 1:
            raise ParameterError(f"duration={n_ticks * network.dt:g} s: a run takes one tick or more")
        probes = self._default_probes if record is None else resolve_probes(network, record)
        check_kinds(program, probes, given)
        self._inputs.check_end(given, n_ticks)
        place = Place.of(stream, checkpoint, checkpoint_every, network.dt)
        if program.ranks > 1:
            call = call_of(n_ticks, probes, given, network)
            self._meet(
                "run", call | {name: str(getattr(place, name, None)) for name in ("stream", "checkpoint", "every")}
            )
        if self._unfinished is None:
            program.take_activity()  # of a run that was broken off
        if place is not None:
            return self._run_into_stream(place, n_ticks, given, probes, progress)
        if self._unfinished is not None:
            check_call(self._unfinished, None)
        state, start = self.state, self.state.tick
        if probes.traces:
            program.check_room(
                f"run of {n_ticks} ticks",
                {"traces": probes.values(start, n_ticks) * program.dtype.itemsize},
                "Record less, Trace(..., neurons=..., every=...), or into a file with stream='result.h5'",
            )
        sink = MemorySink(probes.spikes, probes.traces, start, n_ticks)
        long_run = LongRun(program, state, self._inputs, given, probes, sink)
        kept = "the state of the network is that of tick TICK; what the run has recorded is lost"
        if not self._advance(long_run, n_ticks, progress, f"{kept}, which a run into a stream would have kept"):
            raise KeyboardInterrupt(f"stopped at tick {state.tick} of the network; what the run recorded is lost")
        output = sink.finish([population.size for population in network.populations], network.dt)
        return self._result(output, probes, given, n_ticks, start, sink.seconds)

    def _advance(self, run: LongRun, n_ticks: int, progress: bool, kept: str) -> bool:
        try:
            return run.run(n_ticks, progress)
        except DeviceError as error:
            raise _device_failed(error, kept.replace("TICK", str(self.tick))) from error
        finally:
            if run.within_block:
                self._state, self._lost = None, True

    def _run_into_stream(
        self, place: Place, n_ticks: int, given: dict[int, Recordings], probes: Probes, progress: bool
    ) -> Result:
        call = call_of(n_ticks, probes, given, self.network)
        begins = self._unfinished is None
        run = self._unfinished or UnfinishedRun(secrets.token_hex(8), self.tick, n_ticks, call)
        check_call(run, call)
        save = None if place.checkpoint is None else functools.partial(self._save, place.checkpoint, run)
        facts = self._provenance()
        header = header_of(run, self.network, probes, given, self.dtype, facts)
        with writing(place, header, None if begins else self.tick - run.start, self.program) as files:
            if begins and save is not None:
                save(self.state)
            self.program.first_only("Simulation.run", files.write_header)
            self._unfinished = run
            folder = files.folder if self.program.writes_files else None
            sink = StreamSink(folder, probes.spikes, self.tick - run.start, save, place.every)
            long_run = LongRun(self.program, self.state, self._inputs, given, probes, sink)
            kept = "all up to tick TICK of the network is kept, and the same call goes on"
            if place.checkpoint is not None:
                kept += f" (or Simulation.resume({str(place.checkpoint)!r}), with its chip where no file holds it)"
            if not self._advance(long_run, n_ticks, progress, kept):
                raise KeyboardInterrupt(
                    f"stopped at tick {sink.done} of {n_ticks}; the same call goes on, "
                    f"Result.recover({str(place.stream)!r}) shows what there is"
                )
            sink.pause(self.state)
            activity = self.program.take_activity()
            self.program.first_only("Simulation.run", functools.partial(files.finish, facts, activity))
        self._unfinished = None
        if activity is not None:
            activity.warn(stacklevel=3)
        return Result.open(place.stream)

    def change(self, network: Network) -> None:
        """Go on from the present state with a network whose parameters, weights, delays or rates are others.

        Membranes, currents, spikes on their way and what plastic projections have learned go on as they are, and so do
        refractory ticks up to the new refractory time; `tick` is the first one of the new network. A projection that
        goes on learning takes new weights where the description has others, and keeps its learned ones where it has the
        same.

        Parameters
        ----------
        network : Network
            With the same `dt` and the same populations, with the same states and receptors; mostly
            ``simulation.network.replaced(...)``. Projections may come, go and change, but for the wiring and the delays
            of those that go on learning.

        Raises
        ------
        NetworkError
            Something of the state has no place in the new network. Then all is as it was.

        Examples
        --------
        >>> cells = sn.Population("cells", 100, sn.LIF(bias=0.06))                # doctest: +SKIP
        >>> simulation.change(simulation.network.replaced(populations=[cells]))  # doctest: +SKIP
        """
        if not isinstance(network, Network):
            raise ParameterError(f"network={network!r}: expected a Network")
        if self._unfinished is not None:
            raise ParameterError("change: a run into a stream is not finished; finish it, or abandon() it")
        self._meet("change", description(network) if self.program.ranks > 1 else {})
        state = None
        if self._state is not None or self._lost:
            self.program.settle(self.state)
            state = carried(self.state, self.network, network)
        else:
            check_layout(self.network, network)
        self._take(
            compile_network(network, self.backend, self._options, **(self._own_options | self.program.own_options))
        )
        self._state = state

    def abandon(self) -> None:
        """Give up a run into a stream that is not finished, so that the next run is a new one from the present state.

        What it has recorded stays on the disk; see `Result.recover`.
        """
        self._unfinished = None

    # -- learning ----------------------------------------------------------------------------------------

    def weights(self, projection: str) -> NDArray[Any]:
        """Return the weights of a projection as they stand in the long run.

        Parameters
        ----------
        projection : str
            Its name.

        Returns
        -------
        ndarray, shape (synapses,)
            In the order of ``network.synapses(network.projection(name))``.
        """
        self._meet("weights", {"projection": repr(projection)})
        return plastic_weights.weights(self.program, self.state, projection)

    def reward(self, projection: str, value: float) -> None:
        """Turn the eligibility of a projection with `RewardModulatedSTDP` into weight: w += value * eligibility.

        Parameters
        ----------
        projection : str
            Its name.
        value : float
            Any finite number; what is below zero punishes.
        """
        self._meet("reward", {"projection": repr(projection), "value": repr(value)})
        plastic_weights.reward(self.program, self.state, projection, value)

    def network_with_weights(self) -> Network:
        """Return the network with the weights that its plastic projections have learned so far.

        Random wiring and delays of these projections are written out; their rules stay, so that learning may go on.
        """
        self._meet("network_with_weights", {})
        return plastic_weights.network_with_weights(self.program, self.state)

    # -- many recordings ---------------------------------------------------------------------------------

    def run_samples(
        self,
        inputs: Inputs,
        *,
        record: Iterable[Probe] | Probe | None = None,
        early_exit: DynamicConfidence | None = None,
        progress: bool = False,
        batch_size: int = 1024,
    ) -> Result:
        """Run every recording from rest; nothing is carried from one to another, nor to or from `run`.

        A recording runs for its own length and the network's extension (`Network.extension_ticks`), in which spikes on
        their way still arrive.

        Parameters
        ----------
        inputs : Events or Frames, or dict of them by population
            The recordings, for each `Input` population; see `snnsim.Frames` for real values.
        record : probes, optional
            Default the network's ends. Where something else is recorded, the network's single output is recorded too,
            so that the result has the answers; pass ``()`` to record nothing.
        early_exit : DynamicConfidence, optional
            Stop a recording as soon as it is sure, judged by the network's output.
        progress : bool
            Show a bar with the time left.
        batch_size : int
            Recordings in memory at a time.

        Returns
        -------
        Result
            With one recording for each of the inputs'.
        """
        if self.program.learns:
            refuse_recordings(self.network)
        given = self._inputs.check(inputs)
        if not given:
            raise ParameterError("inputs is empty; use run(duration) for a network without inputs")
        batch_size = whole("batch_size", batch_size, at_least=1)
        ends = self._inputs.ends(given)
        n_ticks = most(ends)
        probes = self._default_probes if record is None else self._with_answer(record)
        check_kinds(self.program, probes, given)
        exit_request = None if early_exit is None else exit_request_of(self.network, early_exit, n_ticks)
        self.program.take_activity()  # of a run that was broken off
        began = time.perf_counter()
        try:
            output = run_recordings(
                self.program,
                self._inputs,
                given,
                probes,
                exit_request,
                ends,
                batch_size=batch_size,
                progress=progress,
            )
        except DeviceError as error:
            raise _device_failed(error, "nothing of this call is kept; the same call begins it again") from error
        return self._result(output, probes, given, n_ticks, 0, time.perf_counter() - began, ends)

    # -- many processes ----------------------------------------------------------------------------------

    def _meet(self, call: str, facts: Mapping[str, str]) -> None:
        """Check that all processes that run the network together make this call, and stand at the same state."""
        if self.program.ranks > 1:
            run = self._unfinished
            begun = "none" if run is None else f"of {run.n_ticks} ticks from {run.start}"
            here = {"tick": str(self.tick), "unfinished run": begun, "state": shown(self.state)}
            self.program.meet(f"Simulation.{call}", here | dict(facts))

    # -- outcome -----------------------------------------------------------------------------------------

    def _result(
        self,
        output: RunOutput,
        probes: Probes,
        given: Mapping[int, Recordings],
        n_ticks: int,
        start: int,
        wall: float,
        lengths: NDArray[np.int64] | None = None,
    ) -> Result:
        network = self.network
        counts = (output.population_spikes, output.membrane_updates, output.synaptic_operations, output.exit_ticks)
        counters = Counters(*self._names, *counts, self._is_source).with_products(products_of(network, given))
        activity = self.program.take_activity()
        if activity is not None:
            activity.warn(stacklevel=3)
        return Result(
            {network.populations[number].name: events for number, events in output.spikes.items()},
            dict(zip(probes.keys, output.traces, strict=True)),
            counters,
            n_ticks,
            start,
            network.dt,
            wall,
            self._provenance(),
            activity,
            self._answer,
            np.array([n_ticks]) if lengths is None else lengths,
        )

    def _with_answer(self, record: Iterable[Probe] | Probe) -> Probes:
        """Return probes to which what answers is added where something is recorded, but not that."""
        probes = resolve_probes(self.network, record)
        if self._answer is None or (not probes.keys and not probes.spikes):
            return probes
        number = self.network.population_number(self._answer.population)
        if number in probes.spikes or any(trace.population == number and not trace.state for trace in probes.traces):
            return probes
        return probes.joined(self._default_probes)

    def _provenance(self) -> dict[str, str]:
        facts = dict(self._facts)
        if self.program.hardware:
            facts["chip"] = self.program.hardware
        if self._moves:
            facts["moves"] = "; ".join(self._moves)
        return facts

    # -- checkpoints -------------------------------------------------------------------------------------

    def save_checkpoint(self, path: str | Path) -> None:
        """Save network and state of the long run, spikes in flight included; see `from_checkpoint`."""
        self._meet("save_checkpoint", {"path": str(path)})
        self._save(path, None, self.state)

    def _save(self, path: str | Path, run: UnfinishedRun | None, state: State) -> None:
        self.program.settle(state)
        save = functools.partial(
            checkpoints.save, backend=self.backend, dtype=self.dtype, run=run, program=self.program, moves=self._moves
        )
        self.program.first_only("Simulation.save_checkpoint", functools.partial(save, path, self.network, state))

    @classmethod
    def from_checkpoint(cls, path: str | Path, backend: str | None = None, **options: Any) -> Simulation:
        """Begin anew from the state in a checkpoint, bit for bit, on the same backend or another one.

        Parameters
        ----------
        path : str or Path
        backend : str, optional
            Default that of the run that wrote the checkpoint.
        **options
            `threads`, `visit`, `progress` and `memory_limit` of `Simulation`, and what only the backend takes. A
            simulated chip is in the checkpoint with its mapping, and the run goes on on it unless another `chip` is
            given; what the run was on until then stands in the provenance as `moves`. A device that no file can hold is
            to be given again.

        Raises
        ------
        ParameterError
            A device is missing, or the chip that is given is the one in the checkpoint, but not as it was then.
        """
        return cls._from(path, checkpoints.load_facts(path), backend, options)

    @classmethod
    def resume(
        cls, path: str | Path, network: Network | None = None, backend: str | None = None, **options: Any
    ) -> Simulation:
        """Go on with the run into a stream that wrote a checkpoint; where there is no file, begin it.

        A script that makes its simulation by ``Simulation.resume(path, network)`` and then calls
        ``run(..., stream=..., checkpoint=path)`` may be killed at any moment and started again, as often as it takes:
        the outcome is that of one run that nothing has disturbed, bit for bit. Where the run was finished before, its
        result is returned at once.

        Parameters
        ----------
        path : str or Path
        network : Network, optional
            Needed where there is no checkpoint yet; otherwise it must be the one in the checkpoint.
        backend : str, optional
            Default that of the run that wrote the checkpoint, or ``"cpu"``.
        **options
            `dtype` (which a checkpoint must agree with), `threads`, `visit`, `progress` and `memory_limit`, and what
            only the backend takes; for a `chip` see `from_checkpoint`.
        """
        if network is not None and not isinstance(network, Network):
            raise ParameterError(f"network={network!r}: expected a Network")
        if network is not None and not Path(path).exists():
            return cls(network, backend or "cpu", **options)
        facts = checkpoints.load_facts(path)
        if network is not None:
            check_same_network(network, facts.network, path)
        sim = cls._from(path, facts, backend, options)
        sim._unfinished = facts.run
        return sim

    @classmethod
    def _from(
        cls, path: str | Path, facts: checkpoints.Facts, backend: str | None, options: dict[str, Any]
    ) -> Simulation:
        where = backend or facts.backend
        if (dtype := options.pop("dtype", facts.dtype)) != facts.dtype:
            raise ParameterError(f"dtype={dtype!r}: the checkpoint {path} is in {facts.dtype}")
        options = checkpoints.options_on(path, facts, where, options)
        sim = cls(facts.network, where, dtype=facts.dtype, **options)
        sim.program.check_room(f"the state in {path}", {"state": sim.program.state_bytes}, "Raise memory_limit=...")
        state = checkpoints.load_state(path, sim.program.initial_state(1))
        check_state(sim.network, sim.program.layout, state, str(path))
        sim._state = state
        sim._moves, now = facts.moves, sim.program.hardware
        if now != facts.hardware:
            sim._moves += (f"at tick {facts.tick} from {facts.hardware or facts.backend} to {now or where}",)
        return sim


def _device_failed(error: DeviceError, kept: str) -> DeviceError:
    """Return the error of a device with what was kept, and how to go on."""
    before = "Once it works" if error.kind != "restarted" else "Once it is programmed again (make the Simulation anew)"
    return DeviceError(f"{error}. {before}: {kept}", kind=error.kind)


def run(
    network: Network,
    inputs: Inputs | None = None,
    *,
    duration: float | None = None,
    backend: str = "cpu",
    dtype: str = "float32",
    record: Iterable[Probe] | Probe | None = None,
    progress: bool = False,
) -> Result:
    """Run a network once from rest: `Simulation.run_samples` on inputs, or `Simulation.run` for a duration."""
    simulation = Simulation(network, backend, dtype=dtype)
    if inputs is None or duration is not None:
        return simulation.run(duration, inputs, record=record, progress=progress)
    return simulation.run_samples(inputs, record=record, progress=progress)
