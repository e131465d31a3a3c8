"""A Dockerfile as its stages, and what a container of one starts with; .dockerignore.

As far as ours goes: no heredoc, no parser directive, no substitution but $NAME and ${NAME}.
Source: docs.docker.com, "Dockerfile reference" and "Build context".
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

EXEC_FORM = ("CMD", "ENTRYPOINT", "HEALTHCHECK")
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of Docker's image of Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One, its lines put together."""

    keyword: str
    flags: Mapping[str, str]
    words: str

    def command(self) -> list[str]:
        """Of one that has a command. Raises ValueError where it is not in the exec form."""
        try:
            words = json.loads(self.words.removeprefix("CMD ").strip())
        except json.JSONDecodeError:
            raise ValueError(f"{self.keyword} is not in the exec form: {self.words}") from None
        return [str(each) for each in words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """base: an image, or the name of an earlier stage."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]


@dataclass(slots=True, kw_only=True)
class Start:
    """What a container starts with."""

    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    """Known to RUN, and forgotten with the build."""
    user: str = "0:0"
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    stop_signal: str = "SIGTERM"

    def take(self, instruction: Instruction) -> None:
        """Be changed by one; by those that change files alone it is not.

        Raises ValueError (one that is not known here).
        """
        words = self._substituted(instruction.words)
        match instruction.keyword:
            case "ENV":
                self.environment |= _pairs(words)
            case "ARG":
                name, _, default = words.partition("=")
                self.arguments.setdefault(name, default)
            case "USER":
                self.user = words
            case "WORKDIR":
                self.folder = words
            case "VOLUME":
                self.volumes += words.split()
            case "EXPOSE":
                self.ports += [int(each) for each in words.split()]
            case "STOPSIGNAL":
                self.stop_signal = words
            case "ENTRYPOINT":
                self.entrypoint, self.command = instruction.command(), []
            case "CMD":
                self.command = instruction.command()
            case "HEALTHCHECK":
                self.health = instruction.command()
            case "RUN" | "COPY":
                pass
            case other:
                raise ValueError(f"{other} is not known here")

    def _substituted(self, words: str) -> str:
        known = self.arguments | self.environment
        return re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda name: known.get(name[1] or name[2], ""), words)


def read_dockerfile(text: str) -> dict[str, Stage]:
    """The stages by name, in their order; the last is what is built without --target."""
    stages: dict[str, Stage] = {}
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            base, _, name = re.split(r"\s+(AS)\s+", instruction.words, maxsplit=1)
            stages[name] = Stage(name=name, base=base, instructions=())
            continue
        name = list(stages)[-1]
        stage = stages[name]
        stages[name] = Stage(
            name=name, base=stage.base, instructions=(*stage.instructions, instruction)
        )
    return stages


def start_of(stages: Mapping[str, Stage], name: str) -> Start:
    """What a container of that stage starts with."""
    stage = stages[name]
    start = start_of(stages, stage.base) if stage.base in stages else Start()
    for instruction in stage.instructions:
        start.take(instruction)
    return deepcopy(start)


def in_context(path: str, ignored: str) -> bool:
    """Whether a file, by its path in the repository, is sent to the builder.

    ignored: the text of .dockerignore. The last line that fits it, or a folder it is in, decides.
    """
    sent = True
    parts = path.split("/")
    names = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    for line in ignored.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        fits = re.compile(_expression(pattern.removeprefix("!")))
        if any(fits.fullmatch(each) for each in names):
            sent = pattern.startswith("!")
    return sent


def _expression(pattern: str) -> str:
    expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return expression.replace(r"\[", "[").replace(r"\]", "]")


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        if not line.strip():
            continue
        keyword, _, words = line.strip().partition(" ")
        flags = {}
        while (flag := re.match(r"--([\w-]+)=(\S+)\s+", words.lstrip())) is not None:
            flags[flag[1]] = flag[2]
            words = words.lstrip()[flag.end() :]
        yield Instruction(keyword=keyword.upper(), flags=flags, words=words.strip())


def _pairs(words: str) -> dict[str, str]:
    return dict(each.split("=", 1) for each in shlex.split(words))
