"""Pellet: a board game small enough to train on in seconds."""

from typing import Any

import gymnasium
import numpy as np

# tiles in a row
BOARD_SIZE = 6
# pixels in a row
TILE_SIZE = 16
# stay, up, down, left, right, as (row, column)
MOVES = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
BOARD_COLOURS = np.array([(24, 26, 38), (32, 35, 50)], np.uint8)
AGENT_COLOUR = (90, 200, 250)
PELLET_COLOUR = (255, 176, 59)


def _disc(radius: float, colour: tuple[int, int, int]) -> np.ndarray:
    """An anti-aliased disc on either colour of the board: uint8 (2, TILE_SIZE, TILE_SIZE, 3)."""
    axis = np.arange(TILE_SIZE) - (TILE_SIZE - 1) / 2
    distance = np.hypot(axis[:, None], axis[None, :])
    cover = np.clip(radius - distance + 0.5, 0, 1)[None, :, :, None]
    ground = BOARD_COLOURS[:, None, None, :]
    return np.round(cover * np.array(colour) + (1 - cover) * ground).astype(np.uint8)


AGENT_TILES = _disc(6.5, AGENT_COLOUR)
PELLET_TILES = _disc(4.0, PELLET_COLOUR)
TILE_COLOURS = np.indices((BOARD_SIZE, BOARD_SIZE)).sum(0) % 2
EMPTY_BOARD = BOARD_COLOURS[np.kron(TILE_COLOURS, np.ones((TILE_SIZE, TILE_SIZE), int))]


class PelletEnv(gymnasium.Env):
    """Walk a blue disc to an orange pellet on a 6x6 board.

    Contact gives +1 and the end; there are at most 20 steps. Actions: 0 stay, 1 up, 2 down, 3 left,
    4 right. Observations are the picture, uint8 (96, 96, 3).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Discrete(len(MOVES))
        self.observation_space = gymnasium.spaces.Box(0, 255, EMPTY_BOARD.shape, np.uint8)
        # row, column
        self.agent = np.zeros(2, int)
        self.pellet = np.zeros(2, int)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put agent and pellet on two different tiles."""
        super().reset(seed=seed)
        tiles = self.np_random.choice(BOARD_SIZE * BOARD_SIZE, size=2, replace=False)
        self.agent, self.pellet = np.stack(np.divmod(tiles, BOARD_SIZE), axis=1)
        return self._picture(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move by one tile, unless a wall is in the way."""
        self.agent = np.clip(self.agent + MOVES[action], 0, BOARD_SIZE - 1)
        eaten = bool((self.agent == self.pellet).all())
        return self._picture(), float(eaten), eaten, False, {}

    def render(self) -> np.ndarray:
        """The picture again."""
        return self._picture()

    def _picture(self) -> np.ndarray:
        picture = EMPTY_BOARD.copy()
        for (row, column), tiles in ((self.pellet, PELLET_TILES), (self.agent, AGENT_TILES)):
            rows = slice(row * TILE_SIZE, (row + 1) * TILE_SIZE)
            columns = slice(column * TILE_SIZE, (column + 1) * TILE_SIZE)
            picture[rows, columns] = tiles[(row + column) % 2]
        return picture
