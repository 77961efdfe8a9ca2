"""The hardware of a long run in its checkpoint, and how the run goes on.

A checkpoint holds the chip itself, cells and age and all, how the network lies on it, and what was measured when it was
programmed. So a run goes on bit for bit, and on nothing else unless another chip is given. Devices that no file can
hold (at the other end of a socket, a driver of one's own) leave their name, and must be given again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from snnsim.backends.crossbar.chip.chip import Chip
from snnsim.backends.crossbar.chip.protocol import LoopDevice
from snnsim.backends.crossbar.chip.storage import parts_of
from snnsim.backends.crossbar.chip.tile import Tile
from snnsim.backends.crossbar.mapping.fabric import DigitalFabric
from snnsim.backends.crossbar.mapping.mapping import Mapping
from snnsim.backends.crossbar.mapping.placement import Activity
from snnsim.errors import DataError, ParameterError


@dataclass(frozen=True, eq=False)
class Kept:
    """What a checkpoint says of hardware.

    Parameters
    ----------
    where : str
        The file.
    device : str
        What the run was on, in a line.
    chip : Chip or None
        The chip itself; None where no file can hold the device.
    reach : tuple of float
        Range of conductance, read voltage, rows and columns of the device: ranges of converters are for these.
    mapping : Mapping
        Without its recordings.
    calibrated : bool
        Whether there were recordings.
    ranges, gains : dict
        Of each tile: largest current of the converters in uA, and factor of each output.
    activity : dict of int to Activity
        What each projection had done in the run that the checkpoint was written in the middle of.
    """

    where: str
    device: str
    chip: Chip | None
    reach: tuple[float, ...]
    mapping: Mapping
    calibrated: bool
    ranges: dict[int, float]
    gains: dict[int, NDArray[np.float64]]
    activity: dict[int, Activity]


@dataclass(frozen=True, eq=False)
class Resumption:
    """What a run goes on with: what the checkpoint kept, and the device that was given, if one was."""

    kept: Kept
    given: LoopDevice | None


def description(fabric: DigitalFabric) -> str:
    """Return in a line what the device of a network is, for provenance: equal where chips are equal."""
    device, status = fabric.device, fabric.status
    if type(device) is Chip:
        return device.describe()
    return f"{type(device).__name__}: {status.name}, tiles of {status.rows} x {status.columns}"


def write(fabric: DigitalFabric, group: h5py.Group) -> None:
    """Write the hardware that a network lies on.

    Raises
    ------
    DeviceError
        It was given to another network since.
    """
    fabric.check()
    device = fabric.device
    group.attrs.update(device=description(fabric), reach=_reach(fabric))
    if type(device) is Chip and _can_be_kept(device):
        device.write_to(group.create_group("chip"))
    mapping = {field.name: getattr(fabric.mapping, field.name) for field in dataclasses.fields(Mapping)}
    calibrated = mapping.pop("calibration") is not None
    group.create_dataset("mapping", data=json.dumps(mapping))
    group.attrs["calibrated"] = calibrated
    done = {number: dataclasses.asdict(one) for number, one in fabric.activity.items()}
    group.create_dataset("activity", data=json.dumps(done))
    for number, gain in fabric.gains().items():
        tile = group.create_group(f"tiles/{number}")
        tile.create_dataset("gains", data=gain)
        if number in fabric.ranges:
            tile.attrs["range"] = fabric.ranges[number]


def read(group: h5py.Group, where: object) -> Kept:
    """Read what `write` wrote; `where` is the file."""
    chip = Chip.read_from(group["chip"], where) if "chip" in group else None
    try:
        fields = json.loads(group["mapping"].asstr()[()])
        mapping = Mapping(**{**fields, "digital": tuple(fields["digital"])})
        tiles = {int(number): group["tiles"][number] for number in group.get("tiles", {})}
        return Kept(
            str(where),
            str(group.attrs["device"]),
            chip,
            tuple(map(float, group.attrs["reach"])),
            mapping,
            bool(group.attrs["calibrated"]),
            {number: float(tile.attrs["range"]) for number, tile in tiles.items() if "range" in tile.attrs},
            {number: np.asarray(tile["gains"][()], np.float64) for number, tile in tiles.items()},
            {int(number): _activity(one) for number, one in json.loads(group["activity"].asstr()[()]).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{where}: how the network lay on its chip cannot be read ({error})") from error


def _activity(stored: dict[str, Any]) -> Activity:
    """Return what was done; JSON has made texts of the numbers of tiles."""
    values: dict[str, Any] = {
        name: {int(tile): count for tile, count in value.items()} if isinstance(value, dict) else value
        for name, value in stored.items()
    }
    return Activity(**values)


def device_of(resumption: Resumption) -> LoopDevice:
    """Return the device that a run goes on on.

    Raises
    ------
    ParameterError
        None was given, and the checkpoint could not hold the one that there was.
    """
    kept = resumption.kept
    if resumption.given is not None:
        return resumption.given
    if kept.chip is None:
        raise ParameterError(
            f"chip: is missing; {kept.where} is of a run on {kept.device!r}, which no file can hold: give it again, "
            "chip=..., or say backend='cpu' to go on without"
        )
    return kept.chip


def go_on(fabric: DigitalFabric, kept: Kept, ranges: dict[int, float] | None, own_mapping: bool) -> bool:
    """Bring a network to its device again; return whether the hardware is as it was.

    Parameters
    ----------
    fabric : DigitalFabric
        On the device of `device_of`, nothing programmed yet.
    kept : Kept
    ranges : dict of int to float or None
        Of converters, where recordings were given again.
    own_mapping : bool
        Whether a mapping was given again, rather than taken from the checkpoint.

    Raises
    ------
    ParameterError
        The chip that was given is that of the checkpoint by kind and seeds, but not as it was then; or ranges cannot be
        had without the recordings.
    """
    device, chip = fabric.device, kept.chip
    if not isinstance(device, Chip) or chip is None:
        fabric.program(kept.ranges if ranges is None and _reach(fabric) == kept.reach else ranges)
        return False
    if device is not chip:
        _check_state(fabric, device, chip, kept.where)
    then = {number: (tile, tile.full_scale) for number, tile in chip.tiles.items()}
    if not own_mapping and _held(fabric, device, kept, then):
        fabric.adopt(kept.ranges, kept.gains)
        fabric.activity |= kept.activity
        return True
    if not own_mapping and device is chip:
        raise DataError(f"{kept.where}: the chip in it does not hold the network in it; the file is damaged")
    if not own_mapping and _reach(fabric) == kept.reach:
        ranges = kept.ranges
    elif not own_mapping and kept.calibrated and "full_scale" in fabric.status.capabilities:
        raise ParameterError(
            f"mapping: the ranges of the converters in {kept.where} were found with recordings, for another kind of "
            f"chip ({kept.device}); give mapping=Mapping(calibration=...) again"
        )
    fabric.program(ranges)
    if not _held(fabric, device, kept, then):
        return False
    if fabric.mapping.compensate == kept.mapping.compensate:
        fabric.restore_gains(kept.gains)
    fabric.activity |= kept.activity
    return True


def _held(fabric: DigitalFabric, chip: Chip, kept: Kept, then: MappingOf[int, tuple[Tile, Any]]) -> bool:
    """Return whether all tiles of a network are as they were then: same cells, same age, same converters."""
    assert kept.chip is not None
    if not _is_same(chip, kept.chip):
        return False
    for _, _, tile in fabric.tiles():
        own, (other, full_scale) = chip.tiles.get(tile.number), then.get(tile.number, (None, None))
        if own is None or other is None or tile.number not in kept.gains:
            return False
        outputs = tile.outputs.stop - tile.outputs.start
        shapes = own.state.target.shape, kept.gains[tile.number].shape
        if shapes != ((tile.rows.stop - tile.rows.start, 2 * fabric.mapping.slices * outputs), (outputs,)):
            return False
        # A range is a number, one for each converter, or none.
        ranges = [None if one is None else np.asarray(one).tolist() for one in (own.full_scale, full_scale)]
        if ranges[0] != ranges[1] or not (own is other or own.is_like(other)):
            return False
    return True


def _is_same(one: Chip, other: Chip) -> bool:
    return (one.config, one.seed, one.read_seed) == (other.config, other.seed, other.read_seed)


def _check_state(fabric: DigitalFabric, chip: Chip, kept: Chip, where: str) -> None:
    """Refuse a chip that is another one than it was, for which it would be taken by its kind and seeds."""
    if not _is_same(chip, kept):
        return
    for _, placed, tile in fabric.tiles():
        own, other = chip.tiles.get(tile.number), kept.tiles.get(tile.number)
        if other is None:
            continue
        if own is None:
            first = other.cycle == 0 and not np.any(other.seconds)
            good = first and np.array_equal(other.state.target, fabric.tile_targets(placed, tile))
        else:
            good = own.is_like(other)
        if not good:
            now = "not programmed" if own is None else _age(own)
            raise ParameterError(
                f"chip={chip.name!r}: has the kind and seeds of the chip in {where}, but is not as that one was: tile "
                f"{tile.number} was {_age(other)}, and is {now}. Leave chip out to go on on the one in the checkpoint "
                "(it is simulation.program.chip, to be aged or programmed again), or give a chip of another seed"
            )


def _age(tile: Tile) -> str:
    return f"programmed {tile.cycle + 1} times and is {float(np.max(tile.seconds)):g} s old"


def _reach(fabric: DigitalFabric) -> tuple[float, ...]:
    status = fabric.status
    return tuple(map(float, (status.g_min, status.g_max, status.read_voltage, status.rows, status.columns)))


def _can_be_kept(chip: Chip) -> bool:
    """Return whether a chip is made of models of snnsim only."""
    try:
        parts_of(chip.config)
    except ParameterError:
        return False
    return True
