"""The exported page: one file, its weights, and, in Chromium, the numbers of its scripts."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pages import arrays_in, as_exported, facts_in, in_chromium

from world_models.agents.agent import Agent, load_agent
from world_models.agents.control import ControllerPolicy
from world_models.agents.trained import find_agent
from world_models.envs.config import Backend
from world_models.models.mdrnn import MDRNN, sample_latent
from world_models.play import packing
from world_models.play.cast import Cast, cast_of_agent
from world_models.play.export import page_of
from world_models.play.packing import pack
from world_models.runs import seeding
from world_models.worlds.latent import WorldModel
from world_models.worlds.memory import DroppedState, LatentState

STEP = """
<script>
  const given = %s;
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const text = atob(document.getElementById("weights").textContent);
  const arrays = readArrays(facts.arrays, Uint8Array.from(text, (x) => x.charCodeAt(0)).buffer);
  const dream = new Dream(facts, arrays);
  const state = {};
  for (const name of ["z", "h", "c"]) state[name] = Float32Array.from(given[name]);
  const told = {};
  told.picture = Array.from(dream.decoder.decode(state.z));
  dream.state = state;
  told.raw = facts.has_agent ? Array.from(control(facts, arrays, state)) : [];
  told.advice = facts.has_agent ? dream.advice() : [];
  const hidden = dream.memory.read(asRead(facts.space, given.action), state, given.keep);
  const mixture = dream.memory.foresee(hidden.h);
  const draws = {
    exponential: () => given.exponential.shift(), normal: () => given.normal.shift(),
  };
  told.sample = Array.from(dream.memory.sample(mixture, given.temperature, draws));
  told.certain = Array.from(dream.memory.sample(mixture, 0, draws));
  for (const part of [hidden, mixture]) {
    for (const [name, value] of Object.entries(part)) {
      told[name] = value.length ? [...value] : value;
    }
  }
  document.body.innerHTML = `<pre>${JSON.stringify(told)}</pre>`;
</script>
"""

HANDS = """
<script>
  const strike = (type, key) => dispatchEvent(new KeyboardEvent(type, { key, cancelable: true }));
  const pixels = () => pen.getImageData(0, 0, SIZE, SIZE).data.join();
  const told = { actions: [] };
  begin();
  for (const keys of %s) {
    for (const key of keys) strike("keydown", key);
    step();
    told.actions.push(now.action);
    for (const key of keys) strike("keyup", key);
  }
  told.driver = at("driver").textContent;
  strike("keydown", "]");
  strike("keydown", ".");
  told.temperature = at("temperature").value;
  told.paused = at("pause").getAttribute("aria-pressed");
  at("knows").open = true;
  show();
  const [before, { input, number }] = [pixels(), sliders[0]];
  input.value = Number(input.value) > (Number(input.min) + Number(input.max)) / 2
    ? input.min : input.max;
  input.oninput();
  told.turned = pixels() !== before;
  step();
  told.held = Math.abs(dream.state.z[number] - Number(input.value));
  at("release").click();
  step();
  told.free = Math.abs(dream.state.z[number] - Number(input.value));
  document.body.innerHTML = `<pre>${JSON.stringify(told)}</pre>`;
