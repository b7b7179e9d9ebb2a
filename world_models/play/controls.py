"""What is chosen in a session, and what cannot be."""

from dataclasses import dataclass

from world_models.play.cast import Cast, Driver, Place
from world_models.play.imagined import DIALS

LONGEST_HORIZON = 1000


@dataclass(frozen=True)
class Controls:
    """What is chosen; everything may change at any step."""

    driver: Driver = Driver.person
    place: Place = Place.game
    # whether the game steps on beside a dream, under the same inputs
    ghost: bool = False
    temperature: float = 1.0
    # holds from the next dream on
    dropout: float = 0.0
    # steps after which a dream ends
    horizon: int = LONGEST_HORIZON
    paused: bool = False


def require(chosen: Controls, cast: Cast) -> None:
    """What there is not to choose is a ValueError."""
    if chosen.driver not in cast.drivers:
        there = ", ".join(driver.value for driver in cast.drivers)
        raise ValueError(f"there is no {chosen.driver.value} to drive; there is {there}")
    if chosen.place not in cast.places:
        there = ", ".join(place.value for place in cast.places)
        raise ValueError(f"there is no {chosen.place.value} to play in; there is {there}")
    if chosen.driver in (Driver.agent, Driver.planner) and chosen.place is Place.pixel:
        cast.require_agent_sees_pixel_model()
    for dial in DIALS:
        if not dial.least <= getattr(chosen, dial.name) <= dial.most:
            raise ValueError(f"{dial.name} must lie between {dial.least} and {dial.most}")
    if not 1 <= chosen.horizon <= LONGEST_HORIZON:
        raise ValueError(f"horizon must lie between 1 and {LONGEST_HORIZON}")
