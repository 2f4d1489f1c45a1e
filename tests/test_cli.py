"""The command line: help at once, verbs, exit codes, listings and completion."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aigc_cli import __version__, cli
from aigc_cli.cli import main
from aigc_cli.commands.completion import SCRIPTS, candidates
from aigc_cli.composing import compose as composing
from aigc_cli.composing import composition
from aigc_cli.composing.comments import comments
from aigc_cli.errors import ConfigError, TrainingError
from aigc_cli.manual import MANUAL
from tests.small_configs import write_configs

HERE = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE)}


@pytest.fixture
def small(tmp_path, monkeypatch):
    folder = write_configs(tmp_path / "configs")
    monkeypatch.setattr(composition, "configs_folder", lambda: folder)
    monkeypatch.setitem(composing.VERBS, "train", "tests.small_configs:train")
    monkeypatch.chdir(tmp_path)
    composition._composition.cache_clear()
    return folder


def timed(*words: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run a command three times; return the least processor time, which other work on the machine hardly changes."""
    times, done = [], None
    for _ in range(3):
        before = os.times()
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=ENVIRONMENT, check=False)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert done is not None
    return min(times), done


@pytest.mark.parametrize("verb", [None, *MANUAL])
def test_help_comes_at_once(verb):
    code = (
        "import sys; from aigc_cli.cli import main; code = main(sys.argv[1:])\n"
        "assert not {'torch', 'hydra', 'numpy', 'pydantic'} & set(sys.modules)\nsys.exit(code)"
    )
    seconds, done = timed("-c", code, *([verb] if verb else []), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (MANUAL[verb] if verb else __import__("aigc_cli.manual").manual.AIGC)
    assert seconds < 0.2


def test_python_dash_m_and_version():
    _, done = timed("-m", "aigc_cli", "--version")
    assert (done.returncode, done.stdout) == (0, f"aigc {__version__}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["trian"],
            "aigc: trian: no such verb. Did you mean 'train'? Verbs: train, sample, evaluate, reconstruct, "
            "encode, anomaly, denoise, upscale, translate, stylize, chat, data, list, show, completion.",
        ),
        (["model=vae"], "aigc: model=vae: a verb comes first, such as `aigc train model=vae`."),
        (["list", "modles"], "aigc: list: no 'modles'. Did you mean 'models'?"),
        (["list", "--all"], "aigc: list: --all: no such flag."),
        (["completion", "bsh"], "aigc: completion: name a shell. Did you mean 'bash'? Shells: bash, zsh, fish."),
        (["train", "--cfg"], "aigc: --cfg: a value must follow, such as --cfg job."),
        (["train", "--cfg", "jobs"], "aigc: --cfg: given 'jobs', allowed: job, hydra, all."),
        (["train", "--resolve"], "aigc: --resolve: goes with --cfg job."),
        (["train", "--verbose"], "aigc: --verbose: no such flag;"),
        (["train", "stesp=3", "seed=x"], "aigc: stesp: no such setting."),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(small, capsys, words, said):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert "Traceback" not in error
    assert not (small.parent / "outputs").exists()


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("a\nb"), 2), (TrainingError("a\nb"), 1), (KeyboardInterrupt(), 130)]
)
def test_exit_codes(monkeypatch, capsys, error, code):
    def fail(words: object) -> int:
        raise error

    monkeypatch.setattr(cli, "run", fail)
    assert main(["train"]) == code
    assert capsys.readouterr().err == ("aigc: interrupted.\n" if code == 130 else "aigc: a\naigc: b\n")


def test_a_verb_gets_its_settings(small):
    assert main(["train", "model.latent=3", "name=here"]) == 0
    assert Path("outputs/here/summary.json").exists()
    assert main(["train", "model.latent=13"]) == 1


def test_cfg_prints_what_hydra_composed(small, capsys):
    assert main(["train", "--cfg", "job", "recipe=lines", "trainer.ema=0.9", "--package", "trainer"]) == 0
    assert capsys.readouterr().out == "# @package trainer\nema: 0.9\nfused: true\n"
    assert main(["train", "model.generator=large", "--info", "defaults"]) == 0
    assert "model/network/large" in capsys.readouterr().out
    assert not Path("outputs").exists()