</script>
"""
HELD = [["left"]] * 3 + [["left", "up"]] * 4 + [["up"]] * 3 + [[]] * 2 + [["right", "down"]] * 4


def starts_of(model: WorldModel, count: int = 5) -> LatentState:
    generator = torch.Generator().manual_seed(0)
    sizes = (model.mdrnn.latents, model.mdrnn.hiddens, model.mdrnn.hiddens)
    return LatentState(*(torch.randn(count, size, generator=generator) for size in sizes))


@pytest.fixture(scope="module")
def page(cast: Cast) -> str:
    """Of so small a V that all three precisions occur with smaller bounds only."""
    assert cast.model is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "MOST_SINGLE", 1 << 12)
        patch.setattr(packing, "MOST_HALF", 1 << 17)
        return page_of(cast, starts_of(cast.model))


def test_nothing_is_fetched_from_elsewhere(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|\ssrc=|@import|url\(|fetch\(|import ", page)
    assert set(re.findall(r'href="([^"]*)"', page)) <= {"data:,"}
    assert all(part in page for part in ("class Decoder", "class Memory", "class Dream", "<canvas"))
    assert len(page) < 10_000_000


def test_weights_come_back(page: str, cast: Cast) -> None:
    model, arrays = cast.model, arrays_in(page)
    assert model is not None
    types = {row["name"]: row["type"] for row in facts_in(page)["arrays"]}
    assert types["v.0"] == "float32" and types["v.1"] == "int8" and types["v.2"] == "float16"
    exported = as_exported(model, arrays)
    for given, kept in ((model.vae.decoder, exported.vae.decoder), (model.cell, exported.cell)):
        own = dict(kept.named_parameters())
        for name, value in given.named_parameters():
            if "bias" not in name:
                bound = float(value.detach().abs().max()) / 250
                torch.testing.assert_close(own[name], value, rtol=1e-3, atol=bound)
    np.testing.assert_array_equal(arrays["start.h"], starts_of(model).h)
    hidden = model.controller_inputs.hidden_units
    assert ("c.1" in arrays) == (hidden > 0)


def test_large_arrays_are_kept_column_by_column() -> None:
    array = np.random.default_rng(0).normal(size=(1 << 13, 256)) * np.logspace(-3, 3, 256)
    array[:, 7] = 0
    packed = pack({"w": array, "more": np.ones(3)})
    content = np.frombuffer(packed.content, np.int8, array.size).reshape(array.shape)
    row = packed.table[1]
    scale = np.frombuffer(packed.content, np.float32, 256, row["at"])
    assert (np.abs(content * scale - array) <= scale * 0.5001).all()
    assert all(entry["at"] % 4 == 0 for entry in packed.table)


def test_what_half_precision_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"m\.h has numbers"):
        pack({"m.h": np.full((300, 300), 1e6)})


def packaged() -> Cast:
    return cast_of_agent(load_agent(find_agent("car_racing")), Backend.gymnasium)


def per_dimension(agent: Agent) -> Cast:
    """V of an agent with an M whose dimensions have mixtures of their own."""
    with seeding.seeded_weights(0, "export test"):
        mdrnn = MDRNN(**{**agent.world.mdrnn.config, "mixture": "per_dimension"})
    model = WorldModel(agent.world.vae, mdrnn, agent.env, agent.world.controller_inputs)
    cast = cast_of_agent(agent, Backend.gymnasium)
    assert cast.latent is not None
    return replace(cast, latent=replace(cast.latent, model=model))


def inputs_of(cast: Cast) -> dict[str, Any]:
    """One state, an action, masks, and more noise than a step needs."""
    model = cast.model
    assert model is not None
    rng = np.random.default_rng(0)
    sizes = model.mdrnn.config
    given: dict[str, Any] = {"z": rng.normal(size=sizes["latents"])}
    given |= {name: rng.uniform(-1, 1, sizes["hiddens"]) for name in "hc"}
    given["keep"] = {name: rng.integers(2, size=len(given[name])) / 0.5 for name in ("z", "h")}
    given["exponential"] = rng.exponential(size=sizes["latents"] * sizes["gaussians"])
    given["normal"] = rng.normal(size=sizes["latents"])
    return {**given, "action": cast.env.action_space.sample(rng, 1)[0], "temperature": 0.7}


class Given:
    """Draws that hand out the noise of `inputs_of`."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given

    def exponential(self, like: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.given["exponential"][: like.numel()]).to(like).view_as(like)

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.given["normal"]).to(like).view_as(like)


