"""Configuration: every file composes, mistakes end in one sentence,
and what is written reads back the same.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import STAGES

from world_models.chains.catalogue import schemas
from world_models.chains.pipeline import PipelineConfig
from world_models.cli.multirun import expand
from world_models.config.compose import compose_config
from world_models.config.groups import CONFIG_FOLDERS, options
from world_models.config.schema import Config, check_resumable, register, to_yaml
from world_models.config.stored import env_keys, stored_config
from world_models.envs.procgen import ProcgenConfig
from world_models.main import main
from world_models.runs.device import Device
from world_models.runs.files import write_json
from world_models.runs.past import PastRun
from world_models.stages.controller.config import ControllerConfig
from world_models.stages.mdrnn.config import MDRNNConfig
from world_models.stages.vae.config import VAEConfig

ENVIRONMENTS = [
    "atari",
    "car_racing",
    "coinrun",
    "data",
    "gymnasium",
    "minatar",
    "pellet",
    "take_cover",
]


@pytest.fixture(autouse=True)
def all_schemas() -> None:
    register(schemas())


@pytest.mark.parametrize("env", ENVIRONMENTS)
@pytest.mark.parametrize("stage", sorted(schemas()))
def test_every_stage_composes_with_every_env(stage: str, env: str) -> None:
    config = compose_config(
        [f"stage={stage}", f"env={env}", "env.id=Acrobot-v1" if env == "gymnasium" else "seed=3"]
    ).config
    assert type(config.stage) is schemas()[stage]


ABLATION = ["ablation_v", "ablation_v_hidden", "ablation_vm", "ablation_random_m"]


def test_every_config_file_is_covered() -> None:
    assert options("stage") == sorted([*schemas(), "pixel_gray84"])
    assert options("env") == ENVIRONMENTS
    for name in options("experiment"):
        assert compose_config([f"experiment={name}"]).choices["experiment"] == name


def test_the_ablation_is_one_sweep() -> None:
    arguments = [
        f"experiment={','.join(ABLATION)}",
        "reuse=true",
        "seed=1",
    ]
    configs = [compose_config(job).config.stage for job in expand(arguments).jobs]
    told = [
        (
            cfg.controller.features.value,
            cfg.controller.hidden_units,
            cfg.mdrnn.untrained,
            cfg.controller.minutes,
        )
        for cfg in configs
    ]
    assert told == [
        ("z", 0, False, 20),
        ("z", 40, False, 20),
        ("zh", 0, False, 20),
        ("zh", 0, True, 20),
    ]
    assert all((cfg.rollout, cfg.vae) == (configs[0].rollout, configs[0].vae) for cfg in configs), (
        "made once"
    )


def test_yaml_holds_only_what_differs_from_the_defaults() -> None:
    for stage, schema in schemas().items():
        assert compose_config([f"stage={stage}"]).config.stage == schema(), stage


def test_reference_defaults() -> None:
    vae, mdrnn, controller = VAEConfig(), MDRNNConfig(), ControllerConfig()
    assert (vae.latent_size, vae.train_batch_size, vae.num_epochs, vae.learning_rate) == (
        32,
        32,
        10,
        1e-3,
    )
    assert (
        vae.scheduler_patience,
        vae.scheduler_factor,
        vae.early_stopping_patience,
        vae.sample_interval,
    ) == (
        5,
        0.5,
        30,
        5,
    )
    assert (
        mdrnn.hidden_size,
        mdrnn.gmm_components,
        mdrnn.batch_size,
        mdrnn.seq_len,
        mdrnn.num_epochs,
    ) == (
        256,
        5,
        16,
        32,
        30,
    )
    assert mdrnn.include_reward and mdrnn.learning_rate == 1e-3
    assert (
        controller.n_samples,
        controller.sigma0,
        controller.time_limit,
        controller.max_workers,
    ) == (
        4,
        0.1,
        1000,
        32,
    )


def test_a_game_of_procgen_is_one_key() -> None:
    env = compose_config(
        ["stage=rollout", "env=coinrun", "env.game=maze", "env.num_levels=200"]
    ).config.env
    assert isinstance(env, ProcgenConfig)
    assert (env.id, env.num_levels) == ("WorldModels/Procgen-maze-v0", 200)


def test_root_keys_can_be_set_by_the_command_line_and_experiment() -> None:
    config = compose_config(["experiment=demo", "seed=7", "device=cpu"]).config
    assert isinstance(config.stage, PipelineConfig)
    assert (config.seed, config.device, config.env.id) == (7, Device.cpu, "CarRacing-v3")


MISTAKES = [
    (
        ["stage=vae", "stage.num_epoch=3"],
        r"stage\.num_epoch is no key; did you mean stage\.num_epochs",
    ),
    (
        ["stage=vae", "+stage.num_epoch=3"],
        r"stage\.num_epoch is no key; did you mean stage\.num_epochs",
    ),
    (["stage=vae", "sed=3"], r"sed is no key; did you mean seed"),
    (["stage=vae", "env.xyzzy=3"], r"env\.xyzzy is no key; the keys there are env\.id"),
    (["stage=vae", "stage.num_epochs=many"], r"stage\.num_epochs: .*'many'.*Integer"),
    (["stage=vae", "stage.num_epochs=0"], r"stage\.num_epochs is 0; it must be above 0"),
    (["stage=vae", "stage.kl_weight=-1"], r"stage\.kl_weight is -1\.0; it must be 0 or more"),
    (["stage=vae", "stage.kl_tolerance=nan"], r"stage\.kl_tolerance is nan; it must be 0 or more"),
    (["stage=vae", "device=tpu"], r"device: .*'tpu'.*auto.*cpu.*cuda"),
    (["stage=vea"], r"stage=vea does not exist; choose one of: .*vae"),
    (["stage=vae", "env=mario"], r"env=mario does not exist; choose one of: atari, car_racing"),
    (["env=pellet"], r"stage is missing; choose one: .*stage=vae"),
    (["stage=rollout", "env=gymnasium"], r"env\.id is missing: name a Gymnasium environment"),
    (["stage=rollout", "stage.policy=drunk"], r"stage\.policy=drunk is none of .*brownian"),
    (
        ["stage=rollout", "stage.val_fraction=1.5"],
        r"stage\.val_fraction is 1\.5; it must be at least 0 and below 1",
    ),
    (
        ["stage=rollout", "stage.policy=agent"],
        r"stage\.policy=agent \(or plan\) and stage\.agent=.* go together",
    ),
    (["stage=controller", "stage.pop_size=1"], r"stage\.pop_size is 1; CMA-ES needs at least 2"),
    (
        ["stage=controller", "stage.generations=null"],
        r"stage\.env_steps and stage\.minutes are all null",
    ),
    (
        ["stage=controller", "stage.most_samples=3"],
        r"most_samples is 3 and stage\.n_samples 4: .* can grow",
    ),
    (
        ["stage=controller", "stage.weight_decay=-1"],
        r"stage\.weight_decay is -1\.0; it must be 0 or more",
    ),
    (["stage=vae", "stage.num_epochs="], r"stage\.num_epochs"),
    (["stage=vae", "learning rate=3"], r"learning rate"),
]


@pytest.mark.parametrize(
    ("arguments", "sentence"), MISTAKES, ids=[" ".join(item[0]) for item in MISTAKES]
)
def test_mistakes_end_in_one_sentence_and_write_nothing(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, f"outputs={tmp_path / 'outputs'}"]) == 1
    error = capsys.readouterr().err
    assert re.search(sentence, error), error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "outputs").exists()


def past_run(path: Path, resumed: Sequence[dict[str, Any]] = ()) -> PastRun:
    manifest = {
        "stage": "vae",
        "status": "finished",
        "created": "2026-01-01T00:00:00",
        "experiment": None,
        "env": {"id": "A"},
        "seed": 0,
        "device": "cpu",
        "inputs": [],
        "resumed": [{"at": "2026-01-02", "device": "cpu", **entry} for entry in resumed],
        "upstream": None,
        "threads": 1,
        "versions": {},
        "machine": {},
        "git": None,
        "choices": {"env": "pellet", "env_keys": []},
    }
    write_json(path / "manifest.json", manifest)
    return PastRun(path)


@pytest.mark.parametrize("stage", [*schemas()])
def test_a_written_configuration_reads_back_the_same(stage: str, tmp_path: Path) -> None:
    for env in (["env=pellet"], ["env=coinrun", "env.num_levels=7"], ["env=car_racing"]):
        config = compose_config([f"stage={stage}", *env]).config
        (tmp_path / "config.yaml").write_text(to_yaml(config))
        assert stored_config(past_run(tmp_path), schemas()[stage]) == config
        resumed = [{"overrides": ["seed=4", "threads=2"]}, {"overrides": ["seed=5"]}]
        again = stored_config(past_run(tmp_path, resumed), schemas()[stage])
        assert (again.seed, again.threads) == (5, 2)


def test_what_may_change_on_resume(tmp_path: Path) -> None:
    def config(*overrides: str) -> Config:
        return compose_config(["stage=vae", "env=pellet", *overrides]).config

    def resumable(old: Config, new: Config) -> None:
        check_resumable(old, new, tmp_path)

    (tmp_path / "there.pt").touch()
    for path in (tmp_path / "there.pt", "car_racing"):
        with pytest.raises(ValueError, match="it cannot change"):
            resumable(config(f"stage.start_from={path}"), config("stage.start_from=/other"))
    resumable(config(f"stage.start_from={tmp_path}/gone"), config("stage.start_from=/other"))
    resumable(config(), config("stage.sample_interval=1", "stage.compile=false"))
    for key in (
        "horizontal_flip=true",
        "kl_weight=2",
        "kl_tolerance=0.25",
        "start_from=elsewhere",
        "precision=bfloat16",
    ):
        with pytest.raises(ValueError, match="it cannot change"):
            resumable(config(), config(f"stage.{key}"))
    resumable(
        config(),
        config("stage.num_epochs=11", "device=cpu", "threads=1", "stage.checkpoint_interval=3"),
    )
    with pytest.raises(
        ValueError, match=r"stage\.num_epochs was 10 and is now 9: it may only grow"
    ):
        resumable(config(), config("stage.num_epochs=9"))
    with pytest.raises(
        ValueError, match=r"stage\.learning_rate was 0\.001 and is now 0\.1: it cannot change"
    ):
        resumable(config(), config("stage.learning_rate=0.1"))


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    for text in ("stage: [", "- a list", "seed: many"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"config\.yaml is damaged"):
            stored_config(past_run(tmp_path), VAEConfig)


@pytest.mark.parametrize(
    "keys",
    [
        ["env=pellet", "env.size=32", "env.grayscale=true", "env.crop.top=3"],
        ["env=coinrun", "env.game=maze", "env.num_levels=9", "env.backend=procgen"],
        [
            "env=gymnasium",
            "env.id=LunarLander-v3",
            "env.kwargs.continuous=true",
            "env.kwargs.gravity=-9.5",
            "env.squash=[affine,positive]",
        ],
    ],
)
def test_env_keys_make_the_same_env_again(keys: list[str]) -> None:
    env = compose_config(["stage=rollout", *keys]).config.env
    choice = keys[0].removeprefix("env=")
    again = compose_config(["stage=evaluate", f"env={choice}", *env_keys(env, choice)]).config.env
    assert replace(again, backend=env.backend) == env


def test_help_names_the_stages_and_no_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(
        name in text for name in [*STAGES, "pipeline", "runs", "car_racing", "coinrun", "demo"]
    )
    assert "schema" not in text


@pytest.mark.parametrize(
    "flags",
    [["--cfg", "job"], ["-c", "job", "-p", "stage"], ["--info", "config"], ["--info"]],
)
def test_hydras_flags_show_and_run_nothing(
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["world-models"])
    monkeypatch.chdir(tmp_path)
    assert main(["stage=vae", "stage.num_epochs=7", *flags]) == 0
    assert "num_epochs: 7" in capsys.readouterr().out and list(tmp_path.iterdir()) == []


def test_conf_is_found_in_the_checkout() -> None:
    assert (CONFIG_FOLDERS[1] / "config.yaml").is_file()
