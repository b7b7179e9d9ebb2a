"""A session, or stored episodes, without a screen: so many steps into a recording."""

from pathlib import Path

from world_models.play.drawing import Look
from world_models.play.recording import Recording
from world_models.play.show import Show
from world_models.runs.progress import tracked


def record(show: Show, path: Path, steps: int, look: Look) -> list[Path]:
    """Write what is seen of `steps` steps; returns the files.

    Every episode that ends is kept, where any is: nobody is there to be asked. What was recorded
    before an interruption is written, too.
    """
    recording = Recording(path, look.fps)
    try:
        recording.add(look.draw(show.scene(panels=look.panels)), None)
        for _ in tracked("play", range(steps), steps, "steps"):
            show.step()
            scene = show.scene(panels=look.panels)
            recording.add(look.draw(scene), scene.step)
            show.settle()
    finally:
        made = recording.close()
    return made
