"""Stage play: watch, drive and dream, in a window, on a page or into a recording; keep it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from world_models.config.stage import Product, Setting, Stage
from world_models.data.overview import write_overview
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.data.tables import EpisodeLine
from world_models.envs.make import make_vector_env
from world_models.play.cast import Cast, Driver, Place
from world_models.play.controls import LONGEST_HORIZON, Controls, require
from world_models.play.drawing import Look
from world_models.play.game import Game
from world_models.play.opening import open_cast, open_episodes, resolve_pixel, resolve_source
from world_models.play.reel import Reel
from world_models.play.saving import Album, seeds_from, seeds_of
from world_models.play.screenless import record
from world_models.play.session import Session
from world_models.play.show import Browsing, Playing, Show
from world_models.play.web.serving import Web, require_web
from world_models.play.window import Window, require_screen
from world_models.runs.numbers import require_positive
from world_models.runs.provenance import versions
from world_models.runs.rows import TimingRow
from world_models.runs.run import PATH, RUNTIME, Run
from world_models.runs.seeding import Purpose

log = logging.getLogger(__name__)

SMALLEST = 96
"""Least height of the large panel at which labels can be read."""


class Ui(Enum):
    """How it is shown."""

    window = "window"
    # a page, which this program serves
    web = "web"


class Mode(Enum):
    """What is shown: a game that is played now, or stored episodes."""

    play = "play"
    episodes = "episodes"


class Who(Enum):
    """Who drives at the start.

    auto: the agent; where there is none a person, and into a recording chance.
    """

    auto = "auto"
    person = "person"
    agent = "agent"
    planner = "planner"
    random = "random"


@dataclass
class PlayConfig:
    """What is chosen at the start; but for files, all of it changes live in a window or a page."""

    # how it is shown
    ui: Ui = field(default=Ui.window, metadata=RUNTIME)
    # what is shown: a game that is played now, or stored episodes
    mode: Mode = field(default=Mode.play, metadata=RUNTIME)
    # of mode=episodes: run folder that holds them; null: those behind the upstream
    source: str | None = field(default=None, metadata={**RUNTIME, **PATH})
    # who drives at the start
    driver: Who = field(default=Who.auto, metadata=RUNTIME)
    # where it is played at the start
    world: Place = field(default=Place.game, metadata=RUNTIME)
    # whether the game steps on beside a dream
    ghost: bool = field(default=False, metadata=RUNTIME)
    # of what M guesses; 0: always its mode
    temperature: float = field(default=1.0, metadata=RUNTIME)
    # probability that M does not read a number of z or h, all through a dream
    dropout: float = field(default=0.0, metadata=RUNTIME)
    # steps after which a dream ends
    horizon: int = field(default=LONGEST_HORIZON, metadata=RUNTIME)
    # finished run of stage=pixel, token_world or rem whose model is another world
    pixel: str | None = field(default=None, metadata={**RUNTIME, **PATH})
    # of the first episode; the following ones count up. null: fresh ones
    first_seed: int | None = None
    # without a screen: `steps` steps into <record>.mp4, .gif and .npz
    record: str | None = field(default=None, metadata={**RUNTIME, **PATH})
    # how many of them are recorded
    steps: int = field(default=300, metadata=RUNTIME)
    # of ui=web: the name or number of this machine at which others may ask, who then need the token
    # in the address; null: this machine alone
    host: str | None = field(default=None, metadata=RUNTIME)
    # 0: one that is free
    port: int = field(default=8765, metadata=RUNTIME)
    # whether episodes may be kept: then it makes a run, from which V and M can be trained
    save: bool = False
    # what V and M see and guess, beside the large panel
    panels: bool = field(default=True, metadata=RUNTIME)
    # step, action, reward and the rest, above the panels
    header: bool = field(default=True, metadata=RUNTIME)
    # steps per second
    fps: int = field(default=30, metadata=RUNTIME)
    # pixels of the large panel
    height: int = field(default=384, metadata=RUNTIME)

    def __post_init__(self) -> None:
        require_positive("stage", self, "steps", "horizon", "fps")
        if self.height < SMALLEST:
            raise ValueError(f"stage.height is {self.height}; labels need {SMALLEST} or more")
        if not 0 <= self.port < 2**16:
            raise ValueError(f"stage.port is {self.port}; it must lie in [0, 65536)")
        if self.ui is Ui.web and self.record is not None:
            raise ValueError("stage.record needs no page: leave out stage.ui=web")
        if self.first_seed is not None and not 0 <= self.first_seed < 2**31:
            raise ValueError(f"stage.first_seed is {self.first_seed}; it must lie in [0, 2**31)")
        if self.save and self.mode is Mode.episodes:
            raise ValueError("stage.save keeps what is played, not what stage.mode=episodes shows")
        if self.save and self.first_seed is not None:
            raise ValueError(
                "stage.save chooses the seeds of episodes by their split: leave out "
                "stage.first_seed"
            )

    @property
    def look(self) -> Look:
        """How it is drawn."""
        return Look(self.fps, self.height, self.panels, self.header)


def resolve(cfg: PlayConfig, setting: Setting) -> PlayConfig:
    """A copy with absolute paths; what cannot be shown or played here is refused."""
    if cfg.mode is Mode.play:
        setting.env.require_environment()
    source = resolve_source(cfg.source, setting.env)
    pixel = resolve_pixel(cfg.pixel, setting.env)
    if cfg.ui is Ui.web:
        require_web()
    elif cfg.record is None:
        require_screen()
    recorded = None if cfg.record is None else str(Path(cfg.record).absolute())
    return replace(cfg, record=recorded, source=source, pixel=pixel)


def execute(cfg: PlayConfig, run: Run) -> None:
    """Play until the window is closed or the page ended, or for `steps` steps of a recording."""
    cast = open_cast(run, cfg.pixel)
    if cfg.mode is Mode.episodes:
        show(cfg, run, Browsing(reel_of(cfg, run, cast)))
        return
    album = open_album(run) if cfg.save else None
    game = Game(make_vector_env(run.env, run.backend, 1))
    try:
        show(cfg, run, Playing(session_of(cfg, run, cast, game, album)))
    finally:
        game.close()
    if album is not None:
        close_album(album, run)


def session_of(cfg: PlayConfig, run: Run, cast: Cast, game: Game, album: Album | None) -> Session:
    """The session at its start."""
    controls = replace(dials_of(cfg), driver=driver_of(cfg, cast), place=cfg.world)
    keep = None if album is None else album.keep
    return Session(cast, game, controls, episode_seeds(cfg, run, album), keep)


def dials_of(cfg: PlayConfig) -> Controls:
    """How is dreamt."""
    return Controls(
        ghost=cfg.ghost, temperature=cfg.temperature, dropout=cfg.dropout, horizon=cfg.horizon
    )


def reel_of(cfg: PlayConfig, run: Run, cast: Cast) -> Reel:
    """The stored episodes at the start; a recording of them runs."""
    controls = replace(dials_of(cfg), place=cfg.world)
    require(controls, cast)
    reel = Reel(open_episodes(cfg.source, run), cast, controls)
    reel.runs = cfg.record is not None
    return reel


def driver_of(cfg: PlayConfig, cast: Cast) -> Driver:
    """Who drives at the start."""
    if cfg.driver is not Who.auto:
        return Driver(cfg.driver.value)
    if Driver.agent in cast.drivers:
        return Driver.agent
    return Driver.person if cfg.record is None else Driver.random


def episode_seeds(cfg: PlayConfig, run: Run, album: Album | None) -> Iterator[int]:
    """The seeds of the episodes."""
    if album is not None:
        return album.seeds()
    if cfg.first_seed is not None:
        return seeds_from(cfg.first_seed)
    # none of them is held out for a test
    return seeds_of(Purpose.collection, run.seed)


def show(cfg: PlayConfig, run: Run, shown: Show) -> None:
    """In a window, on a page, or into a recording."""
    recordings = run.path / "recordings"
    if cfg.record is not None:
        record(shown, Path(cfg.record), cfg.steps, cfg.look)
    elif cfg.ui is Ui.web:
        Web(shown, cfg.look, recordings, run.env.folder_name).run(cfg.host, cfg.port)
    else:
        Window(shown, cfg.look, recordings).run()


def open_album(run: Run) -> Album:
    """Where the run keeps episodes; one that is finished takes no more."""
    folder = run.path / "episodes"
    if (folder / "manifest.json").is_file():
        raise ValueError(
            f"the episodes of {run.name} are finished: play on in a new run; stage=rollout "
            f"stage.extends={run.name} collects more of them"
        )
    facts = {"policy": "play", "seed": run.seed, "has_final_frame": run.env.family.has_final_frame}
    meta = {"env": run.env.to_dict(), "backend": run.backend.value, "versions": versions(), **facts}
    return Album(StoreWriter(folder, meta), run.seed, held_out=not run.env.has_one_level)


def close_album(album: Album, run: Run) -> None:
    """Finish the store, where anything was kept."""
    if not album.kept:
        log.info("no episode was kept")
        return
    album.writer.finish()
    write_overview(EpisodeStore.open(run.path / "episodes"), run, run.metrics(None), {})


def makes_run(cfg: PlayConfig) -> bool:
    """Only what is kept needs a folder of its own."""
    return cfg.save


STAGE = Stage(
    "play",
    PlayConfig,
    execute,
    needs=("controller", "mdrnn", "pixel", "token_world", "actor_critic", "rem", "rollout"),
    gives=Product("episodes", "episodes/manifest.json"),
    tables={
        "episodes": EpisodeLine,
        "timing": TimingRow,
    },
    stands_for="rollout",
    resolve=resolve,
    on_own_backend=True,
    plays_agents=True,
    needs_none=True,
    makes_run=makes_run,
    on_one_thread=True,
)
