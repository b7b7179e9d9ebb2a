"""Keys that are typed by the words of other programs."""

import pytest

from world_models.chains import catalogue
from world_models.config.meanings import keys_of
from world_models.config.other_words import SAME, by_other_words
from world_models.config.schema import Config
from world_models.envs.families import FAMILIES
from world_models.main import main


@pytest.mark.parametrize(
    ("stage", "typed", "meant"),
    [
        ("vae", "stage.lr", "stage.learning_rate"),
        ("vae", "stage.epochs", "stage.num_epochs"),
        ("vae", "stage.batch_size", "stage.train_batch_size"),
        ("vae", "stage.latent_dim", "stage.latent_size"),
        ("vae", "stage.beta", "stage.kl_weight"),
        ("mdrnn", "stage.hidden_dim", "stage.hidden_size"),
        ("mdrnn", "stage.tau", "stage.temperature"),
        ("mdrnn", "stage.LR", "stage.learning_rate"),
        ("controller", "stage.population", "stage.pop_size"),
        ("controller", "stage.sigma", "stage.sigma0"),
        ("controller", "stage.tau", "stage.dream.temperature"),
        ("pixel", "stage.batch_size", "stage.data.batch_size"),
        ("pixel", "stage.steps", "stage.max_steps"),
        ("vae", "lr", "stage.learning_rate"),
        ("vae", "random_seed", "seed"),
        ("vae", "env.frameskip", "env.frame_skip"),
    ],
)
def test_another_word_is_answered_with_our_key(
    stage: str, typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"stage={stage}", f"{typed}=1"]) == 1
    assert capsys.readouterr().err == f"error: {typed} is no key; did you mean {meant}\n"


def test_what_nobody_calls_so_is_answered_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage=vae", "stage.learning_rat=1"]) == 1
    assert "did you mean stage.learning_rate" in capsys.readouterr().err


def test_of_several_keys_those_that_lie_where_it_was_typed_are_named() -> None:
    names = ["seed", "stage.vae.learning_rate", "stage.mdrnn.learning_rate"]
    assert by_other_words("stage.vae.lr", names) == names[1:2]
    assert by_other_words("stage.lr", names) == names[1:]
    assert by_other_words("stage.rollout.lr", names) == names[1:]


def test_each_group_of_words_holds_a_key_and_no_word_is_in_two() -> None:
    rows = [catalogue.row(name).config() for name in catalogue.names()]
    configs = [*rows, *(family.config() for family in FAMILIES), Config()]
    ours = {key.name.rpartition(".")[2] for config in configs for key in keys_of(config)}
    assert [sorted(words) for words in SAME if not words & ours] == []
    every = [word for words in SAME for word in words]
    assert len(every) == len(set(every))
