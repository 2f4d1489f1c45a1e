"""Sweeps: checked before the first job, one failure stops nobody, started again they continue."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path

import pytest

from aigc_cli.cli import main
from aigc_cli.composing import compose as composing
from aigc_cli.composing import composition
from aigc_cli.sweeping import launchers, sweeps
from aigc_cli.sweeping import page as sweep_page
from tests.small_configs import write_configs


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    folder = write_configs(tmp_path / "configs")
    monkeypatch.setattr(composition, "configs_folder", lambda: folder)
    monkeypatch.setitem(composing.VERBS, "train", "tests.small_configs:train")
    monkeypatch.setattr(sweeps, "check_model", lambda composed: None)
    monkeypatch.chdir(tmp_path)
    composition._composition.cache_clear()
    return tmp_path


def test_a_sweep_runs_all_and_compares_them(capsys):
    assert main(["train", "-m", "model=gan,vae", "optimizer.lr=1e-4,2e-4"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.rstrip().endswith(("0001", "0002"))]
    table = [line[1:4] for line in lines if line[-2] == "finished"]
    best, second, *others = table
    assert best == ["vae", "0.0001", "0.002"]
    assert second == ["vae", "0.0002", "0.004"]
    assert others == [["gan", "0.0001", "0.0064"], ["gan", "0.0002", "0.0128"]]
    runs = {folder.name for folder in Path("outputs").iterdir()}
    assert runs == {"sweeps", *(f"{model}-dots-lr_{lr}" for model in ("gan", "vae") for lr in ("0.0001", "0.0002"))}
    (page,) = Path("outputs/sweeps").glob("*/index.html")
    assert page.parent.name == "model_gan_vae-lr_1e-4_2e-4"
    assert {path.name for path in page.parent.iterdir()} == {"index.html", "jobs"}  # and nothing of Hydra's
    assert {path.name for path in Path().iterdir()} == {"configs", "outputs"}


class Page(html.parser.HTMLParser):
    """Collect what a page shows and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values["href"] or ""] if tag == "a" else []
        self.pictures += [values["src"] or ""] if tag == "img" else []
        assert tag not in ("script", "link", "nan")

    def handle_data(self, data):
        self.words.append(data)


def test_one_failing_job_stops_no_other(capsys):
    assert main(["train", "-m", "model.latent=12,13,14"]) == 1
    said = capsys.readouterr()
    assert "failed: 13: the loss is <NaN> at step 3." in said.out
    (file,) = Path("outputs/sweeps").glob("*/index.html")
    page = Page()
    page.feed(file.read_text())
    assert "2 of 3 runs finished" in page.words
    assert "the loss is <NaN> at step 3." in page.words  # escaped in the source, or it would be a tag
    assert len(page.pictures) == 2
    assert all(picture.startswith("data:image/jpeg;base64,") for picture in page.pictures)
    assert all((file.parent / link).is_dir() for link in page.links)
    assert page.words.index("the loss is <NaN> at step 3.") > max(
        i for i, w in enumerate(page.words) if w == "finished"
    )


def test_the_same_sweep_goes_on_where_it_was():
    assert main(["train", "-m", "model.latent=12,14"]) == 0
    (file,) = Path("outputs/sweeps").glob("*/index.html")
    first = {path.name: path.read_text() for path in file.parent.glob("jobs/*")}
    assert main(["train", "-m", "model.latent=12,14"]) == 0
    assert {path.name: path.read_text() for path in file.parent.glob("jobs/*")} == first
    assert len(first) == 2


def test_nothing_starts_before_every_job_is_checked(capsys):
    assert main(["train", "-m", "model=gan,vea", "optimizer.lr=1e-4,-1", "stesp=3"]) == 2
    assert [line.split(":")[1].strip() for line in capsys.readouterr().err.splitlines()] == [
        "stesp", "optimizer.lr", "model",
    ]  # fmt: skip
    assert not Path("outputs").exists()


