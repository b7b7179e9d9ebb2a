"""How others name the entries of an .npz file that holds one episode."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from world_models.data.arrays import Array
from world_models.data.interchange.ordering import as_flags
from world_models.data.interchange.recording import BOUNDARY_NAMES, Rows

PARTS = ("observations", "actions", "rewards", "terminals", "truncations")
OURS = ("seed", "split", "alignment", "origin", *BOUNDARY_NAMES.values())
"""Entries that only files of ours have."""


@dataclass(frozen=True)
class Layout:
    """Entries by the part of an episode that each one is."""

    whose: str
    required: dict[str, str]
    optional: dict[str, str] = field(default_factory=dict)
    # T+1 rows: the first holds a frame alone, and each other one the frame after its action
    has_every_frame: bool = False
    # what a user must know of such files
    note: str | None = None

    @property
    def entries(self) -> tuple[str, ...]:
        """The names of all entries that are read."""
        return (*self.required.values(), *self.optional.values())


ROLLOUT = Layout(
    "of ctallec's and TorchWM's layout",
    {part: part for part in PARTS[:4]},
    {name: name for name in ("truncations", *OURS)},
)
HARDMARU = Layout(
    "of hardmaru's layout",
    {"observations": "obs", "actions": "action"},
    note="the files hold obs and action alone: every reward is stored as 0, and no episode as "
    "ended by its rules, so train V on them, but no M whose reward or end you use",
)
DREAMER = Layout(
    "of Dreamer's layout",
    {
        "observations": "image",
        "actions": "action",
        "rewards": "reward",
        "terminals": "is_terminal",
    },
    {"truncations": "is_last", "beginnings": "is_first"},
    has_every_frame=True,
)
LAYOUTS = (ROLLOUT, HARDMARU, DREAMER)


def layout_of(place: str, names: Collection[str]) -> Layout:
    """The layout with these entries; a ValueError names those that the most similar one lacks."""
    missing = {
        layout.whose: [name for name in layout.required.values() if name not in names]
        for layout in LAYOUTS
    }
    fitting = [layout for layout in LAYOUTS if not missing[layout.whose]]
    if fitting:
        return fitting[0]
    nearest = max(LAYOUTS, key=lambda layout: len(layout.required) - len(missing[layout.whose]))
    raise ValueError(
        f"{place} has no {' and no '.join(map(repr, missing[nearest.whose]))}: "
        f"its entries are {', '.join(names) or 'none'}, "
        f"and an episode {nearest.whose} needs {', '.join(nearest.required.values())}"
    )


def rows_of(layout: Layout, place: str, content: dict[str, Array]) -> Rows:
    """The parts of an episode among the entries of a file; what the layout lacks is filled in."""
    names = {**layout.required, **layout.optional}
    parts = {part: content.get(names.get(part, "")) for part in PARTS}
    observations, actions = parts["observations"], parts["actions"]
    assert observations is not None and actions is not None
    if layout is HARDMARU:
        parts["rewards"] = parts["terminals"] = np.zeros(observations.shape[:1], np.float32)
    assert parts["rewards"] is not None
    rows = Rows(
        place,
        observations,
        actions,
        parts["rewards"],
        parts["terminals"],
        parts["truncations"],
        boundary=None,
    )
    return _without_first(rows, content.get("is_first")) if layout.has_every_frame else rows


def _without_first(rows: Rows, beginnings: Array | None) -> Rows:
    """Dreamer's rows: the first one's action and reward, which never were, are left out."""
    flags = as_flags(rows.place, "is_first", np.zeros(1) if beginnings is None else beginnings)
    again = np.flatnonzero(flags[1:])
    if again.size:
        raise ValueError(
            f"{rows.place}: is_first is set in row {again[0] + 1} of {len(flags)}, "
            "but one file holds one episode"
        )
    steps = {part: getattr(rows, part) for part in PARTS[1:] if getattr(rows, part) is not None}
    return replace(rows, **{part: values[1:] for part, values in steps.items() if values.ndim})
