"""A small world with tools: whose parcel lies on which shelf, and what is on a shelf. Tasks are questions about it.

drawbar run examples/close_the_loop/depot.py --env-option split=held_out --env-option count=5
"""

import random
from collections.abc import Iterator
from hashlib import blake2b
from typing import Literal

from drawbar import Environment, Limits, Task
from drawbar.testing import calls, for_agents, says

SYLLABLES = tuple(c + v for c in "BDFGKLMNPRSTVZ" for v in "AEIOU")
TRAINING = 0.8
"""Of all owners; the others are in held-out tasks alone."""


def code(*what: str) -> str:
    """A name of two syllables that always follows from these texts."""
    number = int.from_bytes(blake2b("/".join(what).encode(), digest_size=8).digest())
    return SYLLABLES[number % 70] + SYLLABLES[number // 70 % 70]


async def find(owner: str) -> str:
    """On which shelf somebody's parcel lies."""
    return f"the parcel of {owner} is on shelf {code('shelf', owner)}"


async def look(shelf: str) -> str:
    """What lies on a shelf."""
    return f"shelf {shelf} has a {code('thing', shelf)}"


def correct(completion: str, answer: str) -> bool:
    return completion == answer


def is_held_out(owner: str) -> bool:
    return int(blake2b(owner.encode(), digest_size=2).hexdigest(), 16) >= TRAINING * 2**16


def owners(split: str, seed: int) -> Iterator[str]:
    """Each owner of a split once, in an order of the seed's."""
    everyone = [first + second for first in SYLLABLES for second in SYLLABLES]
    random.Random(seed).shuffle(everyone)
    return (owner for owner in everyone if is_held_out(owner) == (split == "held_out"))


def question(owner: str) -> str:
    return f"what is in the parcel of {owner} ?"


def environment(split: Literal["train", "held_out"] = "train", count: int = 100, first: int = 0) -> Environment:
    """`count` tasks of a split, from number `first` on."""
    chosen = list(owners(split, seed=7))[first : first + count]
    return Environment(
        name="depot",
        description="Find out what is in somebody's parcel: ask for its shelf, then look at the shelf.",
        tools=[find, look],
        tasks=[Task(key=o, prompt=question(o), answer=code("thing", code("shelf", o))) for o in chosen],
        rubric=[correct],
        limits=Limits(turns=6),
        models={"oracle": for_agents(oracle)},
        default_model="oracle",
    )


async def oracle(messages, tools, task):
    """What a perfect agent does."""
    said = messages[-1]["content"].split()
    if messages[-1]["role"] != "tool":
        return calls("find", owner=task.key)
    return calls("look", shelf=said[-1]) if said[0] == "the" else says(said[-1])
