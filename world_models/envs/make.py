"""From what a user types to a running batch of environments: EnvConfig, EnvSpec, PixelVectorEnv."""

from dataclasses import fields

from omegaconf import MISSING

from world_models.envs.config import Backend, EnvConfig
from world_models.envs.families import family_of
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec


def make_spec(cfg: EnvConfig) -> EnvSpec:
    """Describe the environment that `cfg` names; ValueError for what cannot be used."""
    if cfg.id == MISSING:
        raise ValueError(
            "env.id is missing: name a Gymnasium environment, for example env.id=Acrobot-v1"
        )
    if cfg.frame_skip < 1:
        raise ValueError(f"env.frame_skip={cfg.frame_skip} must be at least 1")
    family = family_of(cfg.id)
    foreign = family.foreign_keys(item.name for item in fields(cfg))
    if foreign:
        raise ValueError(
            f"env.id={cfg.id} does not go with env.{', env.'.join(foreign)}: "
            "leave env.id out, or choose env=gymnasium"
        )
    family.require()
    crop = (cfg.crop.top, cfg.crop.bottom, cfg.crop.left, cfg.crop.right)
    return family.make_spec(cfg, Preprocessing(crop, cfg.size, cfg.grayscale))


def resolve_backend(backend: Backend, spec: EnvSpec) -> Backend:
    """The backend that will step `spec`; ValueError if the one asked for cannot."""
    family = spec.family
    family.require()
    engines = family.engines
    if backend is Backend.auto:
        return next(name for name, engine in engines.items() if not engine.obstacle(spec))
    if backend not in engines:
        names = " or ".join(name.value for name in (*engines, Backend.auto))
        raise ValueError(f"env.backend={backend.value} cannot step {spec.id}: use {names}")
    obstacle = engines[backend].obstacle(spec)
    if obstacle:
        raise ValueError(obstacle)
    return backend


def make_vector_env(
    spec: EnvSpec, backend: Backend, num_envs: int, threads: int = 1
) -> PixelVectorEnv:
    """`num_envs` slots of `spec`, stepped by `threads` where the engine has them (envpool).

    `backend` may still be auto. ValueError as in `resolve_backend`.
    """
    if num_envs < 1:
        raise ValueError(f"{num_envs} environments asked for: at least one is needed")
    engine = spec.family.engines[resolve_backend(backend, spec)]
    return engine.make(spec, num_envs, threads)
