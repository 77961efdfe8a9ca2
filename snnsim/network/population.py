"""Populations: neurons of one model under one name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from snnsim.errors import ParameterError
from snnsim.neurons import NeuronModel, PoissonDrive, Receptor, Source


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons of one model.

    Parameters
    ----------
    name : str
        Unique in the network.
    shape : int or tuple of int
        Number of neurons, or (channels, height, width); neurons are numbered in C order.
    model : NeuronModel or Source
        For instance ``LIF(...)`` or ``Input()``.
    drive : PoissonDrive or sequence of PoissonDrive
        Events of chance to each of the neurons.
    """

    name: str
    shape: tuple[int, ...]
    model: NeuronModel | Source
    drive: tuple[PoissonDrive, ...] = ()

    if TYPE_CHECKING:  # what is accepted is wider than what is kept

        def __init__(
            self,
            name: str,
            shape: int | Sequence[int],
            model: NeuronModel | Source,
            drive: PoissonDrive | Sequence[PoissonDrive] | None = (),
        ) -> None: ...

    def __post_init__(self) -> None:
        check_name("population", self.name)
        given: Any = self.shape
        shape = tuple(given) if isinstance(given, Iterable) else (given,)
        if not shape or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in shape):
            raise ParameterError(f"population {self.name!r}: shape={given!r}: must be whole numbers above zero")
        if isinstance(self.model, type):
            raise ParameterError(f"population {self.name!r}: model is the class; write {self.model.__name__}(...)")
        if not isinstance(self.model, (NeuronModel, Source)):
            raise ParameterError(f"population {self.name!r}: model={self.model!r} is no neuron model and no source")
        object.__setattr__(self, "shape", tuple(int(extent) for extent in shape))
        self.model.check_size(self.size, self.name)
        drive: Any = () if self.drive is None else self.drive
        drives = tuple(drive) if isinstance(drive, Iterable) else (drive,)
        if not all(isinstance(one, PoissonDrive) for one in drives):
            raise ParameterError(f"population {self.name!r}: drive={self.drive!r}: expected PoissonDrive(...)")
        if drives and self.is_source:
            raise ParameterError(f"population {self.name!r}: a source takes no drive; give it to a neuron model")
        object.__setattr__(self, "drive", drives)

    @cached_property
    def size(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)

    @cached_property
    def receptors(self) -> tuple[Receptor, ...]:
        """Receptors of the model, in order; a source has none."""
        return self.model.receptor_list if isinstance(self.model, NeuronModel) else ()

    @cached_property
    def is_source(self) -> bool:
        """Whether events come from outside the dynamics."""
        return isinstance(self.model, Source)


def check_name(what: str, name: object) -> None:
    """Raise `ParameterError` unless a name can stand in a line of a table and name a group of an HDF5 file."""
    if not isinstance(name, str) or name in ("", ".") or "/" in name or not name.isprintable():
        raise ParameterError(f"{what} name={name!r}: must be text in one line, not '.', and must not hold '/'")
