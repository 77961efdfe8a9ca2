"""What happened in each epoch of learning from pairs."""

from __future__ import annotations

from dataclasses import dataclass, field

import h5py
import numpy as np

from snnsim.system.tables import table

_CURVES = ("loss", "validation_loss", "validation_accuracy", "temperature", "seconds")


@dataclass
class PairHistory:
    """Curves of a training on pairs, one entry an epoch.

    Parameters
    ----------
    loss : list of float
        Mean over the epoch, while the weights change.
    validation_loss : list of float
        Loss of the held-out pairs after the epoch, all in one batch; NaN without validation data.
    validation_accuracy : list of float
        Share of held-out queries whose nearest held-out item is of their class; NaN without validation data.
    temperature : list of float
        After the epoch; NaN where there is none.
    seconds : list of float
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    temperature: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def best_epoch(self) -> int:
        """Number (from 1) of the epoch with the best validation accuracy, of equals the one with the lowest loss.

        The last one without validation data.
        """
        accuracy, loss = np.asarray(self.validation_accuracy), np.asarray(self.validation_loss)
        if not accuracy.size or np.isnan(accuracy).any():
            return len(self)
        return int(np.lexsort((loss, -accuracy))[0]) + 1

    def add(self, *values: float) -> None:
        """Append an epoch, its values in the order of the fields."""
        for name, value in zip(_CURVES, values, strict=True):
            getattr(self, name).append(float(value))

    def __str__(self) -> str:
        rows = [
            (
                f"{i + 1}{' *' if i + 1 == self.best_epoch else '  '}",
                f"{self.loss[i]:.4f}",
                "" if np.isnan(self.validation_loss[i]) else f"{self.validation_loss[i]:.4f}",
                "" if np.isnan(self.validation_accuracy[i]) else f"{100 * self.validation_accuracy[i]:.1f} %",
                "" if np.isnan(self.temperature[i]) else f"{self.temperature[i]:.3g}",
            )
            for i in range(len(self))
        ]
        header = ("epoch", "loss", "validation loss", "validation top-1", "temperature")
        return table(header, rows, right=range(5)) + "\n* best on validation data; its weights are the model's"

    # -- keeping -----------------------------------------------------------------------------------------

    def write(self, group: h5py.Group) -> None:
        """Write into an open HDF5 group."""
        for name in _CURVES:
            group.create_dataset(name, data=np.asarray(getattr(self, name), np.float64))

    @classmethod
    def read(cls, group: h5py.Group) -> PairHistory:
        """Read what `write` wrote."""
        return cls(*(group[name][()].tolist() for name in _CURVES))
