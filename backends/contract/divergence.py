"""States whose numbers mean nothing any more: found after each block of a run, and said with population and tick.

NaN and infinity pass on to whatever they are added to and stay in a state for good, so that looking now and then is
enough. A membrane from which the threshold is subtracted is lost where it is so large that this changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnsim.backends.contract.layout import Layout, Place
from snnsim.errors import DivergenceError, exactly
from snnsim.network.network import Network
from snnsim.neurons import NeuronModel

#: Numbers of a state that are looked at in one piece, input on its way included.
_SMALL = 2**13


def largest_membrane(model: Any, numbers: Any) -> float:
    """Return the largest membrane that means something; `numbers` is the `finfo` of NumPy or torch."""
    reset = getattr(model, "reset", None)
    if isinstance(reset, str) and reset == "subtract":
        return min(float(np.max(np.abs(model.threshold))) * 2.0 / float(numbers.eps), float(numbers.max))
    return float(numbers.max)


class Watch:
    """What is looked for in the states of a network.

    Parameters
    ----------
    network : Network
    layout : Layout
    dtype : dtype
    """

    def __init__(self, network: Network, layout: Layout, dtype: np.dtype[Any]) -> None:
        self._network, self._layout = network, layout
        #: Largest membrane of each population that means something, where that is not the largest number there is.
        self._most: dict[int, float] = {}
        for place in layout.places:
            largest = largest_membrane(network.populations[place.population].model, np.finfo(dtype))
            if largest < np.finfo(dtype).max:
                self._most[place.population] = largest
        lowest = min(self._most.values(), default=float(np.finfo(dtype).max) ** 0.5)
        self._enough = min(lowest * lowest, float(np.finfo(dtype).max))

    def look(self, floats: NDArray[Any], tick: int, start: int, first_recording: int) -> None:
        """Raise `DivergenceError` where a state means nothing any more.

        Parameters
        ----------
        floats : ndarray, shape (recordings, floats)
        tick, start : int
            The next tick, and the one at which all was well.
        first_recording : int
            Number of the first recording.
        """
        # The product of a row with itself bounds all of its numbers; what is not finite is not below any bound.
        with np.errstate(over="ignore", invalid="ignore"):
            if floats.shape[0] > 1 or floats.size <= _SMALL:
                row = floats.reshape(-1)
                if row.dot(row) <= self._enough:
                    return
            elif all((row := floats[0, p.states : p.ring]).dot(row) <= self._enough for p in self._layout.places):
                return
        for place in self._layout.places:
            self._look_closely(place, floats, tick, start, first_recording)

    def _look_closely(self, place: Place, floats: NDArray[Any], tick: int, start: int, first: int) -> None:
        model = self._network.populations[place.population].model
        assert isinstance(model, NeuronModel)
        states, currents = self._layout.states(floats, place), self._layout.currents(floats, place)
        named = list(zip(place.state_names, np.moveaxis(states, 1, 0), strict=True))
        for number, receptor in enumerate(model.receptor_list):
            names = () if receptor.arithmetic is None else receptor.arithmetic.states
            for i, name in enumerate(names):
                named.append((f"{name} of {receptor.name!r}", currents[:, place.receptor_states[number] + i]))
        for name, values in named:
            self._refuse(place, name, values, ~np.isfinite(values), "", tick, start, first)
        most = self._most.get(place.population)
        if most is not None:
            why = ", from which the threshold cannot be subtracted any more"
            self._refuse(place, named[0][0], named[0][1], named[0][1] > most, why, tick, start, first)

    @staticmethod
    def _refuse(
        place: Place,
        name: str,
        values: NDArray[Any],
        bad: NDArray[np.bool_],
        why: str,
        tick: int,
        start: int,
        first: int,
    ) -> None:
        if not np.any(bad):
            return
        recording, neuron = (int(i) for i in np.argwhere(bad)[0])
        which = f" in recording {first + recording}" if values.shape[0] > 1 or first else ""
        raise DivergenceError(
            f"population {place.name!r}: the {name} of neuron {neuron}{which} is {exactly(values[recording, neuron])} "
            f"after tick {tick - 1}{why}; all was well before tick {start}. Check the weights and what is fed back; a "
            "finer dt, integration='exact' or dtype='float64' may help"
        )
