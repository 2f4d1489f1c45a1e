"""The help texts: static, so that they are there in no time."""

from __future__ import annotations

from aigc_cli.manual_of_pictures import OF_PICTURES
from aigc_cli.manual_of_text import CHAT, TRANSLATE

AIGC = """\
aigc: train generative models from the shell.

usage: aigc VERB [key=value ...]

  train       train a model; the same command continues the run
  sample      draw from a trained model: pictures, sounds, text
  evaluate    measure samples against real data
  reconstruct pictures over what a model makes of them
  encode      pictures as codes, and a map of the latent space
  anomaly     how unusual each picture is
  denoise     a folder's pictures without noise
  upscale     a folder's pictures enlarged
  translate   turn pictures or lines of text into others, as learnt from pairs
  stylize     paint pictures in the style of another
  chat        talk with a model of text
  data        check or pack a data set
  list        models, data sets, recipes and optimisers, one line each
  show        the composed settings with their comments, and the model's size
  completion  print a script for bash, zsh or fish that completes all of this

first steps:
  aigc train                              a GAN learns to draw digits, in a minute and a half
  aigc sample ckpt=outputs/gan-glyphs     a grid of them
  aigc train model=dcgan data=mnist       another model, other data
  aigc VERB --help                        what else a verb takes

flags:
  -h, --help     this text
  --version      the version
"""

FLAGS = """
flags:
  -h, --help         this text
  --cfg job          print the composed settings as YAML (--resolve, --package PATH) and do nothing else
  --info KIND        what Hydra knows: defaults, defaults-tree, config, searchpath, plugins
  --config-dir DIR   a folder of your own with model/, data/, recipe/ ... that joins ours
"""

TRAIN = """\
usage: aigc train [key=value ...]

Train a model. The run is written to a folder that is named after the command; the same command continues it.

what to train (aigc list):
  model=gan            the model and its best-known settings
  data=glyphs          the data set
  recipe=NAME          all settings of a run that is known to work
  optimizer=NAME       another optimiser than the model brings
  schedule=constant    of the learning rate: constant, cosine

often used (aigc show lists all, with their meaning):
  steps=N  epochs=N  max_minutes=N     how long
  batch_size=N  seed=N                 samples a step; everything random
  device=auto  precision=auto          cpu, cuda, mps; fp32, bf16, fp16
  data.root=PATH                       where the data lie
  data.augment=[flip,crop]             random changes: flip, crop, jitter, rotate, scale, colour;
                                       of sounds: gain, shift, noise, polarity
  data.features=mel                    sounds as spectrograms, for any model of pictures
  data.labels=true                     of an image_folder: its sub-folders are classes
  data=picture_pairs                   pairs in two folders (data.source=a data.target=b) or side by side (both null)
  model.conditional=true               learn by label, and sample by label
  optimizer.lr=X                       learning rate; of one phase: optimizer.phases.critic.lr=X
  name=NAME  output=outputs            the run's folder
  restart=true                         start afresh; the old run is kept aside
  profile=true                         say where the time of some dozens of steps goes
  trainer.compile=true                 compile the losses (auto: CUDA graphs only)
  init=CKPT                            start a new run from the weights of another

examples:
  aigc train model=dcgan data=image_folder data.root=photos data.size=64
  aigc train -m model=gan,vae optimizer.lr=1e-4,2e-4      a sweep: four runs and a page that compares them
  torchrun --nproc-per-node 8 -m aigc_cli train model=ddpm data=celeba         on eight GPUs (docs/distributed.md)
  aigc train -m hydra/launcher=joblib hydra.launcher.n_jobs=2 seed=1,2,3       in parallel (aigc[parallel])
  aigc train -m hydra/launcher=submitit_slurm hydra.launcher.partition=gpu seed=1,2,3       on Slurm (aigc[slurm])
  aigc train -m hydra/sweeper=optuna 'optimizer.lr=tag(log,interval(1e-4,1e-2))'     a search (aigc[sweep])
""" + FLAGS.replace("\n  --cfg", "\n  -m, --multirun     a sweep: run every combination of key=a,b\n  --cfg")

SAMPLE = (
    """\
usage: aigc sample ckpt=PATH [key=value ...]

Draw from a trained model: a run's folder, a checkpoint's folder or a .safetensors file.

often used:
  n=64  grid=8x8  seed=0     how many, in how many rows and columns; the same seed draws the same samples
  label=7                    of this class, where the model learnt classes
  steps=50                   diffusion: steps from noise to a sample
  guidance=2                 diffusion, autoregressive: strength of the label
  sampler=dpm_solver         diffusion: ancestral, ddim (eta=0 to 1), euler, heun, stochastic_heun, dpm_solver
  truncation=0.7             GANs: less variety, fewer failures
  spacing=log                diffusion: of the steps: time, quadratic, log, karras
  start=PICTURE strength=0.6 diffusion: begin with a picture under so much noise
  mask=PICTURE               with start: white is painted anew, the rest is kept exactly; resample=5 (not with
                             dpm_solver) fits it in better
  temperature=0.9  top_k=50  autoregressive: safer or bolder; choose among the likeliest only; top_p=0.9
  prompt="O " length=500     text: its beginning, and how many symbols more; told as it is written
  source="A dog."  beam=4    text of text: what is to be translated or answered
  format=png                 png, jpeg, webp; of walks webp, gif; of sounds wav, flac: files, and a sheet;
                             of text txt, jsonl, html
  files=true                 single files instead of one grid
  interpolate=true           a walk through the latent space, as an animation; of text from source="I liked it." to
                             target="I left early."
  manifold=true              the plane of a two-dimensional latent (a vae with model.latent=2)
  frames=31                  of a walk, from one latent to the next
  batch_size=64  device=auto samples at once, and where
  precision=bf16             draws faster on GPUs, and on CPUs with bf16 instructions
  output=PATH                where to write

examples:
  aigc sample ckpt=outputs/gan-glyphs
  aigc sample ckpt=outputs/gan-glyphs n=16 seed=3 output=digits.png
"""
    + FLAGS
)

