"""The help texts of what is for text alone, or is of lines as well as of pictures."""

from __future__ import annotations

CHAT = """\
usage: aigc chat ckpt=PATH [key=value ...]

Talk with a model that was trained on pairs of lines (model=seq2seq data=pairs): each line that you type is answered.
A language model (transformer, lstm, gru, rnn) goes on with what you type. Ctrl-D or /quit ends.

often used:
  temperature=0.7  top_p=0.9 bolder or safer
  beam=4                     of models that answer: follow so many answers at once, and give the likeliest
  length=200                 symbols of an answer at most
  seed=0  device=auto        the same seed and lines, the same answers

examples:
  aigc chat ckpt=outputs/seq2seq-pairs
  echo "How are you?" | aigc chat ckpt=outputs/seq2seq-pairs
"""

TRANSLATE = """\
usage: aigc translate ckpt=PATH samples=PATH [key=value ...]

Turn every picture of a folder into another by a model that learnt it from pairs (model=pix2pix), under the same names,
or every line of a text file (model=seq2seq).

often used:
  output=PATH                the folder, or file, to write to
  seed=0  batch_size=64      of the noise in pix2pix' dropout; pictures or lines at once

examples:
  aigc train model=pix2pix data=picture_pairs data.root=pairs data.size=256
  aigc translate ckpt=outputs/pix2pix-picture_pairs samples=drawings
"""
