"""A session, or stored episodes, without a screen: so many steps into a recording."""

import logging
from pathlib import Path

from world_models.play.drawing import Look
from world_models.play.recording import Recording
from world_models.play.show import Show
from world_models.runs.folder import display_path
from world_models.runs.progress import tracked
from world_models.runs.signals import arrived

log = logging.getLogger(__name__)


def record(show: Show, path: Path, steps: int, look: Look) -> list[Path]:
    """Write what is seen of `steps` steps, and say where; returns the files.

    Every episode that ends is kept, where any is: nobody is there to be asked. What was recorded
    before an interruption is written, too.
    """
    recording = Recording(path, look.fps)
    try:
        _play_into(recording, show, steps, look)
    except KeyboardInterrupt:
        # else it would break off what is still to be written
        arrived()
        raise
    finally:
        made = recording.close()
        if made:
            names = ", ".join(display_path(file) for file in made)
            log.info("recorded %d of %d steps: %s", recording.pictures - 1, steps, names)
    return made


def _play_into(recording: Recording, show: Show, steps: int, look: Look) -> None:
    recording.add(look.draw(show.scene(panels=look.panels)), None)
    for _ in tracked("play", range(steps), steps, "steps"):
        show.step()
        scene = show.scene(panels=look.panels)
        recording.add(look.draw(scene), scene.step)
        show.settle()