def test_a_key_that_only_one_of_the_models_has(capsys):
    assert main(["train", "-m", "model=gan,vae", "model.beta=1,2"]) == 2
    assert "aigc: model.beta: no such setting." in capsys.readouterr().err


def test_short_forms_of_choices_and_paths_with_spaces(capsys):
    assert main(["train", "-m", "model.generator=small,large", "output=my runs"]) == 0
    assert {path.name for path in Path("my runs").iterdir()} == {
        "gan-dots-generator_small", "gan-dots-generator_large", "sweeps",
    }  # fmt: skip


def test_a_stopped_sweep_says_what_is_left(capsys):
    assert main(["train", "-m", "model.latent=15,16"]) == 130
    said = capsys.readouterr().out
    assert [word for word in said.split() if word in ("stopped", "waiting")] == ["stopped", "waiting"]
    assert "the same command goes on: aigc train -m model.latent=15,16" in said


def test_a_folder_of_ones_own_joins_a_sweep(tmp_path, capsys):
    own = tmp_path / "my configs"
    (own / "recipe").mkdir(parents=True)
    (own / "recipe" / "mine.yaml").write_text("# @package _global_\nsteps: 7\n")
    assert main(["train", "-m", "--config-dir", str(own), "recipe=mine,lines", "seed=1"]) == 0
    assert json.loads(Path("outputs/mine-seed_1/summary.json").read_text())["step"] == 7
    capsys.readouterr()
    assert main(["train", "--config-dir", str(own), "recipe=mine", "--cfg", "job"]) == 0
    assert capsys.readouterr().out.startswith("steps: 7\n")


def test_two_jobs_in_one_folder_are_refused(capsys):
    assert main(["train", "-m", "model.latent=12,14", "name=same"]) == 2
    assert "would be one run, outputs/same." in capsys.readouterr().err


def test_only_training_is_swept(capsys):
    assert main(["sample", "-m", "ckpt=x"]) == 2
    assert capsys.readouterr().err == "aigc: -m: `aigc sample` runs once; sweeps are for `aigc train -m`.\n"


def test_a_missing_extra_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(launchers, "_is_installed", lambda plugin: False)
    assert main(["train", "-m", "hydra/sweeper=optuna", "optimizer.lr=interval(1e-4,1e-2)"]) == 2
    assert capsys.readouterr().err == "aigc: hydra/sweeper=optuna: not installed; type pip install 'aigc[sweep]'.\n"


def test_slurm_is_asked_for_where_there_is_none(monkeypatch, capsys):
    monkeypatch.setattr(launchers, "_is_installed", lambda plugin: False)
    monkeypatch.setattr(launchers.shutil, "which", lambda program: None)
    assert main(["train", "-m", "hydra/launcher=submitit_slurm", "seed=1,2"]) == 2
    said = capsys.readouterr().err
    assert "aigc: hydra/launcher=submitit_slurm: not installed; type pip install 'aigc[slurm]'." in said
    assert "there is no srun). Type hydra/launcher=submitit_local to run the jobs here." in said
    assert not Path("outputs").exists()


def test_hydras_own_settings_are_checked_too(capsys):
    assert main(["train", "-m", "hydra/sweeper=optun", "seed=1,2"]) == 2
    assert "Could not find 'hydra/sweeper/optun'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # of the old versions that the sweeper asks for
def test_a_search_by_optuna(capsys):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra 'sweep' is not installed")
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=1"]
    assert main(["train", "-m", *search, "optimizer.lr=interval(1e-4,1e-2)", "model=gan,vae"]) == 0
    jobs = [json.loads(path.read_text()) for path in Path("outputs/sweeps").glob("*/jobs/*.json")]
    assert len(jobs) == 4
    assert all(1e-4 <= float(job["overrides"][0].partition("=")[2]) <= 1e-2 for job in jobs)


@pytest.mark.parametrize(("text", "said"), [("0.0037368279593", "0.003737"), ("'a b'", "a b"), ("1e-4", "1e-4")])
def test_long_numbers_are_cut(text, said):
    assert sweep_page.short(text) == said
