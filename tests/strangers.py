"""A module with an environment, as somebody else may have written it: importing it does harm."""

from dataclasses import dataclass
from pathlib import Path

TEXT = """
from pathlib import Path
import gymnasium

Path({harm!r}).touch()
gymnasium.register(
    id="Stranger-v0", entry_point="world_models.envs.pellet:PelletEnv", max_episode_steps=20
)
"""


@dataclass(frozen=True)
class Stranger:
    """Where its module lies; nothing has imported it yet."""

    folder: Path
    module: str = "stranger"

    @property
    def env_id(self) -> str:
        return f"{self.module}:Stranger-v0"

    @property
    def harm(self) -> Path:
        return self.folder / "harm"

    @property
    def ran(self) -> bool:
        """Whether its code was run."""
        return self.harm.exists()

    def write(self) -> None:
        self.folder.mkdir()
        (self.folder / f"{self.module}.py").write_text(TEXT.format(harm=str(self.harm)))
