"""`aigc evaluate`, and the same during training: what is measured, written, kept and refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aigc_cli.cli import main
from aigc_cli.composing.compose import compose
from aigc_cli.data.pack import open_data
from aigc_cli.evaluating import classifier, evaluation, features
from aigc_cli.evaluating.measures import GROUPS, MEASURES, OF_TEXT
from aigc_cli.runs import read_metrics

DATA = ["data.count=300", "data.size=16"]
TRAIN = ["train", *DATA, "batch_size=20", "steps=4", "preview.n=4", "preview.tensorboard=false", "log_every=2",
         "device=cpu"]  # fmt: skip
VAE = ["model=vae", "model.encoder.widths=[8]", "model.decoder.widths=[8]"]
GAN = ["model=gan", "model.generator.widths=[8]", "model.critic.widths=[8]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(autouse=True)
def here(place, monkeypatch) -> Path:
    """Work where the runs of this file lie; the classifier learns for a moment only."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("AIGC_CACHE", str(place / "cache"))
    monkeypatch.setattr(classifier, "OF_PICTURES", replace(classifier.OF_PICTURES, fewest_steps=40))
    monkeypatch.setattr(classifier, "EPOCHS", 1)
    return place


@pytest.fixture(scope="module")
def runs(place) -> dict[str, str]:
    """Train a VAE, a GAN that knows labels, and one on pictures without labels."""
    patch = pytest.MonkeyPatch()
    patch.chdir(place)
    patch.setenv("AIGC_CACHE", str(place / "cache"))
    (place / "photos").mkdir()
    for number in range(60):
        values = np.random.default_rng(number).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(values).save(place / "photos" / f"{number}.png")
    plain = [word for word in TRAIN if word not in DATA]
    assert main([*TRAIN, *VAE, "name=vae"]) == 0
    assert main([*TRAIN, *GAN, "name=gan", "model.conditional=true"]) == 0
    folder = ["data=image_folder", "data.root=photos", "data.size=16"]
    assert main([*plain, *GAN, *folder, "name=photos"]) == 0
    patch.undo()
    return {name: f"ckpt=outputs/{name}" for name in ("vae", "gan", "photos")}


def figures(folder: str | Path) -> dict[str, float]:
    return json.loads((Path(folder) / "evaluation.json").read_text())["figures"]


