"""Checkpoints of a training in HDF5: all that the next epoch depends on, as plain arrays; no pickle."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from snnsim.errors import DataError, DeviceError, ParameterError
from snnsim.storage.hdf5 import read_hdf5, write_hdf5
from snnsim.training.loop.history import History

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
    optimiser : dict of str to dict of str to Tensor
        State of each parameter that is trained, by its name.
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
    optimiser: dict[str, Tensors]
    history: History
    begun: Begun = field(default_factory=Begun)
    chip: Tensors = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Save; the file is complete or not there at all."""
        with write_hdf5(path, "training") as file:
            file.attrs["epoch"] = self.epoch
            # A data set each: the settings of a large network take more room than attributes have.
            settings = file.create_group("settings")
            for number, (name, value) in enumerate(self.settings.items()):
                settings.create_dataset(f"{number:04d}", data=value).attrs["name"] = name
            _write(file.create_group("model"), self.model)
            _write(file.create_group("best"), self.best)
            optimiser = file.create_group("optimiser")
            for number, (name, tensors) in enumerate(self.optimiser.items()):
                group = optimiser.create_group(f"{number:04d}")
                group.attrs["name"] = name
                _write(group, tensors)
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
                    {str(one.attrs["name"]): one.asstr()[()] for one in file["settings"].values()},
                    _read(file["model"]),
                    _read(file["best"]),
                    {str(group.attrs["name"]): _read(group) for group in file["optimiser"].values()},
                    History.read(file["history"]),
                    _begun(file["begun"].attrs) if "begun" in file else Begun(),
                    _read(file["chip"]) if "chip" in file else {},
                )
            except (KeyError, OSError, ValueError) as error:
                raise DataError(f"{path}: the checkpoint is damaged ({error})") from error

    def check(self, path: str | Path, settings: Mapping[str, str]) -> None:
        """Raise `ParameterError` that names what differs, unless a training that goes on is the one that was begun."""
        names = (*settings, *(name for name in self.settings if name not in settings))
        differing = [name for name in names if self.settings.get(name) != settings.get(name)]
        if differing:
            said = "; ".join(
                f"{name}: begun with {_short(self.settings.get(name))}, this call has {_short(settings.get(name))}"
                for name in differing[:5]
            )
            more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
            raise ParameterError(f"resume={str(path)!r} is of another training: {said}{more}")


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


def _short(value: str | None) -> str:
    """Return a setting in a line: of long ones the beginning and the end."""
    if value is None:
        return "nothing"
    return value if len(value) <= 120 else f"{value[:80]} ... {value[-30:]}"


def same_file(first: str | Path, second: str | Path) -> bool:
    """Return whether two paths lead to one file that is there."""
    return Path(first).exists() and Path(second).exists() and Path(first).samefile(second)


def try_place(path: str | Path) -> None:
    """Raise an error where a file that is there could not be replaced, and leave it as it is."""
    if Path(path).is_dir():
        raise ParameterError(f"{path}: is a folder; give the name of a file")
    with tempfile.NamedTemporaryFile(dir=Path(path).absolute().parent):
        pass


def _names(model: nn.Module, optimiser: torch.optim.Optimizer) -> list[str]:
    """Return the names of the parameters of an optimiser, in its order."""
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [known[id(parameter)] for group in optimiser.param_groups for parameter in group["params"]]


def optimiser_state(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensors]:
    """Return the tensors of an optimiser by the name of the parameter."""
    names, state = _names(model, optimiser), optimiser.state_dict()["state"]
    return {
        names[int(number)]: {key: torch.as_tensor(value).clone() for key, value in one.items() if value is not None}
        for number, one in state.items()
    }


def restore_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Tensors]) -> None:
    """Put back what `optimiser_state` returned.

    Raises
    ------
    ParameterError
        It is of other parameters.
    """
    names, groups = _names(model, optimiser), optimiser.state_dict()["param_groups"]
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    for name, tensors in state.items():
        if name not in names or any(one.ndim and one.shape != shapes[name] for one in tensors.values()):
            raise ParameterError(f"resume: the optimiser was begun with {name!r}, which is not trained now")
    numbers = {name: number for number, name in enumerate(names)}
    found = {numbers[name]: dict(one) for name, one in state.items()}
    optimiser.load_state_dict({"state": found, "param_groups": groups})


def _write(group: h5py.Group, tensors: Tensors) -> None:
    # HDF5 reads a slash in a name as a folder; names go into an attribute, so that they may hold anything.
    for number, (name, tensor) in enumerate(tensors.items()):
        data = group.create_dataset(f"{number:04d}", data=tensor.detach().numpy())
        data.attrs["name"] = name


def _read(group: h5py.Group) -> Tensors:
    return {str(group[number].attrs["name"]): torch.from_numpy(np.array(group[number][()])) for number in sorted(group)}
