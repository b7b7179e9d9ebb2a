"""What a page says of episodes that could not be played."""

from world_models.data.tables import SetAsideRow
from world_models.report.page import Section


def add_set_aside(section: Section) -> None:
    """A note where others were played in their place."""
    rows = section.rows("quarantine.csv", SetAsideRow)
    if rows:
        what = "An episode" if len(rows) == 1 else f"{len(rows)} episodes"
        section.note(
            f"{what} could not be played, so others were (quarantine.csv). "
            f"The last cause: {rows[-1].cause}."
        )
