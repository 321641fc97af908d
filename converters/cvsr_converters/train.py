"""Train a model from a recipe: ``python -m cvsr_converters.train RECIPE [--minutes M] [--out FOLDER]``.

A recipe is a TOML file (a path, or a name in ``training/recipes``) that sets network, data, loss and schedule.
To resume an interrupted run, run the same command again.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from cvsr.errors import CvsrError

RECIPES = Path(__file__).parent / "training" / "recipes"


def load(recipe):
    """Return the recipe as a dict, with its ``name``."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    path = Path(recipe) if Path(recipe).is_file() else RECIPES / f"{recipe}.toml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise SystemExit(f"no recipe {recipe!r}: pass the path of a .toml file, or one of {names}")
    return {"name": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))}


def main(argv=None):
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m cvsr_converters.train", description="Train a model from a recipe.")
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of runs, with one subfolder per recipe")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "cvsr" / "training", help="folder of prepared images"
    )
    parser.add_argument("--minutes", type=float, help="length of the run; the learning rate schedule is fitted to it")
    parser.add_argument("--threads", type=int, help="threads for TensorFlow (one process per core is most efficient)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="train: %(message)s")
    logging.getLogger("cvsr_converters").setLevel(logging.INFO)
    import tensorflow as tf

    if args.threads:
        tf.config.threading.set_intra_op_parallelism_threads(args.threads)
        tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    try:
        record = train(load(args.recipe), args)
    except (CvsrError, FileNotFoundError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    print(json.dumps({k: v for k, v in record.items() if k != "recipe"}))
    return 0


def train(recipe, args):
    """Train a recipe, after the one that it starts from if that has no run yet; return its record."""
    from cvsr_converters.training.loop import Training

    before = recipe.get("start", {}).get("run")
    if before and not (args.out / before / "record.json").exists():
        train(load(before), args)
    return Training(recipe, args.out / recipe["name"], args.cache, args.minutes, args.seed).run()


if __name__ == "__main__":
    sys.exit(main())
