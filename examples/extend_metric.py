"""A metric of your own: python examples/extend_metric.py stage=vae; it leaves sharpness.csv."""

import sys
from dataclasses import dataclass

import numpy as np

from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.measures.own import MEASURES
from world_models.measures.vision import HeldOut
from world_models.runs.past import PastRun
from world_models.worlds.latent import load_vae


@dataclass(frozen=True)
class SharpnessRow:
    """Mean difference of neighbouring pixels: of V's pictures, and of the frames themselves."""

    frames: int
    drawn: float
    true: float


def sharpness(folder):
    """The rows of the table, of the folder of a run whose V is trained."""
    run = PastRun(folder)
    vae = load_vae(run.best)
    found = []
    for frames, _ in HeldOut(EpisodeStore.at(run.input("episodes"))):
        x = frames.permute(0, 3, 1, 2) / 255
        drawn = vae.decoder(vae.encoder(x)[0]).detach()
        found += [[each.diff(dim=-1).abs().mean().item() for each in (drawn, x)]]
    return [SharpnessRow(len(found), *np.mean(found, axis=0))]


MEASURES.setdefault("vae", {})["sharpness"] = sharpness

if __name__ == "__main__":
    sys.exit(main())
