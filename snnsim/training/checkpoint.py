"""Checkpoints of a training in HDF5: all that the next epoch depends on, as plain arrays; no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from snnsim.errors import DataError, ParameterError
from snnsim.storage import read_hdf5, write_hdf5
from snnsim.training.history import History

Tensors = dict[str, Tensor]


@dataclass
class Checkpoint:
    """A training after a whole number of epochs.

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
    """

    epoch: int
    settings: dict[str, str]
    model: Tensors
    best: Tensors
    optimiser: dict[int, Tensors]
    history: History

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
                )
            except (KeyError, OSError, ValueError) as error:
                raise DataError(f"{path}: the checkpoint is damaged ({error})") from error

    def check(self, path: str | Path, settings: Mapping[str, str]) -> None:
        """Raise `ParameterError` where the training that goes on is not the one that was begun."""
        for name, value in settings.items():
            if self.settings.get(name) != value:
                raise ParameterError(
                    f"resume={str(path)!r}: begun with {name}={self.settings.get(name)}, this call has {name}={value}"
                )


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
