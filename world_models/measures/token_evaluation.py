"""A world of tokens judged on held-out episodes: how far its dreams are right."""

import logging
from dataclasses import replace

from world_models.data.loading import watched_split
from world_models.data.token_windows import TokenWindows
from world_models.measures.token_dreams import DreamWindows, horizon_rows
from world_models.measures.tokens import TokenStatistics
from world_models.runs.metrics import MetricsLog
from world_models.worlds.token import TokenWorld

log = logging.getLogger(__name__)


def evaluate_token_world(world: TokenWorld, count: int, horizon: int, metrics: MetricsLog) -> None:
    """Write `open_loop.csv`: dreams on from `count` places of held-out episodes, likeliest tokens.

    They go `horizon` frames ahead, or as far as the longest of these episodes does. Episodes that
    are not as long are left out.
    """
    assert world.starts is not None
    begin, device = world.starts.windows, world.device.type
    store, split = begin.store, watched_split(begin.store, "windows")
    longest = max(row.length for row in begin.rows) + store.has_final_frame
    ahead = min(horizon, longest - world.context)
    if ahead < 1:
        log.warning("no held-out episode goes on after the frames that a dream begins with")
        return
    windows = TokenWindows(
        store,
        begin.tokens,
        split,
        world.context - 1 + ahead,
        context=world.context,
        to_model=begin.to_model,
    )
    statistics = TokenStatistics.of(store, begin.tokens, "train").to(device)
    for row in horizon_rows(world.model, DreamWindows(windows, count), statistics, device):
        metrics.write("open_loop", replace(row, step=world.dreamer.step, split=split))
