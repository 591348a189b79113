"""Wrong uses that were found by hand: each is to be refused by one message that has one of the words behind it."""

import shlex

from attacks.commands import BASE
from attacks.uses import Key

_LONG = "n" * 300
_LINES = rf"""
BASE hydra.run.dir=/proc/x | hydra.run.dir
BASE hydra.run.dir=f/x | hydra.run.dir
BASE 'hydra.run.dir=${{nope}}' | hydra.run.dir
BASE hydra.run.dir={_LONG} | hydra.run.dir
BASE hydra.mode=MULTIRUN | hydra.mode
BASE hydra.sweeper.max_batch_size=0 -m seed=0,1 | max_batch_size
BASE hydra.sweeper.max_batch_size=x -m seed=0,1 | max_batch_size
BASE -m 'seed=range(3,1)' | seed
BASE -m 'seed=range(0,1,0)' | seed
BASE -m seed=0,0 | seed
BASE -m hydra/launcher=joblib hydra.launcher.n_jobs=0 seed=0,1 | n_jobs
BASE hydra/sweeper=optuna hydra.sweeper.storage=/proc/x hydra.sweeper.n_trials=1 -m 'prune=interval(0.1,0.9)' | storage
BASE -m seed=0,1 --cfg job | --cfg -m seed
BASE --resolve | --resolve
BASE -prune=0.5 | -prune=0.5 prune rune=0.5
BASE dataset._target_=effdl.models.mlp.mlp | dataset _target_
BASE model._target_=builtins.int | model _target_
BASE +model._partial_=true | model _partial_
BASE optimizer._partial_=false | optimizer _partial_
BASE +compression.x=3 | compression.x
BASE +augment.x._target_=os.system | augment.x
BASE prune=0.5 compression.magnitude.stage=teacher | stage
BASE dataset=image_folder dataset.root=null | dataset.root
BASE dataset=image_folder 'dataset.root=[a]' | dataset.root
BASE dataset.subset=null dataset=image_folder dataset.root=images dataset.image_size=100000 | image_size
BASE dataset.subset=null dataset=image_folder dataset.root=images dataset.workers=100000 | workers
BASE dataset.subset=null dataset=image_folder dataset.root=one | dataset.root one
BASE dataset.subset=null dataset=image_folder dataset.root=dangling | x.png
BASE dataset.pad=999999999 'augment=[flip_crop]' | pad
BASE dataset.split_seed=99999999999999999999999 | split_seed
BASE device.threads=100000 | threads
BASE device.threads=99999999999999999999 | threads
BASE 'model.hidden=[100000000000]' | hidden
BASE batch_size=1 dataset.subset=20 model.batchnorm=true | batch_size batchnorm
BASE batch_size=9999999999999999999999999 | batch_size
BASE 'topk=[99999999999999999999999]' | topk
BASE distill= | distill
BASE model.width=1e-30 | width
train --config-dir mine-not-yaml model=x | x.yaml
train --config-dir mine-list model=x | x.yaml model
train --config-dir mine-utf-16 model=x | x.yaml
train --config-dir mine-laughs model=x | x.yaml
train --config-dir mine-itself model=x | x.yaml model=x model/x
list --config-dir mine-utf-16 | x.yaml
reproduce tiny --config-dir mine-nan | tiny
reproduce tiny --config-dir mine-inf | tiny
reproduce tiny --config-dir mine-number | tiny
reproduce tiny --config-dir mine-word | tiny
report r --format csv --output f/x.csv | --output f/x.csv
report r --plots f | --plots
sensitivity r prune= quantize= | prune quantize
sensitivity r tolerance=nan | tolerance
sensitivity r tolerance=-1 | tolerance
sensitivity rs | sensitivity.jsonl
export r format= | format
export r threads=99999999999999999999 | threads
--shell-completion | --shell-completion
--shell-completion install=nope | install nope
"""
# The file of a description that cannot be read hinders no list: these may succeed.
_HARMLESS = r"""
list --config-dir mine-not-yaml | x.yaml
list --config-dir mine-list | x.yaml
list --config-dir mine-laughs | x.yaml
list --config-dir mine-itself | x.yaml
"""


def known_uses() -> list[tuple[Key, tuple[str, ...], bool]]:
    """The commands as keys, the words of which a refusal has one, and whether they must be refused."""
    lines = [(line, True) for line in _LINES.split("\n") if line] + [
        (line, False) for line in _HARMLESS.split("\n") if line
    ]
    found = []
    for line, must in lines:
        command, _, words = line.rpartition(" | ")
        command = command.replace("BASE", shlex.join(("train", *BASE)), 1)
        found.append((Key(words.split()[0], tuple(shlex.split(command))), tuple(words.split()), must))
    return found
