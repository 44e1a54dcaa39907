"""Commands in documents and docstrings, and whether their flags exist.

Finds what is told to be run with ``python -m`` (or ``inpaint-jax``) in fenced blocks,
in indented blocks of docstrings and in inline code. Lines that go on, ``for`` loops,
variables, quoted commands within commands and redirections are understood as a shell
does, as far as documents need it.
"""

import ast
import dataclasses
import io
import itertools
import json
import re
import shlex
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

_PROGRAMS = ("benchmarks", "experiments")
_ROOMS = (*_PROGRAMS, "inpaint_jax")
_SCRIPT = "inpaint-jax"
_END = re.compile(r"[();<>|&\n]+")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_UNKNOWN = "1"  # Stands for variables of the environment: a number and a name at once.


@dataclasses.dataclass(frozen=True)
class Command:
    """A command in a document.

    Attributes:
      place: File and line.
      module: What ``python -m`` is told to run.
      arguments: What it is given.
      whole: Whether all required flags must be there; prose may name some alone.
    """

    place: str
    module: str
    arguments: tuple[str, ...]
    whole: bool = True


def programs(root):
    """All modules of ``experiments`` and ``benchmarks`` that are programs."""
    paths = [path for room in _PROGRAMS for path in (root / room).rglob("*.py")]
    return sorted(_module_name(path, root) for path in paths if _is_program(path))


def _is_program(path):
    """Whether something runs when Python is told to run this file."""
    body = ast.parse(path.read_text()).body
    guards = [ast.unparse(node.test) for node in body if isinstance(node, ast.If)]
    return "__name__ == '__main__'" in guards


def _module_name(path, root):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__main__" else parts)


def mentions_of_flags(text, name):
    """Flags that prose names, as in `--flag=value`: place and name of each."""
    for code in re.finditer(r"(?<!`)(`+)--(?:no)?(\w+)[^`]*\1(?!`)", text):
        line = text.count("\n", 0, code.start()) + 1
        yield f"{name}:{line}", re.match(r"`+--(\w+)", code[0])[1]


def of_markdown(text, name):
    """All commands of a Markdown document."""
    fence = re.compile(r"^( *)(```+|~~~+)[^\n]*\n(.*?)^\1\2 *$", re.M | re.S)
    for block in fence.finditer(text):
        yield from of_shell(block[3], name, text.count("\n", 0, block.start(3)) + 1)
    rest = fence.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    yield from _inline(rest, name, 1)