@torch.inference_mode()
def expected(model: WorldModel, cast: Cast, given: dict[str, Any]) -> dict[str, Any]:
    """The same step by torch."""
    z, h, c, keep_z, keep_h = (
        torch.from_numpy(value).float()[None]
        for value in (*(given[name] for name in "zhc"), given["keep"]["z"], given["keep"]["h"])
    )
    executed = torch.from_numpy(cast.env.action_space.to_model(given["action"][None]))
    after = model.memory.read(DroppedState(z, h, c, keep_z, keep_h), executed)
    mus, sigmas, logpi, reward, end = model.memory.foresee(after[0])
    told = {"picture": model.vae.decoder(z).permute(0, 2, 3, 1), "h": after[0], "c": after[1]}
    told |= {"mus": mus, "sigmas": sigmas, "reward": reward, "end": torch.sigmoid(end)}
    told["certain"] = sample_latent(mus, sigmas, logpi, temperature=0)
    told["sample"] = sample_latent(mus, sigmas, logpi, Given(given), given["temperature"])
    return {name: value.numpy().ravel() for name, value in told.items()}


def advised(cast: Cast, given: dict[str, Any]) -> np.ndarray:
    assert cast.model is not None and cast.controller is not None
    policy = ControllerPolicy(
        cast.model.controller_inputs, cast.env.action_space, cast.controller[None]
    )
    policy.reset([0])
    state = (torch.from_numpy(given[name]).float()[None] for name in "zhc")
    return policy.act(cast.model.features(*state), np.arange(1))[0]


def told_in_chromium(html: str, folder: Path) -> dict[str, Any]:
    """What the script at the end of a page has written."""
    shown = in_chromium(html, folder)
    found = re.search(r"<pre>(.*)</pre>", shown)
    assert found is not None, shown[-2000:]
    return json.loads(found[1])


def in_a_browser(test: Callable[..., None]) -> Callable[..., None]:
    """A test that needs Chromium."""
    missing = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
    return pytest.mark.slow(missing(test))


@in_a_browser
@pytest.mark.parametrize("which", ["packaged", "pellet", "per_dimension"])
def test_a_step_in_chromium_is_that_of_torch(which: str, agent: Agent, tmp_path: Path) -> None:
    cast = packaged() if which == "packaged" else cast_of_agent(agent, Backend.gymnasium)
    cast = per_dimension(agent) if which == "per_dimension" else cast
    assert cast.model is not None
    page, given = page_of(cast, starts_of(cast.model)), inputs_of(cast)
    values = json.dumps(given, default=lambda value: value.tolist())
    # the page's own script is left out
    told = told_in_chromium(page[: page.rindex("<script>")] + STEP % values, tmp_path)
    exported = expected(as_exported(cast.model, arrays_in(page)), cast, given)
    for name, value in exported.items():
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(np.ravel(told[name]), value, atol=2e-5 * scale, err_msg=name)
    np.testing.assert_allclose(told["advice"], advised(cast, given), atol=1e-5)
    original = expected(cast.model, cast, given)
    differences = {name: np.abs(value - told[name]).max() for name, value in original.items()}
    assert differences["picture"] < 1 / 255 and differences["h"] < 1e-3


@in_a_browser
@pytest.mark.parametrize("which", ["packaged", "pellet"])
def test_hands_move_what_is_dreamt(which: str, agent: Agent, tmp_path: Path) -> None:
    cast = packaged() if which == "packaged" else cast_of_agent(agent, Backend.gymnasium)
    assert cast.model is not None
    page = page_of(cast, starts_of(cast.model))
    pressed = [[f"Arrow{name.title()}" for name in keys] for keys in HELD]
    # it stands still but for the script's own steps
    page = page.replace("\nelse run();", "")
    told = told_in_chromium(page.replace("</body>", HANDS % json.dumps(pressed)), tmp_path)
    keyboard = cast.env.family.keys(cast.env)
    action, moved = keyboard.rest, []
    for keys in HELD:
        action = keyboard.move(action, frozenset(keys))
        moved.append(action)
    np.testing.assert_allclose(told["actions"], np.array(moved), atol=1e-6)
    assert told["driver"] == "you" and told["paused"] == "true"
    assert float(told["temperature"]) == 1.1
    assert told["turned"] and told["held"] < 1e-5 < told["free"]


@in_a_browser
def test_the_page_says_how_many_pictures_are_possible(page: str, tmp_path: Path) -> None:
    shown = in_chromium(page, tmp_path, "#measure")
    found = re.search(r'data-rate="([0-9.]+)"', shown)
    assert found is not None and float(found[1]) > 0
    assert f"{found[1]} pictures a second" in shown
