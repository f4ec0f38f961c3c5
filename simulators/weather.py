"""Weather over the town: a normal year, with warm and cold spells and hours that wander, all from a seed.

Nothing is remembered between calls: the deviation at any moment follows from the seed and the calendar alone, so
that every part of the simulation sees the same weather whenever it looks.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np

from gashub.network.load_profile import normal_temperature_c

_SPELL_C: Final = 3.0
_HOURLY_C: Final = 0.4
_SPELL_H: Final = 72.0
_GROUND_MEAN_C: Final = 14.0
_GROUND_LAG: Final = timedelta(days=45)
_GROUND_SHARE: Final = 0.45


def air_temperature_c(local_time: datetime, seed: int) -> float:
    """Air temperature at this local time."""
    hour = local_time.timestamp() / 3600.0
    spell = _SPELL_C * _wander(hour / _SPELL_H, seed)
    return normal_temperature_c(local_time) + spell + _HOURLY_C * _wander(hour, seed + 1)


def ground_temperature_c(local_time: datetime) -> float:
    """Temperature at pipe depth: the season's, later and weaker."""
    earlier = (local_time - _GROUND_LAG).replace(hour=9, minute=0, second=0, microsecond=0)
    return _GROUND_MEAN_C + _GROUND_SHARE * (normal_temperature_c(earlier) - _GROUND_MEAN_C)


def _wander(position: float, seed: int) -> float:
    """A smooth random curve of about unit spread, with a fresh draw at each whole position."""
    left = int(np.floor(position))
    part = position - left
    draws = [float(np.random.default_rng((abs(seed), abs(left + k))).standard_normal()) for k in (0, 1)]
    blend = part * part * (3.0 - 2.0 * part)
    return draws[0] * (1.0 - blend) + draws[1] * blend
