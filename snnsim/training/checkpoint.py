"""Checkpoints of a training in HDF5: all that the next epoch depends on, as plain arrays; no pickle."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from snnsim.errors import DataError, DeviceError, ParameterError
from snnsim.storage import read_hdf5, write_hdf5
from snnsim.training.history import History

Tensors = dict[str, Tensor]


@dataclass
class Begun:
    """How far an epoch has come.

    Parameters
    ----------
    step : int
        Minibatches done.
    loss : float
        Sum over the samples.
    right, seen : int
        Samples answered right, and all.
    seconds : float
    """

    step: int = 0
    loss: float = 0.0
    right: int = 0
    seen: int = 0
    seconds: float = 0.0

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time that a block takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start


@dataclass
class Checkpoint:
    """A training after a whole number of epochs, or of minibatches where a device in the loop failed.

    Parameters
    ----------
    epoch : int
        Epochs done.
    settings : dict of str to str
        What must be the same for the training to go on.
    model, best : dict of str to Tensor
        State of the module now, and at the best epoch so far.
    optimiser : dict of int to dict of str to Tensor
        State of each parameter, in the order of the module.
    history : History
    begun : Begun
        How far the epoch at work has come.
    chip : dict of str to Tensor
        What a chip in the loop held, where that cannot be seen from the weights.
    """

    epoch: int
    settings: dict[str, str]
    model: Tensors
    best: Tensors
    optimiser: dict[int, Tensors]
    history: History
    begun: Begun = field(default_factory=Begun)
    chip: Tensors = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Save; the file is complete or not there at all."""
        with write_hdf5(path, "training") as file:
            file.attrs["epoch"] = self.epoch
            file.create_group("settings").attrs.update(self.settings)
            _write(file.create_group("model"), self.model)
            _write(file.create_group("best"), self.best)
            optimiser = file.create_group("optimiser")
            for number, tensors in self.optimiser.items():
                _write(optimiser.create_group(str(number)), tensors)
            self.history.write(file.create_group("history"))
            file.create_group("begun").attrs.update(asdict(self.begun))
            _write(file.create_group("chip"), self.chip)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Load what `save` saved.

        Raises
        ------
        DataError
            The file is not there, cut short, or of another kind.
        """
        with read_hdf5(path, "training") as file:
            try:
                return cls(
                    int(file.attrs["epoch"]),
                    {key: str(value) for key, value in file["settings"].attrs.items()},
                    _read(file["model"]),
                    _read(file["best"]),
                    {int(number): _read(file["optimiser"][number]) for number in file["optimiser"]},
                    History.read(file["history"]),
                    _begun(file["begun"].attrs) if "begun" in file else Begun(),
                    _read(file["chip"]) if "chip" in file else {},
                )
            except (KeyError, OSError, ValueError) as error:
                raise DataError(f"{path}: the checkpoint is damaged ({error})") from error

    def check(self, path: str | Path, settings: Mapping[str, str]) -> None:
        """Raise `ParameterError` where the training that goes on is not the one that was begun."""
        for name in (*settings, *(self.settings.keys() - settings.keys())):
            before, now = self.settings.get(name), settings.get(name)
            if before != now:
                raise ParameterError(f"resume={str(path)!r}: begun with {name}={before}, this call has {name}={now}")


def device_failed(
    error: DeviceError, epoch: int, begun: Begun, batches: int, checkpoint: str | Path | None
) -> DeviceError:
    """Return the error of a device with what was kept, and how to go on."""
    where = f"the device in the loop failed in epoch {epoch + 1}, after {begun.step} of {batches} minibatches: {error}"
    if checkpoint is None:
        kept = (
            "The model keeps the weights of the last whole minibatch, but the state of the optimiser is lost; with "
            "train(..., checkpoint=FILE) nothing would be"
        )
    else:
        kept = (
            f"All whole minibatches are kept in {str(checkpoint)!r}: once the device works, go on with "
            f"train(..., resume={str(checkpoint)!r})"
        )
    return DeviceError(f"{where}. {kept}", kind=error.kind)


def _begun(values: Mapping[str, Any]) -> Begun:
    step, right, seen = (int(values[name]) for name in ("step", "right", "seen"))
    return Begun(step, float(values["loss"]), right, seen, float(values["seconds"]))


def copied(tensors: Mapping[str, Any]) -> Tensors:
    """Return copies that later steps leave alone."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[int, Tensors]:
    """Return the tensors of an optimiser by the number of the parameter."""
    state = optimiser.state_dict()["state"]
    return {
        int(number): {key: torch.as_tensor(value).clone() for key, value in one.items() if value is not None}
        for number, one in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, state: dict[int, Tensors]) -> None:
    """Put back what `optimiser_state` returned."""
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": {number: dict(one) for number, one in state.items()}, "param_groups": groups})


def _write(group: h5py.Group, tensors: Tensors) -> None:
    # HDF5 reads a slash in a name as a folder; names go into an attribute, so that they may hold anything.
    for number, (name, tensor) in enumerate(tensors.items()):
        data = group.create_dataset(f"{number:04d}", data=tensor.detach().numpy())
        data.attrs["name"] = name


def _read(group: h5py.Group) -> Tensors:
    return {str(group[number].attrs["name"]): torch.from_numpy(np.array(group[number][()])) for number in sorted(group)}
