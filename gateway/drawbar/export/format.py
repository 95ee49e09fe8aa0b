"""The seam between recorded conversations and the files of trainers.

A format is one file beside this one and one line in `FORMATS`: an object with the attributes of `Format`. It makes rows
out of samples and notes what it cannot carry; which sessions there are, what is healthy, how files are written and what
stands in a manifest is not its business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from importlib import import_module
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from drawbar.errors import UnknownName
from drawbar.export.losses import Losses
from drawbar.export.sample import Sample

Need: TypeAlias = Literal[
    "reward", "parallel_tool_calls", "trajectory", "token_ids", "branches", "group", "rows", "labels", "pairs", "task"
]
"""What a format wants beside messages, masks and tools. `reward`: only sessions that have one; `trajectory`: the whole
session, which takes longer to read; `token_ids`: the same, and only where those of all trained replies, and of what
they were asked with, were told; `branches`: every branch of a conversation, asked for or not; `group`: how the task's
other rollouts in the run did; `rows`: the whole session as it is stored, in whatever health; `labels`: whether
replies are wanted; `pairs`: a better and a worse reply, of which `PairFormat` makes rows; `task`: one session of each
task, with what all of its rollouts came to."""

Kind: TypeAlias = Literal["jsonl", "parquet", "folder"]

Row: TypeAlias = dict[str, Any]

Column: TypeAlias = "str | list[Any] | dict[str, Any]"
"""A column's type in Parquet: `text`, `json` (any value, as its JSON text), `true or false`, `number`, `whole number`,
`[type]` for lists, `{name: type}` for objects. What a row lacks is null."""


class Format(Protocol):
    """One trainer's way to write training data."""

    @property
    def name(self) -> str:
        """As on the command line."""

    @property
    def needs(self) -> Set[Need]: ...

    @property
    def columns(self) -> Mapping[str, Column] | None:
        """The row's columns; None: the format has no Parquet form."""

    def rows(self, sample: Sample, losses: Losses) -> Iterator[Row]:
        """The rows of one sample: none, one or several, of JSON values. Calls `losses.note` for what they lack."""


@runtime_checkable
class PairFormat(Format, Protocol):
    """One trainer's way to write preferences."""

    def pair_rows(self, chosen: Sample, rejected: Sample, at: int, losses: Losses) -> Iterator[Row]:
        """The rows of two samples that are the same up to message `at`, which in both is a reply of the model's. What
        comes after it is not there, unless whole ways are wanted."""


@runtime_checkable
class InFiles(Format, Protocol):
    """A way to write each row as a file of its own, into a folder."""

    @property
    def alone(self) -> bool:
        """Whether its readers take no file that holds several rows."""

    def files(self, row: Row) -> Iterator[tuple[str, bytes]]:
        """The names and contents of a row's files; a name may have a folder in it."""


@runtime_checkable
class TellsTokens(Format, Protocol):
    """A way to write words, and the token ids that they were said in, where they were recorded."""

    def without_tokens(self) -> Format:
        """The same for words alone: token ids say what was said, whatever was replaced in the words."""


FORMATS: Final[Mapping[str, tuple[str, str]]] = {
    "openai": ("drawbar.export.openai", "OpenAI fine-tuning: chat messages, tools, weights"),
    "trl": ("drawbar.export.trl", "TRL's SFTTrainer: `messages` and `tools`, a row for each conversation"),
    "trl-completion": ("drawbar.export.trl_completion", "TRL's SFTTrainer: `prompt` and `completion`, a row per reply"),
    "sharegpt": ("drawbar.export.sharegpt", "LLaMA-Factory and Axolotl: `conversations`, `system`, `tools`"),
    "openai-dpo": ("drawbar.export.openai_dpo", "OpenAI fine-tuning by preference: a better and a worse reply"),
    "trl-dpo": ("drawbar.export.trl_dpo", "TRL's DPOTrainer: `prompt`, `chosen`, `rejected`"),
    "trl-kto": ("drawbar.export.trl_kto", "TRL's KTOTrainer: `prompt`, `completion`, `label`, a row per reply"),
    "trl-grpo": ("drawbar.export.trl_grpo", "TRL's GRPOTrainer: a row per task, its prompt and how its rollouts did"),
    "rl": ("drawbar.export.rl", "Reinforcement learning: token ids, logprobs, masks, advantages, a row per branch"),
    "hf-traces": ("drawbar.export.hf_traces", "the Hugging Face Hub's trace view: a folder, a file per conversation"),
    "atif": ("drawbar.export.atif", "Harbor's ATIF: a trajectory on each line, or a folder with a file for each"),
    "verifiers": ("drawbar.export.verifiers", "traces of Prime Intellect's verifiers: an episode on each line"),
    "raw": ("drawbar.export.raw", "everything of every session, healthy or not, for `drawbar import`"),
}
"""Every format by name: the module whose `FORMAT` it is, and what it is."""


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        UnknownName: there is none; the message names near ones.
    """
    if name not in FORMATS:
        raise UnknownName("export format", name, FORMATS, "`drawbar export --help` lists them.")
    found: Format = import_module(FORMATS[name][0]).FORMAT
    return found