def test_list_reads_first_comments(small, capsys):
    assert main(["list", "models", "recipes"]) == 0
    assert capsys.readouterr().out == (
        "models (model=NAME)\n  dcgan  A convolutional GAN\n  gan    A GAN\n  vae    A VAE\n\n"
        "recipes (recipe=NAME)\n  lines  Lines as they are known to work\n"
    )
    assert main(["list"]) == 0
    assert "_hidden" not in capsys.readouterr().out


def test_list_names_the_parts_of_models(capsys):
    assert main(["list"]) == 0
    parts = re.search(r"parts of models: aigc list ([a-z ]+);", capsys.readouterr().out)
    assert parts
    assert main(["list", *parts[1].split()]) == 0
    said = capsys.readouterr().out
    assert "samplers (model/sampler=NAME)" in said
    assert "\n  dpm_solver" in said
    assert "none yet" not in said
    assert set(parts[1].split()) < set(complete("aigc list "))
    assert main(["list", "sampler"]) == 2
    assert "Did you mean 'samplers'?" in capsys.readouterr().err


def test_comments_may_hold_quotes_and_values_hashes(tmp_path):
    (tmp_path / "a.yaml").write_text("clip: true  # the data's range, as the paper's\nname: 'a # b'  # one's own\n")
    assert dict(comments(tmp_path / "a.yaml")) == {"clip": "the data's range, as the paper's", "name": "one's own"}


def test_list_survives_a_closed_pipe():
    done = subprocess.run(
        f"{sys.executable} -m aigc_cli list | head -n 1", shell=True, capture_output=True, text=True, env=ENVIRONMENT,
        cwd=HERE, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("models")
    assert done.stderr == ""


def test_show_has_each_comment_and_the_size(small, capsys):
    assert main(["show", "recipe=lines", "data.root=x"]) == 2
    capsys.readouterr()
    assert main(["show", "recipe=lines", "seed=4"]) == 2  # the settings first, then why such a model cannot be built
    said = capsys.readouterr()
    shown = said.out.splitlines()
    assert "# recipe=lines: Lines as they are known to work" in shown
    lines = {line.partition("#")[0].strip(): line.partition("#")[2].strip() for line in shown}
    assert lines["seed: 4"] == "of everything random"
    assert lines["lr: 0.3"] == "learning rate (arXiv:1511.06434)"
    assert lines["width: 64"] == "channels"
    assert lines["latent: 101"] == "size of the noise"
    assert said.err.startswith("aigc: ")


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ("model/network=dit", "model/network@model.denoiser=dit"),
        ("model/network@model.network=dit", "model/network@model.denoiser=dit"),
    ],
)
def test_the_choice_that_is_suggested_can_be_typed(choice, meant, capsys):
    key, _, value = meant.partition("=")
    assert main(["show", "model=ddpm", choice]) == 2
    assert f"Did you mean '{key}'?" in capsys.readouterr().err
    assert main(["show", "model=ddpm", f"{key}={value}"]) == 0