def refused(capsys, *words: str) -> str:
    assert main(["evaluate", *words]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_a_run_is_measured_by_all_that_applies(runs, capsys):
    assert main(["evaluate", runs["vae"], "n=40", "draws=3"]) == 0
    found = figures("outputs/vae")
    of_others = {"pitch_error", "clear_pitch", "snr", "given_snr", "heard"}
    of_others |= {name for name, measure in MEASURES.items() if measure.group in OF_TEXT}
    assert set(found) == set(MEASURES) - of_others - {
        "agreement",
        "given_psnr",
        "given_ssim",
    }  # no labels, nothing given
    assert all(np.isfinite(list(found.values())))
    assert found["elbo"] <= found["importance_weighted"]
    assert found["elbo_bits_per_dim"] == pytest.approx(-found["elbo"] / 256 / np.log(2))
    said = capsys.readouterr().out
    assert all(name.replace("_bits_per_dim", ", bits/dim") in said for name in found)
    assert "classes: 0 " in said
    assert Path("outputs/vae/copies.png").exists()
    logged = [line for line in read_metrics(Path("outputs/vae/metrics.jsonl")) if "evaluation/frechet" in line]
    assert logged[-1]["step"] == 4
    assert logged[-1]["evaluation/frechet"] == pytest.approx(found["frechet"])


def test_figures_of_another_way_to_draw_stay_out_of_the_runs_log(runs):
    log = Path("outputs/gan/metrics.jsonl")
    before = log.read_bytes()
    assert main(["evaluate", runs["gan"], "metrics=[sliced_wasserstein]", "n=50", "output=elsewhere"]) == 0
    assert log.read_bytes() == before
    assert json.loads(Path("elsewhere/evaluation.json").read_text())["precision"] == "fp32"
    assert main(["evaluate", runs["vae"], "metrics=[likelihood]", "draws=2", "output=likely"]) == 0
    assert "precision" not in json.loads(Path("likely/evaluation.json").read_text())


def test_figures_of_one_measurement_after_another_stand_together_if_they_compare(runs):
    words = ["evaluate", runs["vae"], "draws=2", "output=together"]
    assert main([*words, "metrics=[sliced_wasserstein]", "n=20"]) == 0
    assert main([*words, "metrics=[likelihood]", "n=20"]) == 0
    found = json.loads(Path("together/evaluation.json").read_text())
    assert {"sliced_wasserstein", "elbo"} <= set(found["figures"])
    assert (found["n"], found["precision"]) == (20, "fp32")
    assert main([*words, "metrics=[labels]", "n=20"]) == 0
    assert {"sliced_wasserstein", "elbo", "class_entropy"} <= set(figures("together"))
    assert main([*words, "metrics=[labels]", "n=30"]) == 0  # others than those of 20 samples
    assert "sliced_wasserstein" not in figures("together")


def test_a_measured_run_still_goes_on(runs):
    assert main(["evaluate", runs["vae"], "n=20", "metrics=[sliced_wasserstein]"]) == 0
    assert main([*TRAIN, *VAE, "name=vae", "steps=6"]) == 0


def test_the_same_seed_measures_the_same_and_the_real_features_are_kept(runs, place):
    words = ["evaluate", runs["gan"], "n=30", "metrics=[frechet,labels]"]
    assert main(words) == 0
    first = figures("outputs/gan")
    kept = {file: file.stat().st_mtime_ns for file in (place / "cache").glob("*.evaluation/*.safetensors")}
    assert len(kept) >= 2
    assert main(words) == 0
    assert figures("outputs/gan") == first
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert set(first) == {"frechet", "class_entropy", "confident", "agreement"}
    next(iter(kept)).write_bytes(b"cut off")
    assert main(words) == 0
    assert figures("outputs/gan") == first


def test_real_pictures_score_as_real(place, capsys):
    """A folder of the training data: no distance, all among the data, copies to the last."""
    pack = open_data(compose("data", ["data=glyphs", *DATA]).config["data"], progress=False)
    (place / "real").mkdir(exist_ok=True)
    for number, picture in enumerate(pack.split("train")[0][:100]):
        Image.fromarray(picture[0]).save(place / "real" / f"{number}.png")
    assert main(["evaluate", "samples=real", "data=glyphs", *DATA, "split=train", "features=pixels"]) == 0
    real = figures("real-evaluation")
    assert real["memorisation"] == pytest.approx(0, abs=0.02)
    assert real["precision"] > 0.9
    assert "likelihood" not in real
    (place / "noise").mkdir(exist_ok=True)
    for number in range(100):
        values = np.random.default_rng(number).integers(0, 256, (16, 16)).astype(np.uint8)
        Image.fromarray(values).save(place / "noise" / f"{number}.png")
    (place / "noise" / "broken.png").write_bytes(b"no picture")
    assert main(["evaluate", "samples=noise", "data=glyphs", *DATA, "split=train", "features=pixels"]) == 0
    assert "1 files cannot be used: broken.png" in capsys.readouterr().err
    noise = figures("noise-evaluation")
    assert noise["frechet"] > 5 * real["frechet"]
    assert noise["precision"] == 0
    assert noise["memorisation"] > 1


def test_data_without_labels_are_compared_by_pixels(runs):
    assert main(["evaluate", runs["photos"], "n=20", "split=train"]) == 0
    found = figures("outputs/photos")
    assert "frechet" in found
    assert not {"inception_score", "class_entropy"} & set(found)


def test_where_few_are_held_out_the_defaults_are_what_still_says_something(runs, capsys):
    assert main(["evaluate", runs["photos"], "n=20", "output=fewer"]) == 0
    assert set(figures("fewer")) == {"sliced_wasserstein", "memorisation"}
    said = capsys.readouterr().err
    assert "frechet, kernel, precision_recall and density_coverage need 10, and are not measured. Type split" in said
    assert main(["evaluate", runs["vae"], "n=3", "draws=2", "output=three"]) == 0
    assert {"sliced_wasserstein", "elbo", "class_entropy"} <= set(figures("three"))
    said = capsys.readouterr().err
    assert "n is 3: frechet, kernel, precision_recall and density_coverage need 10; inception_score needs 20" in said
    assert "Type n=20 or more." in said


def test_pixels_train_no_classifier_unless_labels_are_asked_for(runs, monkeypatch, capsys):
    def never(*given):
        raise AssertionError("trained")

    monkeypatch.setattr(evaluation, "open_features", lambda name, *rest: never() if name == "classifier" else
                        features.open_features(name, *rest))  # fmt: skip
    assert main(["evaluate", runs["gan"], "n=20", "features=pixels", "output=looked"]) == 0
    assert "frechet" in figures("looked")
    assert "agreement" not in figures("looked")
    said = capsys.readouterr().err
    assert "aigc: inception_score and labels are not measured: a classifier would have to learn" in said
    with pytest.raises(AssertionError, match="trained"):
        main(["evaluate", runs["gan"], "n=20", "features=pixels", "metrics=[frechet,labels]"])


def test_during_training_the_figures_are_logged_and_the_best_is_kept(place):
    words = [*TRAIN, *VAE, "name=watched", "steps=12", "evaluate_every=2", "evaluation.n=20", "checkpoint.keep=1",
             "evaluation.metrics=[sliced_wasserstein]", "evaluation.best=sliced_wasserstein"]  # fmt: skip
    assert main(words) == 0
    run = place / "outputs" / "watched"
    key = "evaluation/sliced_wasserstein"
    values = {line["step"]: line[key] for line in read_metrics(run / "metrics.jsonl") if key in line}
    assert list(values) == [2, 4, 6, 8, 10, 12]
    best = json.loads((run / "best.json").read_text())
    assert best["value"] == pytest.approx(min(values.values()))
    kept = {folder.name for folder in (run / "checkpoints").iterdir()}
    assert {f"step-{best['step']:08d}", "step-00000012"} <= kept
    assert len(kept) <= 3


def test_watching_does_not_change_what_is_learnt(place):
    for name, more in (("seen", ["evaluate_every=1", "evaluation.n=20"]), ("unseen", [])):
        assert main([*TRAIN, *GAN, f"name={name}", *more]) == 0
    files = [place / "outputs" / name / "checkpoints" / "step-00000004" / "trainer.pt" for name in ("seen", "unseen")]
    tensors = [torch.load(file, weights_only=True) for file in files]
    first, second = (state["trainer"]["model"] for state in tensors)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_sweep_may_sort_by_the_frechet_distance(place, capsys):
    assert main([*TRAIN, *VAE, "name=sorted", "objective=frechet", "evaluation.n=20"]) == 0
    assert "frechet: " in capsys.readouterr().out
    assert json.loads((place / "outputs" / "sorted" / "summary.json").read_text())["objective"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "ckpt, samples: type one of them"),
        (["ckpt=RUN", "samples=x"], "ckpt, samples: type one of them"),
        (["samples=nowhere", "data=glyphs"], "samples: no folder 'nowhere'"),
        (["samples=photos"], "data: what are the samples to resemble?"),
        (["samples=cache", "data=glyphs", *DATA], "samples: no pictures in 'cache'"),
        (["samples=photos", "data=glyphs", "steps=3"], "steps: samples= are there already"),
        (["samples=photos", "data=glyphs", "precision=bf16"], "precision: samples= are there already"),
        (["ckpt=RUN", "steps=3"], "steps: model 'gan' has no use for it"),
        (["ckpt=RUN", "metrics=[frechte]"], "metrics: given ['frechte'], allowed: list of frechet"),
        (["ckpt=RUN", "metrics=[fid]"], "Did you mean 'frechet'?"),
        (["ckpt=RUN", "metrics=[]"], "metrics: given [], allowed: list of frechet"),
        (["ckpt=RUN", "metrics=frechet"], "translation of length >= 1 or null. Did you mean '[frechet]'?"),
        (["ckpt=RUN", "features=pixel"], "pixels or null. Did you mean 'pixels'?"),
        (["ckpt=RUN", "metrics=[likelihood]"], "metrics: likelihood needs a model that bounds it"),
        (["ckpt=VAE", "metrics=[likelihood]", "precision=bf16"], "precision: no samples are drawn for these figures"),
        (["ckpt=RUN", "n=3", "metrics=[kernel]"], "n: given 3, but kernel needs 10"),
        (
            ["samples=photos", "data=glyphs", *DATA, "n=3", "metrics=[frechet]"],
            "samples: 3 are read, but frechet needs 10. Add some",
        ),
        (["ckpt=RUN", "weights=x"], "weights: only of features=inception"),
        (["ckpt=RUN", "features=inception", "weights=nowhere.pth"], "weights: 'nowhere.pth' cannot be used"),
        (["ckpt=PHOTOS", "metrics=[labels]"], "metrics: labels needs labels"),
        (["ckpt=PHOTOS", "features=classifier"], "features: the classifier needs labels"),
        (["ckpt=PHOTOS", "metrics=[frechet]"], "split: test has "),
    ],
)
def test_every_mistake_has_its_answer(runs, capsys, words, said):
    known = {"ckpt=RUN": runs["gan"], "ckpt=PHOTOS": runs["photos"], "ckpt=VAE": runs["vae"]}
    typed = [known.get(word, word) for word in words]
    assert said in refused(capsys, *typed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluation.best=recall"], "evaluation.best: recall is not measured"),
        (
            ["evaluation.best=agreement", "evaluation.metrics=[labels]", "model.conditional=false"],
            "evaluation.best: agreement is not measured",
        ),
        (["objective=kernel", "evaluation.features=inception", "evaluation.weights=none.pth"], "weights: 'none.pth'"),
        (["evaluation.metrics=[likelihood]", "evaluation.best=null"], "evaluation.metrics: likelihood does not apply"),
        (["evaluation.n=2"], "n: given 2, but frechet needs 10"),
        (["evaluation.best=speed"], "evaluation.best: given 'speed'"),
    ],
)
def test_what_training_cannot_measure_is_said_before_it_begins(place, capsys, words, said):
    metrics = [] if "metrics" in " ".join(words) else ["evaluation.metrics=[frechet]"]
    assert main([*TRAIN, *GAN, "name=never", "evaluate_every=2", *metrics, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (place / "outputs" / "never").exists()


def test_a_file_of_weights_runs_no_code(runs, place, capsys):
    class Payload:
        def __reduce__(self):
            return Path.touch, (place / "canary",)

    (place / "evil.pth").write_bytes(pickle.dumps(Payload(), protocol=2))
    words = ["features=inception", "weights=evil.pth"]
    assert "weights: 'evil.pth' cannot be used" in refused(capsys, runs["gan"], *words)
    assert not (place / "canary").exists()


def test_the_inception_network_reads_its_weights_from_a_file(runs, place):
    """Random weights of the right shapes: the figures mean nothing, the way there is the real one."""
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="aigc[inception]")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        network = fidelity.FeatureExtractorInceptionV3
        patch.setattr(network, "load_state_dict", lambda self, _: made.update(self.state_dict()))
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        torch.manual_seed(0)
        network("inception-v3-compat", ["2048"])
    torch.save(made, place / "inception.pth")
    words = [runs["gan"], "n=10", "features=inception", "weights=inception.pth", "metrics=[frechet]"]
    assert main(["evaluate", *words]) == 0
    assert np.isfinite(figures("outputs/gan")["frechet"])


def test_every_measure_belongs_to_a_group():
    assert {measure.group for measure in MEASURES.values()} == set(GROUPS)


def test_a_run_that_starts_afresh_forgets_the_best_of_the_old(place):
    words = [*TRAIN, *VAE, "name=afresh", "evaluate_every=2", "evaluation.metrics=[sliced_wasserstein]",
             "evaluation.best=sliced_wasserstein", "evaluation.n=20"]  # fmt: skip
    assert main(words) == 0
    best = place / "outputs" / "afresh" / "best.json"
    best.write_text(json.dumps({**json.loads(best.read_text()), "value": 0.0}))
    assert main([*words, "restart=true"]) == 0
    assert json.loads(best.read_text())["value"] > 0


def test_figures_measured_otherwise_are_no_rivals(place):
    words = [*TRAIN, *VAE, "name=rivals", "evaluate_every=2", "evaluation.metrics=[sliced_wasserstein]",
             "evaluation.best=sliced_wasserstein"]  # fmt: skip
    assert main([*words, "evaluation.n=20"]) == 0
    best = place / "outputs" / "rivals" / "best.json"
    best.write_text(json.dumps({**json.loads(best.read_text()), "value": 0.0}))
    assert main([*words, "evaluation.n=20", "steps=6"]) == 0
    assert json.loads(best.read_text())["value"] == 0
    assert main([*words, "evaluation.n=30", "steps=8"]) == 0
    assert json.loads(best.read_text())["value"] > 0


def test_nothing_is_written_among_the_samples(place):
    (place / "few").mkdir()
    for number in range(12):
        values = np.random.default_rng(number).integers(0, 256, (16, 16)).astype(np.uint8)
        Image.fromarray(values).save(place / "few" / f"{number}.png")
    for _ in range(2):
        assert main(["evaluate", "samples=few", "data=glyphs", *DATA, "metrics=[memorisation]"]) == 0
        assert json.loads((place / "few-evaluation" / "evaluation.json").read_text())["n"] == 12
    assert (place / "few-evaluation" / "copies.png").exists()
    assert len(list((place / "few").iterdir())) == 12
    (place / "few").rename(place / "few.2")  # a dot is no ending of a folder's name
    assert main(["evaluate", "samples=few.2", "data=glyphs", *DATA, "metrics=[memorisation]"]) == 0
    assert (place / "few.2-evaluation" / "evaluation.json").exists()


def test_a_cache_that_takes_no_files_is_one_line(runs, place, capsys):
    pack = open_data(compose("data", ["data=glyphs", "data.count=200", "data.size=16"]).config["data"], progress=False)
    pack.path.with_name(f"{pack.path.name}.evaluation").write_text("in the way")
    words = ["samples=photos", "data=glyphs", "data.count=200", "data.size=16"]
    assert "data.cache: cannot write to" in refused(capsys, *words)


def test_no_number_is_no_record():
    from aigc_cli.evaluating.measures import is_better

    assert not is_better("frechet", float("nan"), None)
    assert is_better("frechet", 3.0, None)
    assert is_better("frechet", 2.0, 3.0)
    assert not is_better("recall", 2.0, 3.0)