def of_python(source, name):
    """All commands of the docstrings of a Python file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        docstring = ast.get_docstring(node, clean=False)
        if docstring is None:
            continue
        first = node.body[0].lineno
        indented = re.compile(
            rf"(?:^ {{{node.body[0].col_offset + 4},}}\S.*\n?)+", re.M
        )
        for block in indented.finditer(docstring):
            line = first + docstring.count("\n", 0, block.start())
            yield from of_shell(textwrap.dedent(block[0]), name, line)
        yield from _inline(indented.sub(_blank, docstring), name, first)


def _blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def _inline(text, name, first):
    """Commands in inline code, which may lack what is required."""
    for code in re.finditer(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", text, re.S):
        line = first + text.count("\n", 0, code.start())
        for command in of_shell(code[2].replace("\n", " "), name, line):
            yield dataclasses.replace(command, whole=False)


def of_shell(text, name, first=1):
    """All commands of a piece of shell, loops unrolled.

    Args:
      text: The shell.
      name: The file that it is from.
      first: Its line there.
    """
    if not any(word in text for word in ("python", _SCRIPT)):
        return
    # As long as before, so that places stay where they are.
    joined = re.sub(
        r"(?m)(^|\s)#.*$", lambda m: m[1] + " " * (len(m[0]) - len(m[1])), text
    )
    stream = io.StringIO(joined.replace("\\\n", "  "))
    lexer = shlex.shlex(stream, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    words = []
    try:
        for word in iter(lexer.get_token, None):
            words.append((word, first + text.count("\n", 0, stream.tell() - 1)))
    except ValueError as error:
        raise ValueError(f"{name}:{first}: no shell ({error}): {text}") from error
    values = _values([word for word, _ in words])
    for place, (word, line) in enumerate(words):
        if " " in word and "-m " in word:  # A command for another machine's shell.
            inner = textwrap.dedent(word)
            yield from of_shell(inner, name, line - word.count("\n"))
            continue
        module, begin = _module(words, place)
        if module is None:
            continue
        rest = [each for each, _ in words[begin:]]
        tail = list(itertools.takewhile(lambda each: not _END.fullmatch(each), rest))
        after = rest[len(tail) : len(tail) + 1]
        if tail and tail[-1].isdecimal() and after and after[0].startswith(">"):
            tail.pop()  # Of a redirection, as in ``2>&1``.
        for arguments in _unrolled(tail, values):
            yield Command(f"{name}:{line}", module, arguments)


def _module(words, place):
    """What the word at ``place`` runs, if it is ours, and where arguments begin."""
    texts = [word for word, _ in words[place : place + 3]]
    if re.fullmatch(r"(.*/)?python3?(\.\d+)?", texts[0]) and texts[1:2] == ["-m"]:
        if len(texts) == 3 and texts[2].split(".")[0] in _ROOMS:
            return _dispatched(texts[2], words, place + 3)
    elif texts[0] == _SCRIPT:
        return _dispatched("inpaint_jax", words, place + 1)
    return None, place


def _dispatched(module, words, begin):
    """``inpaint_jax PROGRAM`` is ``experiments.PROGRAM``; capitals stand for any."""
    word = words[begin][0] if begin < len(words) else ""
    if word.isupper() or module.rpartition(".")[2].isupper():
        return None, begin
    if module == "inpaint_jax" and re.fullmatch(r"[a-z][\w-]*", word):
        return f"experiments.{word.replace('-', '_')}", begin + 1
    return module, begin


def _values(words):
    """What each variable stands for: of assignments and loops."""
    values = defaultdict(list)
    for place, word in enumerate(words):
        assigned = re.fullmatch(r"(\w+)=(.*)", word, re.S)
        if assigned and (place == 0 or _END.fullmatch(words[place - 1])):
            values[assigned[1]].append(assigned[2])
        if word == "for" and words[place + 2 : place + 3] == ["in"]:
            listed = itertools.takewhile(
                lambda each: not _END.fullmatch(each), words[place + 3 :]
            )
            values[words[place + 1]] += listed
    return values


def _unrolled(words, values):
    """The arguments for each choice of the variables' values."""
    names = dict.fromkeys(name for word in words for name in _VARIABLE.findall(word))
    choices = [values.get(name, [_UNKNOWN]) for name in names]
    for chosen in itertools.product(*choices):
        known = dict(zip(names, chosen, strict=True))
        yield tuple(_substitute(word, known) for word in words)


def _substitute(word, known):
    return _VARIABLE.sub(lambda match: known[match[1]], word)


def complaints(commands, root, environment=None):
    """What is wrong with commands, one line each with its place.

    Args:
      commands: As found.
      root: Where the modules are.
      environment: Of the process that reads their flags.
    """
    given = [(each.module, each.arguments, each.whole) for each in commands]
    wrong = []
    for command, said in zip(commands, _ask(given, root, environment), strict=True):
        if said is not None:
            shown = shlex.join(command.arguments)
            wrong.append(f"{command.place}: {command.module} {shown}: {said}")
    return wrong


def flags_of_programs(root, environment=None):
    """Every flag that some program has, also as ``noflag`` where it is a switch."""
    given = [(module, None, True) for module in programs(root)]
    found = {name for names in _ask(given, root, environment) for name in names}
    return found | {"help", "helpfull"}  # These two are defined by running.


def _ask(given, root, environment):
    """What ``flag_parser`` answers."""
    result = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("flag_parser.py"))],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=root,
        env=environment,
        check=True,
    )
    return json.loads(result.stdout)
