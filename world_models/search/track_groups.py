"""Groups of candidates that play tracks of their own, and how their returns are put level.

On one track, all candidates are ranked by who is fastest there. In groups, the same episodes show
more tracks (a randomised block design).
"""

import numpy as np


def track_group_of(candidates: int, groups: int) -> np.ndarray:
    """(candidates,) the group that each plays in; as many in each, to one."""
    return np.arange(candidates) * groups // candidates


def put_level(returns: np.ndarray, groups: int) -> np.ndarray:
    """returns (P, n) without gaps, and with the same mean on all tracks, that of all returns.

    From each track its mean over its group is taken off, so that nobody gains by an easy track.
    A missing return (NaN) counts as its track's lowest.
    """
    level = np.empty(returns.shape)
    group = track_group_of(len(returns), groups)
    for rows in (group == number for number in range(groups)):
        played = returns[rows]
        played = np.where(np.isfinite(played), played, np.fmin.reduce(played, axis=0))
        # 0 all over on a track that nobody played
        level[rows] = np.nan_to_num(played - played.mean(0))
    return level + np.nanmean(returns)
