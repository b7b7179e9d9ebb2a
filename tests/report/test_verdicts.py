"""The verdict on each stage: who wins, and the numbers of both sides in the sentence."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from report.fabricated import (
    dreamt_rows,
    generation_row,
    report,
    selection_row,
    write_controller,
    write_evaluate,
    write_rollout,
    write_run,
    write_training,
)

from world_models.data.tables import EpisodeLine
from world_models.measures.rows import (
    AutoencoderRow,
    BaselineRow,
    HeadScore,
    HorizonRow,
    LikelihoodRow,
    OpenLoopRow,
)
from world_models.report.autoencoder import autoencoder_findings
from world_models.report.controller import gap_findings, real_findings, search_findings
from world_models.report.evaluate import agent_findings
from world_models.report.heads import head_findings
from world_models.report.horizon_findings import Errors, ahead
from world_models.report.mdrnn_findings import memory_findings
from world_models.report.next_frames import error_findings
from world_models.report.rollout import episodes_findings
from world_models.report.tokenizer import tokenizer_findings
from world_models.report.vae import vision_findings
from world_models.report.verdict import Finding, apart, verdict, verdict_of
from world_models.runs.results import Returns, TokenizerQuality
from world_models.runs.rows import columns

NAN = float("nan")


def row_of(kind: type, **values: object) -> object:
    """A typed row; what a test does not name is 0, or an empty text."""
    given = {
        entry.name: values.get(entry.name, "" if entry.type in (str, "str") else 0)
        for entry in columns(kind).values()
    }
    return kind(**given)


def picture(name: str, components: int, psnr: float, moving: float) -> BaselineRow:
    return BaselineRow(name=name, components=components, mse=0.1, psnr=psnr, psnr_moving=moving)


PCA = picture("PCA", 8, 28.07, 22.8)
MEAN = picture("mean image", 0, 20.8, NAN)


@pytest.mark.parametrize(
    ("psnr", "good", "sentence"),
    [
        (29.31, True, "V draws held-out frames better than {}: PSNR 29.3 against 28.1 dB."),
        (27.04, False, "{} draws held-out frames better than V: PSNR 28.1 against 27.0 dB."),
        (28.072, True, "PSNR 28.072 against 28.070 dB."),
        (28.07, False, "V draws held-out frames no better than {}: both have PSNR 28.1 dB."),
    ],
)
def test_v_beside_pca(psnr: float, good: bool, sentence: str) -> None:
    first, second = vision_findings([picture("V", 8, psnr, 24.0), PCA, MEAN])
    assert first.good == good and first.sentence.endswith(sentence.format("PCA of as many numbers"))
    assert second.good and "PSNR 24.0 against 22.8 dB" in second.sentence


def test_v_beside_what_is_known() -> None:
    ours = picture("V", 8, 21.0, NAN)
    (found,) = vision_findings([ours, MEAN])
    assert found.good and "the mean image: PSNR 21.0 against 20.8 dB" in found.sentence
    assert not vision_findings([ours]) and not vision_findings([PCA, MEAN])


def tokenized(ours: dict[str, object], kind: str = "vq", used: int = 40) -> TokenizerQuality:
    """What is said of a tokenizer beside PCA and the frame before."""
    rows = [
        {"name": "tokenizer", "components": 16, "mse": 0.1, **ours},
        {"name": "PCA", "components": 16, "mse": 0.2, "psnr": 25.8, "psnr_moving": 13.7},
        {"name": "previous frame", "components": 0, "mse": 0.2, "psnr": 27.0, "psnr_moving": 6.7},
    ]
    facts = {"kind": kind, "frames": 9, "tokens": 16, "vocabulary": 64, "used": used}
    more = {"perplexity": 9.0, "exact": 0.5, "usage": [3, 1]}
    return TokenizerQuality.model_validate({**facts, "pictures": rows, **more})


def test_a_tokenizer_beside_the_best_of_its_rivals() -> None:
    found = tokenizer_findings(tokenized({"psnr": 26.0, "psnr_moving": 16.6}))
    assert [one.good for one in found] == [False, True, True]
    assert found[0].sentence == (
        "The frame before draws held-out frames better than the tokenizer: "
        "PSNR 27.0 against 26.0 dB."
    )
    assert "than PCA of as many numbers: PSNR 16.6 against 13.7 dB" in found[1].sentence
    assert found[2].sentence == "Held-out frames use 40 of 64 codes."


def test_a_tokenizer_without_an_error_and_one_of_dead_codes() -> None:
    exact = tokenized({"mse": 0.0, "psnr": None, "psnr_moving": None}, kind="patch", used=3)
    (found,) = tokenizer_findings(exact)
    assert found.good and found.sentence == "Every held-out frame comes back exactly."
    dead = tokenizer_findings(tokenized({"psnr": 28.0, "psnr_moving": None}, used=8))
    assert [one.good for one in dead] == [True, False]
    assert dead[1].sentence == "Held-out frames use 8 of 64 codes: most of its codes are dead."


def bits(m: float, linear: float, low: float, high: float) -> list[LikelihoodRow]:
    values = {"M": m, "linear": linear, "last": 2.2, "marginal": 2.1}
    return [
        replace(
            row_of(LikelihoodRow, name=name, bits_per_dim=value, episodes=5, worse=value - m),
            low=low,
            high=high,
        )
        for name, value in values.items()
    ]


@pytest.mark.parametrize(
    ("numbers", "good", "words"),
    [
        ((1.68, 1.8, 0.1, 0.14), True, ["M predicts", "1.68 against 1.80 bits", "0.10 to 0.14"]),
        ((1.8, 1.68, -0.2, -0.1), False, ["Linear regression", "than M", "1.68 against 1.80 bits"]),
        ((1.68, 1.7, -0.01, 0.04), False, ["M does not clearly differ", "1.68 against 1.70 bits"]),
        ((1.68, 1.7, NAN, NAN), True, ["M predicts", "5 episodes, too few for an interval"]),
        ((1.7, 1.7, NAN, NAN), False, ["M does not clearly differ", "1.70 against 1.70"]),
    ],
)
def test_m_one_step_ahead(numbers: tuple[float, ...], good: bool, words: list[str]) -> None:
    (found,) = memory_findings(bits(*numbers), [], [])
    assert found.good == good and all(word in found.sentence for word in words), found


def test_a_regression_with_a_memory_is_a_rival_of_m() -> None:
    lags = row_of(LikelihoodRow, name="lags", bits_per_dim=1.6, episodes=5, frames=4, worse=-0.08)
    rows = [*bits(1.68, 1.8, 0.1, 0.14), replace(lags, low=-0.1, high=-0.06)]
    (found,) = memory_findings(rows, [], [])
    assert not found.good
    assert "Linear regression from the last 4 z and actions predicts the next z" in found.sentence


def open_loop(errors: dict[str, list[float]]) -> list[OpenLoopRow]:
    return [
        row_of(OpenLoopRow, predictor=name, horizon=at, latent_mse=error)
        for name, column in errors.items()
        for at, error in zip((1, 2, 15, 50), column, strict=True)
    ]


def test_m_open_loop_beside_two_guesses() -> None:
    rows = open_loop(
        {
            "mean": [0.0175, 0.03, 0.28, 0.39],
            "copy": [0.0122, 0.04, 0.32, 0.46],
            "marginal": [0.265, 0.264, 0.268, 0.266],
        }
    )
    copied, usual = memory_findings([], rows, [])
    assert not copied.good and not usual.good
    assert copied.sentence == (
        "The last z is nearer to what comes than M 1 step ahead: "
        "squared error of z 0.012 against 0.018."
    )
    assert "from 15 steps ahead on: squared error of z 0.27 against 0.28 at 15." in usual.sentence


@pytest.mark.parametrize(
    ("theirs", "good", "words"),
    [
        ([5, 5, 5], True, "1 to 4 frames ahead: error 3.00 against 5.00 at 4"),
        ([0.5, 0.5, 0.5], False, "1 to 4 frames ahead: error 0.50 against 1.00 at 1"),
        ([0.5, 5, 5], False, " 1 frame ahead: error 0.50 against 1.00."),
        ([5, 1, 1], False, "from 2 frames ahead on: error 1.00 against 2.00 at 2"),
        ([1, 2, 5], False, "up to 2 frames ahead"),
        ([0.5, 5, 1], False, "at 2 of 3 horizons"),
        ([NAN, NAN, 5], True, " 4 frames ahead: error 3.00 against 5.00."),
    ],
)
def test_horizons_are_named(theirs: list[float], good: bool, words: str) -> None:
    ours = Errors("the model", {1: 1.0, 2: 2.0, 4: 3.0})
    guess = Errors("a guess", dict(zip((1, 2, 4), theirs, strict=True)))
    (found,) = ahead(ours, guess, "error", "frame")
    assert found.good == good and words in found.sentence, found
    assert not ahead(ours, Errors("a guess", {8: 1.0}), "error", "frame")


def heads(r2: float, brier: float = 0.1, auroc: float = 0.7) -> list[HeadScore]:
    return [
        HeadScore(name="done_brier", value=brier, baseline=0.2),
        HeadScore(name="done_auroc", value=auroc, baseline=0.5),
        HeadScore(name="reward_mse", value=1.0, baseline=2.0),
        HeadScore(name="reward_r2", value=r2, baseline=-0.0093),
    ]


def test_heads_beside_the_training_mean() -> None:
    reward, end = head_findings(heads(-0.1585, 0.3), "M")
    assert not reward.good and not end.good
    assert "training mean foretells the reward better than M: R² −0.0093 against −0.16" in (
        reward.sentence
    )
    assert "Brier score 0.20 against 0.30" in end.sentence
    assert all(finding.good for finding in head_findings(heads(0.5), "M"))
    assert not head_findings(heads(NAN, auroc=NAN), "M"), "constant rewards, no ends"


def test_a_next_frame_model_beside_all_guesses() -> None:
    rows = [
        row_of(
            HorizonRow, horizon=at, mse=0.1 * at, copy_mse=0.2 * at, mean_mse=0.35, fade_mse=0.15
        )
        for at in (1, 2, 4)
    ]
    copied, usual, faded = error_findings(rows)
    assert (copied.good, usual.good, faded.good) == (True, False, False)
    assert "squared error 0.40 against 0.80 at 4" in copied.sentence
    assert "4 frames ahead: squared error 0.35 against 0.40." in usual.sentence
    assert not error_findings([])


@pytest.mark.parametrize(
    ("agent", "random", "good", "words"),
    [
        ((854, 823, 881), (-28, -31, -26), True, "The agent plays better than the random policy"),
        ((0, 0, 0), (0.25, 0.1, 0.4), False, "The random policy plays better than the agent"),
        ((0, 0, 0), (0.25, 0.0, 0.6), False, "not clearly better than the random policy"),
        ((5, 1, 9), (4, 2, 6), False, "not clearly better than the random policy"),
    ],
)
def test_the_agent_beside_the_random_policy(
    agent: tuple[float, ...], random: tuple[float, ...], good: bool, words: str
) -> None:
    sides = [
        Returns(returns=[mean] * count, mean=mean, std=1.0, median=mean, interval95=[low, high])
        for count, (mean, low, high) in ((4, agent), (1, random))
    ]
    (found,) = agent_findings(*sides)
    assert ", 4 episodes)" in found.sentence and ", 1 episode)" in found.sentence
    assert found.good == good and words in found.sentence
    assert all(apart(mean)[0] in found.sentence for mean in (agent[0], random[0]))


def test_a_search_beside_its_beginning() -> None:
    begun = generation_row(1)
    (found,) = search_findings([begun], [selection_row(2, 400.0), selection_row(4, 380.0)])
    assert found.good and "to 400 (95 % interval 378 to 418) in the test after generation 2" in (
        found.sentence
    )
    assert f"from {apart(begun.mean)[0]}, the mean of generation 1" in found.sentence
    (found,) = search_findings([begun], [selection_row(2, begun.mean + 5)])
    assert not found.good and "has not clearly raised" in found.sentence
    assert not search_findings([], [selection_row(2, 1.0)])
    assert not search_findings([begun], [selection_row(2, NAN)])


def test_a_search_in_a_dream_is_judged_by_what_is_real() -> None:
    tests = [selection_row(5, 100.0), selection_row(10, 400.0), selection_row(15, 380.0)]
    (found,) = real_findings(tests)
    assert found.good and "from 100, the test after generation 5, to 400" in found.sentence
    (found,) = real_findings([selection_row(5, 100.0), selection_row(10, 105.0)])
    assert not found.good
    assert not real_findings(tests[:1])


def test_a_gap_that_grows_in_three_tests_in_a_row_is_told() -> None:
    (found,) = gap_findings(dreamt_rows([9, -1, 2, 5, 80]))
    assert not found.good and "grown, from −1" in found.sentence
    assert "(dream 1,080, real 1,000)" in found.sentence
    for gaps in ([2, 5, 80], [-1, 2, 2, 80], [-1, 2, 5, 80, 70], []):
        assert not gap_findings(dreamt_rows(gaps))


def episode(number: int, split: str, total: float) -> EpisodeLine:
    return EpisodeLine(episode=number, seed=0, split=split, length=9, total_return=total)


def test_episodes_from_which_little_can_be_learned() -> None:
    rows = [episode(0, "train", -3.0), episode(1, "validation", 12.0)]
    assert [found.good for found in episodes_findings(rows)] == [True, True]
    same, judged = episodes_findings([episode(0, "train", 0.0)] * 4)
    assert not same.good and "All 4 episodes have the return 0" in same.sentence
    assert not judged.good and "0 of 4 episodes are held out" in judged.sentence
    assert not episodes_findings([])


def test_an_autoencoder_beside_the_mean_image() -> None:
    rows = [row_of(AutoencoderRow, val_psnr=at, mean_psnr=20.0) for at in (18.0, 19.5, NAN)]
    (found,) = autoencoder_findings(rows)
    assert not found.good and "PSNR 20.0 against 19.5 dB" in found.sentence
    assert not autoencoder_findings(rows[2:])


def test_what_was_lost_is_said_first() -> None:
    won, lost = Finding(True, "Won."), Finding(False, "Lost.")
    assert verdict([]) is None
    assert verdict([won]).word == "good" and verdict([lost]).word == "bad"
    mixed = verdict([won, lost])
    assert mixed.word == "mixed" and mixed.sentences == ["Lost.", "Won."]


def write_vision(folder: Path) -> Path:
    write_training(folder, "vae", [90.0, 80.0])
    ours = {"name": "V", "components": 8, "mse": 0.1, "psnr": 27.0, "psnr_moving": 22.0}
    latents = {"active": 8, "latent_size": 8, "at_floor": 0.0, "kl_tolerance": 0.0}
    pictures = [ours, ours | {"name": "PCA", "psnr": 28.0}]
    quality = {"pictures": pictures, **latents, "kl_per_latent": [1.0] * 8}
    (folder / "quality.json").write_text(json.dumps(quality))
    return folder


@pytest.mark.parametrize(
    ("write", "word", "words"),
    [
        (write_rollout, "good", "Returns differ"),
        (write_vision, "bad", "PCA of as many numbers draws"),
        (write_controller, "good", "The search has raised the return"),
        (write_evaluate, "good", "The agent plays better"),
    ],
)
def test_the_page_says_it(
    tmp_path: Path, write: Callable[[Path], Path], word: str, words: str
) -> None:
    folder = write(tmp_path / "run")
    assert verdict_of(folder).word == word
    page = report(folder)
    assert words in page.text
    assert [tag["class"] for tag in page.all("div") if "verdict" in tag.get("class", "")] == [
        f"verdict {word}"
    ]
    stage = json.loads((folder / "manifest.json").read_text())["stage"]
    write_run(folder, stage, status="interrupted")
    assert words not in report(folder).text


@pytest.mark.parametrize("stage", ["rollout", "vae", "mdrnn", "controller", "evaluate"])
def test_the_log_says_it(finished: Path, stage: str) -> None:
    found = verdict_of(finished / stage)
    said = f"{found.word}: {' '.join(found.sentences)}"
    assert said in (finished / stage / "log.txt").read_text()
    assert said in (finished / "log.txt").read_text()


def test_a_chain_and_an_unknown_stage_have_none(tmp_path: Path) -> None:
    assert verdict_of(write_run(tmp_path / "chain", "pipeline")) is None
    assert verdict_of(write_run(tmp_path / "other", "other")) is None


def test_a_damaged_file_is_said_once(tmp_path: Path) -> None:
    folder = write_evaluate(tmp_path / "run")
    (folder / "scores.json").write_text('{"returns": [1, 2')
    assert report(folder).text.count("scores.json is damaged") == 1
    with pytest.raises(ValueError, match="damaged"):
        verdict_of(folder)