def test_show_says_what_must_be_given_before_parameters_can_be_counted(capsys):
    assert main(["show", "model=dcgan", "data=image_folder"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "parameters: can be counted once data.root= is given."
    assert main(["show", "model=latent_diffusion", "data=image_folder"]) == 0
    assert "once data.root= and model.first_stage= are given." in capsys.readouterr().out
    assert main(["show", "recipe=mnist_latent_diffusion", "model.first_stage=nowhere"]) == 0
    assert "can be counted once model.first_stage=nowhere is trained." in capsys.readouterr().out


def test_every_setting_of_ours_is_shown_with_a_comment(capsys):
    assert main(["show"]) == 0
    shown = capsys.readouterr().out
    settings = [
        line for line in shown.split("\nparameters")[0].splitlines() if ": " in line and not line.startswith("#")
    ]
    assert [line for line in settings if "#" not in line and not line.strip().startswith("name:")] == []
    assert "parameters: " in shown


def complete(line: str) -> list[str]:
    import shlex

    return candidates([*shlex.split(line), ""] if line.endswith(" ") else shlex.split(line))


def test_completion_knows_verbs_choices_settings_values_and_files(small):
    assert complete("aigc ") == [*MANUAL, "--help", "--version"]
    assert complete("aigc tra") == ["train", "translate"]
    assert complete("aigc data ch") == ["check"]
    assert complete("aigc list re") == ["recipes", "regularisers"]
    assert complete("aigc train mod") == ["model.", "model="]
    assert complete("aigc train model=") == ["model=dcgan", "model=gan", "model=vae"]
    assert complete("aigc train model=vae model.") == [
        "model.beta=", "model.encoder.", "model.encoder=", "model.latent=",
    ]  # fmt: skip
    assert complete("aigc train model.generator=") == ["model.generator=large", "model.generator=small"]
    assert complete("aigc train model/") == ["model/network@model.generator="]
    assert complete("aigc show optimizer.l") == ["optimizer.lr="]
    assert complete("aigc train optimizer.lr=") == ["optimizer.lr=0.0002"]
    assert complete("aigc train +trainer.fu") == ["+trainer.fused="]
    assert complete("aigc train trainer.fused=") == ["trainer.fused=true", "trainer.fused=false"]
    assert complete("aigc train objective=") == ["objective=sum"]
    assert complete("aigc train init=conf") == ["init=configs/"]
    assert complete("aigc train init=configs/tr") == ["init=configs/train.yaml"]
    assert complete("aigc train --cfg ") == ["job", "hydra", "all"]
    assert complete("aigc train --mul") == ["--multirun"]
    assert complete("aigc train modle=vae stesp") == []
    assert complete("aigc nothing ") == []


def in_bash(line: str, folder: Path) -> list[str]:
    """Let a real bash complete a line, as it would at the press of the tab key."""
    command = folder / "aigc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m aigc_cli "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(aigc completion bash)"; COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); '
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _aigc; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = {**ENVIRONMENT, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script, "bash", line], capture_output=True, text=True, env=path, cwd=folder, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_real_bash_completes_behind_the_verb(tmp_path):
    (tmp_path / "my run").mkdir()
    assert in_bash("aigc trai", tmp_path) == ["train"]
    assert {"gan", "dcgan", "vae"} <= set(in_bash("aigc train model=", tmp_path))  # bash keeps what stands before the =
    assert in_bash("aigc train optimizer.l", tmp_path) == ["optimizer.lr="]
    assert in_bash("aigc train init=my", tmp_path) == ["my\\ run/"]


def test_scripts_are_printed_and_parse(capsys, tmp_path):
    for shell in SCRIPTS:
        assert main(["completion", shell]) == 0
        script = tmp_path / shell
        script.write_text(capsys.readouterr().out)
        if shutil.which(shell):
            subprocess.run([shell, "-n", str(script)], check=True)


def test_mistakes_are_answered_without_torch_and_within_a_second():
    code = (
        "import sys; from aigc_cli.cli import main; code = main(sys.argv[1:])\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)\nsys.exit(code)"
    )
    seconds, done = timed("-c", code, "train", "stesp=3", "data.size=abc", "optimizer.lr=abc")
    assert done.returncode == 2, done.stderr
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == [" stesp", " data.size", " optimizer.lr"]
    assert seconds < 1


def test_completion_answers_within_half_a_second():
    code = (
        "import sys; from aigc_cli.cli import main; code = main(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules\nsys.exit(code)"
    )
    seconds, done = timed("-c", code, "_complete", "bash", "aigc train optimizer.", " =")
    assert done.returncode == 0, done.stderr
    assert "optimizer.lr=" in done.stdout
    assert seconds < 0.5


@pytest.mark.parametrize("flag", ["--config-dir mine", "--config-dir=mine"])
def test_a_folder_of_ones_own_is_completed_too(tmp_path, monkeypatch, flag):
    (tmp_path / "mine" / "recipe").mkdir(parents=True)
    (tmp_path / "mine" / "recipe" / "portraits.yaml").write_text("# @package _global_\nsteps: 7\n")
    monkeypatch.chdir(tmp_path)
    assert complete(f"aigc train {flag} recipe=port") == ["recipe=portraits"]


@pytest.mark.parametrize("data", ["mnist", "cifar10", "celeba"])
def test_show_counts_parameters_without_the_data(tmp_path, monkeypatch, capsys, data):
    monkeypatch.chdir(tmp_path)
    assert main(["show", "model=vae", f"data={data}"]) == 0
    shown = capsys.readouterr()
    assert re.search(r"^parameters: [\d,]{7,}$", shown.out, re.MULTILINE)
    assert "likelihood  " not in shown.out.partition("parameters: ")[2]  # it has none
    assert "downloading" not in shown.err
    assert not list(tmp_path.iterdir())
