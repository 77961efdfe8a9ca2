"""Ranges of converters from recordings: what an ideal chip's currents would be."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.inputs import RunInputs
from snnsim.backends.contract.requests import RunRequest
from snnsim.backends.crossbar.array_read.converter import range_for
from snnsim.backends.crossbar.chip.chip import Chip
from snnsim.backends.crossbar.mapping.fabric import DigitalFabric
from snnsim.backends.crossbar.mapping.placement import Placed
from snnsim.backends.registry import get
from snnsim.errors import NetworkError, ParameterError
from snnsim.frames import Frames, Recordings
from snnsim.network.network import Network
from snnsim.neurons import Input

#: Vectors of a tile that its range is chosen from, spread evenly over those there are.
MOST_VECTORS = 2000


def calibrated_ranges(fabric: DigitalFabric, given: Recordings | MappingOf[str, Recordings]) -> dict[int, float]:
    """Return the full scale of each tile in uA: a percentile of what its pairs of columns carry on recordings.

    The network is run on the cpu backend, with weights as they are; the currents are those of cells that hold their
    targets exactly. A tile that no spike reaches is left out; so are, vector by vector, pairs that no active row has
    a synapse with.

    Parameters
    ----------
    fabric : DigitalFabric
    given : Events or Frames, or dict of them by population
        Recordings, for each input population.
    """
    network = fabric.network
    inputs = inputs_by_number(network, given)
    program = get("cpu")(network)
    recordings = len(next(iter(inputs.values())))
    ends = RunInputs(network).ends(inputs)
    sources = {network.population_number(network.projections[number].source) for number in fabric.placed}
    wanted = tuple(sorted(number for number in sources if number not in inputs))
    output = program.run(program.initial_state(recordings), RunRequest(int(ends.max()), inputs, wanted, ends=ends))
    spikes: dict[int, Recordings] = {**inputs, **output.spikes}
    ranges: dict[int, float] = {}
    for number, blocks in fabric.placed.items():
        events = spikes[network.population_number(network.projections[number].source)]
        if isinstance(events, Frames):
            ranges |= _ranges_for_frames(fabric, blocks, events)
            continue
        moments = events.recordings * events.n_ticks + events.ticks
        order = np.lexsort((events.sources, moments))
        for placed in blocks:
            reads = placed.block.reads(moments[order], events.sources[order].astype(np.int64))
            chosen = np.unique(np.linspace(0, max(reads.recording.size - 1, 0), MOST_VECTORS).astype(np.int64))
            if not reads.recording.size:
                continue
            for tile in placed.tiles:
                targets = fabric.tile_targets(placed, tile)
                currents = (targets[:, 0::2] - targets[:, 1::2]) * fabric.status.read_voltage
                present = placed.block.present
                if present is not None:
                    present = np.repeat(present[tile.rows, tile.outputs], fabric.mapping.slices, axis=1)
                found = _sums(currents, present, reads.offsets, reads.rows, chosen, tile.rows)
                if np.any(found):
                    ranges[tile.number] = range_for(found, fabric.mapping.percentile)
    if not ranges:
        raise ParameterError("Mapping calibration: no spike of the recordings reaches a tile; give others, or none")
    return ranges


def _ranges_for_frames(fabric: DigitalFabric, blocks: list[Placed], frames: Frames) -> dict[int, float]:
    """Return the full scale of the tiles of a projection whose source is given real values, on frames spread evenly."""
    fabric.check_frames({placed.block.projection for placed in blocks})
    assert isinstance(fabric.device, Chip)
    dac, ranges = fabric.device.config.dac, {}
    shown = np.flatnonzero(np.arange(frames.values.shape[1]) < frames.lengths[:, None])
    every = frames.values.reshape(-1, frames.n_sources)
    for placed in blocks:
        block = placed.block
        count = max(1, MOST_VECTORS // block.targets.shape[0])
        chosen = shown[np.unique(np.linspace(0, max(shown.size - 1, 0), count).astype(np.int64))]
        values = np.asarray(every[chosen], np.float64)
        levels = block.levels(values if dac is None else dac.levels(values)).reshape(-1, block.weights.shape[0])
        levels = levels[levels.any(axis=1)]
        for tile in placed.tiles:
            targets = fabric.tile_targets(placed, tile)
            currents = (targets[:, 0::2] - targets[:, 1::2]) * fabric.status.read_voltage
            found = levels[:, tile.rows] @ currents
            if found.any():
                ranges[tile.number] = range_for(found, fabric.mapping.percentile)
    return ranges


def _sums(
    currents: NDArray[np.float64],
    present: NDArray[np.bool_] | None,
    offsets: NDArray[np.int64],
    rows: NDArray[np.int64],
    chosen: NDArray[np.int64],
    inside: slice,
) -> NDArray[np.float64]:
    """Return what pairs of columns carry in the chosen vectors, one after another.

    A pair that has no synapse with any active row carries nothing in that vector: counted, such pairs would make the
    percentile one of how sparse the projection is.
    """
    sums = [np.zeros(0)]
    for vector in chosen:
        active = rows[offsets[vector] : offsets[vector + 1]]
        active = active[(active >= inside.start) & (active < inside.stop)] - inside.start
        if active.size:
            one = currents[active].sum(0)
            sums.append(one if present is None else one[present[active].any(0)])
    return np.concatenate(sums)


def inputs_by_number(network: Network, given: Recordings | MappingOf[str, Recordings]) -> dict[int, Recordings]:
    """Return events of each input population by its number."""
    others = [p.name for p in network.populations if p.is_source and not isinstance(p.model, Input)]
    if others:
        raise ParameterError(f"calibration takes networks whose only sources are inputs; found {', '.join(others)}")
    try:
        inputs = RunInputs(network).check(given)
    except (ParameterError, NetworkError) as error:
        raise ParameterError(f"calibration: {error}") from error
    if not inputs or not len(next(iter(inputs.values()))):
        raise ParameterError("calibration: there is no recording")
    return inputs
