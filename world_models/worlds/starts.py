"""Where dreams begin: stored windows of frames that the model was not trained on."""

from world_models.data.datasets import SequenceDataset
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs.actions import ActionSpace

MOST_STARTS = 4096
"""Most windows at which an episode may begin, evenly spread over the held-out episodes."""


def held_out_windows(
    store: EpisodeStore, context: int, space: ActionSpace, view: View, count: int = MOST_STARTS
) -> PixelWindows:
    """Up to `count` windows of `context` frames of the validation split.

    A store without one gives those of its training episodes.
    """
    split = "validation" if store.episodes("validation") else "train"
    return PixelWindows(SequenceDataset(store, split, context), context, count, space, view)
