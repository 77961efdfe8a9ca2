"""One long run, block by block: bounded memory, a bar that moves, and a Ctrl-C that is heard between two blocks."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from snnsim.backends.contract.inputs import RunInputs
from snnsim.backends.contract.program import Program
from snnsim.backends.contract.requests import RunOutput, RunRequest
from snnsim.backends.contract.state import State
from snnsim.errors import DeviceError, InternalError, ResourceError, SnnsimError
from snnsim.frames import Frames, Recordings
from snnsim.simulation.probes import Probes
from snnsim.simulation.recorders import Sink
from snnsim.system.progress import bar, interruptible

#: Neurons times ticks of the first block, from which the next ones learn how long a tick takes and what it records;
#: and seconds of simulated time where all neurons wait for events.
_FIRST_BLOCK, _FIRST_SECONDS = 2**24, 1.0
#: A block may be so many times as long as the one before it.
_GROWTH = 32
_LONGEST_BLOCK = 2**31
#: Numbers that may be drawn for the sources of a block, and bytes that it may record.
_MOST_DRAWN, _MOST_BYTES = 2**22, 2**24
#: Seconds that a block should take, without and with a bar.
_SECONDS, _SECONDS_WITH_BAR = 1.0, 0.2


class Pace:
    """How many ticks to run at a time.

    Parameters
    ----------
    first : int
        Ticks of the first block.
    random_sources : int
        Sources whose events are drawn for each block.
    seconds : float
        How long a block should take.
    """

    def __init__(self, first: int, random_sources: int, seconds: float) -> None:
        self._most = max(1, min(_LONGEST_BLOCK, _MOST_DRAWN // max(random_sources, 1)))
        self._seconds = seconds
        self._next = max(1, min(first, self._most))

    def next(self) -> int:
        """Return the length of the next block."""
        return self._next

    def took(self, n_ticks: int, seconds: float, output: RunOutput) -> None:
        """Learn from a block."""
        recorded = sum(12 * events.ticks.size for events in output.spikes.values())
        recorded += sum(values.nbytes for values in output.traces)
        share = max(seconds / self._seconds, recorded / _MOST_BYTES, 1.0 / _GROWTH)
        self._next = max(1, min(int(n_ticks / share), self._most))


class LongRun:
    """The blocks of a run.

    Parameters
    ----------
    program : Program
    state : State
        Advanced in place.
    inputs : RunInputs
    given : mapping of int to Events or Frames
        What is given, its ticks counted from the start of the run.
    probes : Probes
    sink : Sink
        Takes what is recorded; says how many ticks are done already.
    """

    def __init__(
        self,
        program: Program,
        state: State,
        inputs: RunInputs,
        given: Mapping[int, Recordings],
        probes: Probes,
        sink: Sink,
    ) -> None:
        self._program, self._state, self._inputs = program, state, inputs
        self._given, self._probes, self._sink = given, probes, sink
        #: True while a block is running: what leaves the run then leaves a state that is neither here nor there.
        self.within_block = False

    def run(self, n_ticks: int, progress: bool) -> bool:
        """Run up to tick `n_ticks` of the run; return False where Ctrl-C has stopped it before."""
        sink, program = self._sink, self._program
        # With frames no neuron waits for events; asking would build what such a run does not take.
        frames = any(isinstance(one, Frames) for one in self._given.values())
        neurons = sum(population.size for population in program.network.populations)
        stepped = neurons if frames else program.stepped_neurons
        first = _FIRST_BLOCK // stepped if stepped else round(_FIRST_SECONDS / program.network.dt)
        pace = Pace(first, self._inputs.random_sources, _SECONDS_WITH_BAR if progress else _SECONDS)
        with interruptible() as asked, bar(progress, n_ticks - sink.done, "ticks") as move:
            while sink.done < n_ticks:
                count = min(pace.next(), n_ticks - sink.done, sink.room() or n_ticks)
                # Where many processes run one network they must do the same; zero is to stop.
                count = program.agree(0 if asked.is_set() else count)
                if not count:
                    sink.pause(self._state)
                    return False
                began = time.perf_counter()
                try:
                    output = self._block(count)
                except DeviceError:  # the state is that before the block
                    sink.pause(self._state)
                    raise
                seconds = time.perf_counter() - began
                sink.add(output, count, seconds)
                pace.took(count, seconds, output)
                if sink.checkpoints and program.agree(int(sink.due())):
                    sink.pause(self._state)
                move(count)
        return True

    def _block(self, n_ticks: int) -> RunOutput:
        window = {number: events.crop(n_ticks, self._sink.done) for number, events in self._given.items()}
        full = self._inputs.complete(window, self._state.tick, n_ticks, np.zeros(1, np.int64))
        request = RunRequest(n_ticks, full, self._probes.spikes, self._probes.traces)
        self.within_block = True
        try:
            output = self._program.run_long(self._state, request)
        except (InternalError, ResourceError):  # found on the way
            raise
        except SnnsimError:  # said before anything was computed, or undone
            self.within_block = False
            raise
        self._program.check_state(self._state, self._state.tick - n_ticks)
        self.within_block = False
        return output
