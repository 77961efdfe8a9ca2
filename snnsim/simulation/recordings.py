"""Many recordings, each from rest, some at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.inputs import RunInputs
from snnsim.backends.contract.memory import UNASKED
from snnsim.backends.contract.program import Program
from snnsim.backends.contract.requests import ExitRequest, RunOutput, RunRequest, most
from snnsim.dynamic_confidence import DynamicConfidence
from snnsim.errors import ParameterError
from snnsim.events import Events
from snnsim.frames import Frames, Recordings
from snnsim.network.network import Network
from snnsim.simulation.probes import Probes
from snnsim.system.progress import bar

#: Bytes of an event that a source draws, until it is in a batch.
_DRAWN_BYTES = 24


def run_recordings(
    program: Program,
    inputs: RunInputs,
    given: Mapping[int, Recordings],
    probes: Probes,
    exit_request: ExitRequest | None,
    ends: NDArray[np.int64],
    *,
    batch_size: int,
    progress: bool,
) -> RunOutput:
    """Run every recording of the given events from rest, each up to its end, `batch_size` of them at a time."""
    recordings, n_ticks = ends.size, most(ends)
    states = min(batch_size, recordings) * program.state_bytes
    # Where there are several batches, their traces are joined.
    copies = 1 if recordings <= batch_size else 2
    traces = copies * recordings * probes.values(0, n_ticks) * program.dtype.itemsize
    drawn = int(min(batch_size, recordings) * inputs.drawn_events * n_ticks * _DRAWN_BYTES)
    # Frames in another precision are converted batch by batch.
    shown = [one.values for one in given.values() if isinstance(one, Frames)]
    converted = sum(min(batch_size, recordings) * values[0].size for values in shown if values.dtype != program.dtype)
    frames = converted * program.dtype.itemsize
    # To ask takes longer than a short recording.
    if states + traces + drawn + frames > UNASKED or program.memory_limit is not None:
        program.check_room(
            f"run_samples with batch_size={batch_size}",
            {"states": states, "traces": traces, "events of sources": drawn, "frames": frames},
            "Choose a smaller batch_size, or record less: Trace(..., neurons=..., every=...)",
        )

    def batch(first: int, count: int) -> RunOutput:
        chosen = given
        if count < recordings:
            chosen = {number: events[first : first + count] for number, events in given.items()}
        # The number of a recording keys its sources of chance.
        full = inputs.complete(chosen, 0, n_ticks, np.arange(first, first + count))
        own = ends[first : first + count]
        request = RunRequest(n_ticks, full, probes.spikes, probes.traces, exit_request, first, own)
        state = program.initial_state(count)
        output = program.run(state, request)
        program.check_state(state, 0, first)
        return output

    if recordings <= batch_size and not progress:
        return batch(0, recordings)
    size = min(batch_size, max(1, recordings // 20)) if progress else batch_size
    outputs = []
    with bar(progress, recordings, "recordings") as move:
        for first in range(0, recordings, size):
            count = min(size, recordings - first)
            outputs.append(batch(first, count))
            move(count)
    return _joined(outputs)


def exit_request_of(network: Network, rule: DynamicConfidence, n_ticks: int) -> ExitRequest:
    """Return what makes recordings stop as a rule of early exit says, judged by the network's output."""
    if not isinstance(rule, DynamicConfidence):
        raise ParameterError(f"early_exit={rule!r}: expected a DynamicConfidence, such as calibrate(...) gives")
    output = network.output
    if getattr(output.model, "spiking", True):
        raise ParameterError(
            f"early_exit: the output {output.name!r} ({type(output.model).__name__}) spikes; "
            "confidence needs a readout such as LI"
        )
    rule.check_score(network.score)
    number = network.population_number(output.name)
    return ExitRequest(number, rule.smoothing, rule.thresholds(n_ticks), network.score)


def _joined(outputs: list[RunOutput]) -> RunOutput:
    if len(outputs) == 1:
        return outputs[0]
    names = ("population_spikes", "membrane_updates", "synaptic_operations", "exit_ticks")
    arrays = {name: np.concatenate([getattr(output, name) for output in outputs]) for name in names}
    spikes = {number: Events.concatenate([o.spikes[number] for o in outputs]) for number in outputs[0].spikes}
    traces = [np.concatenate([o.traces[i] for o in outputs]) for i in range(len(outputs[0].traces))]
    return RunOutput(spikes, traces, **arrays)
