"""What happened in each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from snnsim.errors import DataError
from snnsim.storage.hdf5 import read_hdf5, write_hdf5
from snnsim.system.tables import table

_CURVES = ("loss", "train_accuracy", "validation_accuracy", "learning_rate", "seconds")


@dataclass
class History:
    """Curves of a training, one entry an epoch.

    Parameters
    ----------
    loss : list of float
        Mean over the epoch, while the weights change.
    train_accuracy : list of float
        Share of right answers, counted in passing while the weights change.
    validation_accuracy : list of float
        Share of right answers after the epoch; NaN without validation data.
    learning_rate, seconds : list of float
    """

    loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def best_epoch(self) -> int:
        """Number (from 1) of the first epoch with the best validation accuracy; the last one without validation."""
        values = np.asarray(self.validation_accuracy)
        return len(self) if not values.size or np.all(np.isnan(values)) else int(np.nanargmax(values)) + 1

    def add(self, *values: float) -> None:
        """Append an epoch, its values in the order of the fields."""
        for name, value in zip(_CURVES, values, strict=True):
            getattr(self, name).append(float(value))

    def __str__(self) -> str:
        rows = [
            (
                f"{epoch}{' *' if epoch == self.best_epoch else '  '}",
                f"{self.loss[epoch - 1]:.4f}",
                f"{100 * self.train_accuracy[epoch - 1]:.1f} %",
                ""
                if np.isnan(self.validation_accuracy[epoch - 1])
                else f"{100 * self.validation_accuracy[epoch - 1]:.1f} %",
                f"{self.learning_rate[epoch - 1]:.3g}",
                f"{self.seconds[epoch - 1]:.1f}",
            )
            for epoch in range(1, len(self) + 1)
        ]
        header = ("epoch", "loss", "training", "validation", "learning rate", "seconds")
        return table(header, rows, right=range(6)) + "\n* best on validation data; its weights are the model's"

    # -- keeping -----------------------------------------------------------------------------------------

    def write(self, group: h5py.Group) -> None:
        """Write into an open HDF5 group."""
        for name in _CURVES:
            group.create_dataset(name, data=np.asarray(getattr(self, name), np.float64))

    @classmethod
    def read(cls, group: h5py.Group) -> History:
        """Read what `write` wrote."""
        try:
            return cls(*(group[name][()].tolist() for name in _CURVES))
        except (KeyError, OSError) as error:
            raise DataError(f"{group.file.filename}: the history in it is damaged ({error})") from error

    def save(self, path: str | Path) -> None:
        """Save to an HDF5 file."""
        with write_hdf5(path, "history") as file:
            self.write(file)

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Load what `save` saved."""
        with read_hdf5(path, "history") as file:
            return cls.read(file)
