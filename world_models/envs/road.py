"""CarRacing's road, drawn once a step for both its pictures: what is observed, and what is shown.

Each of Gymnasium's two pictures draws grass and road anew, two thirds of its time.
"""

from typing import Any

CAR_RACING = "gymnasium.envs.box2d.car_racing"


def keep_road(env: Any) -> None:
    """From now on an environment that is CarRacing keeps the road of a step, pixel for pixel."""
    if type(env).__module__ == CAR_RACING and not isinstance(env._render_road, _Road):
        env._render_road = _Road(env)


class _Road:
    """Stands for the environment's method of the same task."""

    def __init__(self, env: Any) -> None:
        self._env, self._draw = env, env._render_road
        self._road: list[Any] = []
        self._place: tuple[Any, ...] = ()
        self._drawn: Any = None

    def __call__(self, zoom: float, translation: tuple[float, float], angle: float) -> None:
        env, place = self._env, (self._env.t, zoom, *translation, angle)
        # an episode has a list of its own; tiles take another colour in a step alone
        if self._road is env.road_poly and self._place == place:
            env.surf.blit(self._drawn, (0, 0))
            return
        self._draw(zoom, translation, angle)
        self._road, self._place, self._drawn = env.road_poly, place, env.surf.copy()
