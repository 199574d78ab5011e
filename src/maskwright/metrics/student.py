"""Student's distribution, which intervals of few values follow; SciPy has it, for 35 MB that nothing else needs."""

from __future__ import annotations

import functools
import math

import numpy as np

_POINTS = 40_001


@functools.lru_cache(maxsize=4096)
def student_quantile(share: float, degrees: float) -> float:
    """The quantile of Student's distribution with so many degrees of freedom, whole or not.

    As the tangent of an angle, t / √degrees, its density is a power of the cosine, which is summed up over half a
    circle.

    >>> round(student_quantile(0.975, 3), 6), round(student_quantile(0.025, 1), 4)
    (3.182446, -12.7062)
    """
    angles = np.linspace(0, min(math.pi / 2, 40 / math.sqrt(degrees)), _POINTS)
    density = np.cos(angles) ** (degrees - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    angle = float(np.interp(abs(2 * share - 1), below / below[-1], angles))
    return math.copysign(math.sqrt(degrees) * math.tan(angle), share - 0.5)
