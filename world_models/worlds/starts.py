"""Where dreams begin: stored windows of frames that the model was not trained on."""

from enum import Enum

from world_models.data.datasets import SequenceDataset
from world_models.data.store import EpisodeStore
from world_models.data.view import View
from world_models.data.windows import PixelWindows
from world_models.envs.actions import ActionSpace

MOST_STARTS = 4096
"""Most windows at which an episode may begin, evenly spread over the held-out episodes."""


class Starts(Enum):
    """Where in the held-out episodes a dream's may begin."""

    # at their first frames, as in the environment: M has read nothing yet
    episode = "episode"
    # in their midst, too: M has read the frames before
    anywhere = "anywhere"


def held_out_windows(
    store: EpisodeStore,
    context: int,
    space: ActionSpace,
    view: View,
    count: int = MOST_STARTS,
    starts: Starts = Starts.anywhere,
) -> PixelWindows:
    """Up to `count` windows of `context` frames of the validation split.

    A store without one gives those of its training episodes.
    """
    split = "validation" if store.episodes("validation") else "train"
    data = SequenceDataset(store, split, context)
    return PixelWindows(data, context, count, space, view, opening=starts is Starts.episode)
