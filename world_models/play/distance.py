"""How far a dream has gone from the game that was played beside it."""

from dataclasses import dataclass

import cv2
import numpy as np

from world_models.play.eyes import Eyes, TokenEyes
from world_models.play.game import Game
from world_models.play.imagined import Imagined
from world_models.worlds.latent import LatentWorld

BEST_PSNR = 60.0
"""dB; of equal pictures it would be infinite."""


@dataclass(frozen=True)
class Distance:
    """Of one step."""

    # dB, between what the dream shows and the game's frame
    psnr: float
    # root mean square over the latents; None in a pixel model
    latent: float | None


def distance(dream: Imagined, game: Game, eyes: Eyes | TokenEyes | None) -> Distance:
    """Between a dream and its ghost, as they stand."""
    latent = None
    if isinstance(eyes, Eyes) and isinstance(dream.world, LatentWorld):
        gap = dream.state.z - eyes.perception.state.z
        latent = float(gap.square().mean().sqrt())
    return Distance(psnr(dream.picture, game.frame), latent)


def psnr(picture: np.ndarray, frame: np.ndarray) -> float:
    """dB between pictures uint8 (H, W, 3) and (H', W', C); the second is brought to the first."""
    height, width = picture.shape[:2]
    if frame.shape[:2] != (height, width):
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        frame = frame.reshape(height, width, -1)
    error = np.square(picture.astype(np.float64) - frame).mean()
    return BEST_PSNR if error == 0 else float(min(BEST_PSNR, 10 * np.log10(255**2 / error)))