DATA = (
    """\
usage: aigc data check|pack data=NAME [key=value ...]

  check    print what the data are, what was rejected and why, and draw a grid of real samples; where more than
           data.max_bad of them cannot be used, it ends with 2
  pack     decode the data once into the cache, without training

often used:
  data.root=PATH         where the data lie
  data.size=64           side of the pictures; data.fit=crop or pad
  data.seconds=1.024     of sounds; data.sample_rate=16000; of text data.length=128 data.vocabulary=bpe
  data.labels=true       of an image_folder or audio_folder: its sub-folders are classes
  data.max_bad=0.1       share of files that may be unreadable
  data.cache=PATH        where packs are kept

examples:
  aigc data check data=glyphs
  aigc data pack data=image_folder data.root=photos data.size=64
"""
    + FLAGS
)

LIST = """\
usage: aigc list [SECTION ...] [--config-dir DIR]

Print what there is to choose from, one line each. Sections: models, data, recipes, optimizers, schedules; and the
parts of models: networks, losses, penalties, regularisers, augmentations, corruptions, noises, samplers.
"""

SHOW = """\
usage: aigc show [key=value ...] [--config-dir DIR]

Print the settings that `aigc train` with the same overrides would use, each with its comment, and the number of
parameters of each part of the model.

examples:
  aigc show
  aigc show model=vae model.latent=2
"""

COMPLETION = """\
usage: aigc completion bash|zsh|fish

Print a script that completes verbs, choices (model=<TAB>), settings (optimizer.<TAB>), values and files.

  bash:  aigc completion bash >> ~/.bashrc
  zsh:   aigc completion zsh >> ~/.zshrc
  fish:  aigc completion fish > ~/.config/fish/completions/aigc.fish
"""

EVALUATE = (
    """\
usage: aigc evaluate ckpt=PATH [key=value ...]
       aigc evaluate samples=FOLDER data=NAME [key=value ...]

Measure a trained model, or any folder of pictures, sounds or texts, against held-out data: a table, and
evaluation.json beside it. Of texts a .txt holds one a line, or rules between them (running text without rules is one
text), a .jsonl what aigc sample writes.

often used:
  n=1000                     samples (10,000, of text 1,000); figures of different n do not compare
  metrics=[frechet,labels]   of frechet, kernel, precision_recall, density_coverage, inception_score, labels,
                             sliced_wasserstein, likelihood, memorisation, restoration, pitch; of text perplexity,
                             sums, novelty, translation; all that apply if left out
  features=classifier        classifier (trained once on the data's labels), inception, pixels
  weights=PATH               the Inception network's weights, where there is no network
  split=test                 data to compare with: test, train
  steps=50  guidance=2       diffusion, guidance of autoregressive too: as of aigc sample
  top_k=50  top_p=0.9        autoregressive, with temperature=0.9; beam=4 of text of text: as of aigc sample
  precision=bf16             draws faster, as of aigc sample
  data.root=PATH             where the data lie now

examples:
  aigc evaluate ckpt=outputs/gan-glyphs n=1000
  aigc evaluate samples=pictures data=image_folder data.root=photos features=pixels
  aigc evaluate samples=translations.jsonl data=pairs data.root=text metrics=[translation]
"""
    + FLAGS
)

STYLIZE = (
    """\
usage: aigc stylize content=PATH style=PICTURE [key=value ...]
       aigc stylize content=PATH ckpt=RUN [key=value ...]

Paint a picture, or a folder of them, in the style of another: by changing its pixels until VGG-19 sees both, or in a
single pass by a network that was trained for that style.

often used:
  weights=vgg19.pth          VGG-19's weights, where there is no network to fetch them (548 MB)
  size=512                   pixels of the longer side
  steps=300                  passes through VGG-19 for each picture
  style_weight=100           more: closer to the style; content_weight=1 more: closer to the picture
  smoothness=0.1             more: fewer specks
  start=noise  seed=0        from random pixels instead of the picture's
  preserve_colour=true       the picture's own colours
  output=PATH                where to write
  device=auto                where to compute

examples:
  aigc stylize content=photo.jpg style=painting.jpg weights=vgg19-dcbb9e9d.pth
  aigc train model=fast_style model.style=painting.jpg data=image_folder data.root=photos data.size=256
  aigc stylize content=holiday ckpt=outputs/fast_style-image_folder
"""
    + FLAGS
)

MANUAL = {
    "train": TRAIN,
    "sample": SAMPLE,
    "evaluate": EVALUATE,
    **{verb: text + FLAGS for verb, text in OF_PICTURES.items()},
    "translate": TRANSLATE + FLAGS,
    "stylize": STYLIZE,
    "chat": CHAT + FLAGS,
    "data": DATA,
    "list": LIST,
    "show": SHOW,
    "completion": COMPLETION,
}
