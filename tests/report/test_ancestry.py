"""The graph of what a run was built on."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from report.fabricated import Page, report, write_run

from world_models.report.ancestry import MOST, graph


def texts(picture: str) -> list[str]:
    return [item.text or "" for item in ElementTree.fromstring(picture).iter("text")]


def built_on(kind: str, path: str) -> dict[str, str]:
    return {"kind": kind, "path": path, "sha256": "0" * 64}


def chain(folder: Path) -> None:
    write_run(folder / "rollout", "rollout")
    (folder / "rollout/episodes").mkdir()
    (folder / "rollout/episodes/manifest.json").write_text("{}")
    episodes = built_on("episodes", "../rollout/episodes/manifest.json")
    write_run(folder / "vae", "vae", inputs=[episodes])
    vae = built_on("vae", "../vae/checkpoints/best.pt")
    write_run(folder / "mdrnn", "mdrnn", inputs=[vae, episodes])


def test_runs_stand_right_of_all_that_they_were_built_on(tmp_path: Path) -> None:
    chain(tmp_path)
    picture = graph([tmp_path / "mdrnn"])
    assert picture is not None
    places = dict(re.findall(r'<text x="(\d+)" y="\d+" font-size="14"[^>]*>(.*?)</text>', picture))
    titles = [places[x] for x in sorted(places, key=int)]
    assert titles == ["Episodes", "V · vision", "M · memory"]
    # from episodes to V and M, from V to M
    root = ElementTree.fromstring(picture)
    said = sorted(item.text or "" for item in root.iter("title"))
    assert said == ["episodes", "episodes", "vae"]
    assert picture.count("var(--blue)") == 1 and "mdrnn" in "".join(texts(picture))


def test_a_run_that_was_built_on_nothing_has_no_graph(tmp_path: Path) -> None:
    assert graph([write_run(tmp_path / "a", "rollout")]) is None


def test_what_is_gone_or_no_run_is_a_file(tmp_path: Path) -> None:
    agent = built_on("agent", "../gone/<agent>.pt")
    picture = graph([write_run(tmp_path / "a", "evaluate", inputs=[agent])])
    assert picture is not None and texts(picture)[2:] == ["a file", "<agent>.pt"]


def test_runs_that_name_each_other_end(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        write_run(tmp_path / name, "vae", inputs=[built_on("vae", f"../{other}/best.pt")])
    assert graph([tmp_path / "a"]) is not None


def test_a_long_line_of_runs_is_cut(tmp_path: Path) -> None:
    for number in range(MOST + 20):
        behind = built_on("vae", f"../{number + 1}/best.pt")
        write_run(tmp_path / str(number), "vae", inputs=[behind])
    picture = graph([tmp_path / "0"])
    assert picture is not None and picture.count("<rect") == MOST


def test_the_page_of_a_pipeline_shows_its_parts(finished: Path) -> None:
    page = Page(finished / "report.html")
    assert len(page.all("rect")) >= 5
    (picture,) = [values for _, values in page.tags if "made from" in values.get("aria-label", "")]
    assert picture["role"] == "img"


def test_a_page_without_a_graph_has_none(tmp_path: Path) -> None:
    assert "made from what" not in str(report(write_run(tmp_path, "rollout")).tags)
