"""Types that the file of a network may hold, by name."""

from __future__ import annotations

from typing import Any

from snnsim.connectivity import DISTRIBUTIONS, RULES
from snnsim.network.learnable_delay import Learnable
from snnsim.network.population import Population
from snnsim.network.projection import Projection
from snnsim.neurons import MODELS, RECEPTORS, SOURCES, PoissonDrive
from snnsim.plasticity import PLASTICITY, Normalisation


def known_types() -> dict[str, Any]:
    """Return the types of populations, projections and all that they are made of."""
    registered = (MODELS, SOURCES, RULES, DISTRIBUTIONS, RECEPTORS, PLASTICITY)
    parts = (PoissonDrive, Population, Projection, Learnable, Normalisation)
    return {name: kind for registry in registered for name, kind in registry.items()} | {
        kind.__name__: kind for kind in parts
    }
