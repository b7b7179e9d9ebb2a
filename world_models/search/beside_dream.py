"""What is dreamt beside what is real: a search in a dream is tested in both."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from world_models.measures.search_rows import DreamtRow, grown
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.search.dreaming import Dreamers
from world_models.search.dreaming_frames import FrameDreamers
from world_models.search.search import Search
from world_models.search.selection import Selection

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BesideDream(Selection):
    """Tests on the selection tracks, by which the agent is chosen, and in as many dreams.

    These are the same in every test, too. Their scores choose nothing: they say how far the dream
    can be believed.
    """

    dreamers: Dreamers | FrameDreamers
    # rows of dreamt.csv so far
    rows: list[DreamtRow]

    def test(self, search: Search) -> np.ndarray:
        """Test, and write down what the same two controllers dream."""
        real = super().test(search)
        seeds = fixed_seeds(Purpose.selection, self.episodes)
        dreamt = self.dreamers.play(np.stack([search.mean, search.champion]), seeds).returns.mean(1)
        row = DreamtRow(
            generation=search.generation,
            real=float(real[0]),
            dream=float(dreamt[0]),
            gap=float(dreamt[0] - real[0]),
            candidate_real=float(real[1]),
            candidate_dream=float(dreamt[1]),
        )
        self.rows.append(row)
        self.team.metrics.write("dreamt", row)
        log.info("in the dream: mean vector %.1f, best candidate %.1f", *dreamt)
        _warn(self.rows)
        return real


def _warn(rows: Sequence[DreamtRow]) -> None:
    if grown(rows):
        log.warning(
            "the dream promises more and more: in three tests in a row the gap between its score "
            "and the real one has grown, from %.1f to %.1f",
            rows[-4].gap,
            rows[-1].gap,
        )
