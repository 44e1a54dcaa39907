"""Parses arguments of modules as the modules would; nothing of them is run.

Reads a JSON list of ``[module, arguments, whole]`` on standard input and writes a list
with a complaint or null for each; where the arguments are null, the names of all the
module's flags. Each module is imported in a fork: they share names of flags, and what
takes long to import is there already.
"""

import importlib.util
import json
import multiprocessing
import sys

# What takes long to import.
import flax.linen  # noqa: F401
import matplotlib.figure  # noqa: F401
import orbax.checkpoint  # noqa: F401
from absl import flags

import inpaint_jax  # noqa: F401


def answer(module, questions, pipe):
    """Sends the answers to all questions about one module."""
    try:
        found = importlib.util.find_spec(module)
        package = found is not None and found.submodule_search_locations is not None
        importlib.import_module(f"{module}.__main__" if package else module)
    except ImportError as error:
        pipe.send([f"does not start: {error}"] * len(questions))
        return
    pipe.send([names() if given is None else parse(given, w) for given, w in questions])


def names():
    switches = {f"no{name}" for name in flags.FLAGS if flags.FLAGS[name].boolean}
    return sorted({*flags.FLAGS, *switches})


def parse(arguments, whole):
    """What is wrong with the arguments, or None."""
    flags.FLAGS.unparse_flags()
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    try:
        rest = flags.FLAGS(["program", *arguments])
    except flags.IllegalFlagValueError as error:
        lacking = "must have a value other than None" in str(error)
        return None if lacking and not whole else str(error)
    except flags.Error as error:
        return str(error)
    return f"what is {rest[1]!r}?" if len(rest) > 1 else None


def main():
    sys.path.insert(0, "")
    given = json.load(sys.stdin)
    context = multiprocessing.get_context("fork")
    answers = [None] * len(given)
    for module in dict.fromkeys(module for module, _, _ in given):
        places = [i for i, each in enumerate(given) if each[0] == module]
        ours, theirs = context.Pipe(duplex=False)
        questions = [given[i][1:] for i in places]
        process = context.Process(target=answer, args=(module, questions, theirs))
        process.start()
        theirs.close()
        try:
            found = ours.recv()
        except EOFError:
            found = ["ends when it is imported"] * len(places)
        process.join()
        for i, each in zip(places, found, strict=True):
            answers[i] = each
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
