"""Who asks the shop, and what they say: a plan that a seed makes."""

from __future__ import annotations

from random import Random
from typing import Any

CONVERSATIONS = [
    ["Where is my parcel?", "It is order {order}."],
    ["Where is my parcel?", "It is order {order}.", "Thank you, that is all."],
    ["Where is my parcel of {order}?", "Then I want my money back for {order}.", "Thank you, that is all."],
    ["I want my money back for {order}.", "Thank you, that is all."],
    ["I want my money back for {order}.", "And I want my money back for {other}, too.", "Well, that is all."],
    ["I want my money back for {order}."],
    ["Hello.", "I want my money back.", "For {order}.", "And where is {other}?", "Fine, that is all."],
]


def customers(count: int, seed: int, *, leaving: bool = True, alike: bool = True) -> list[dict[str, Any]]:
    """So many customers, over few orders, so that one sees what the others had done. `alike`: by threes to the word."""
    chance = Random(seed)
    made: list[dict[str, Any]] = []
    while len(made) < count:
        order, other = (f"A-{1000 + chance.randrange(60)}" for _ in range(2))
        says = chance.choice(CONVERSATIONS)
        words = [text.format(order=order, other=other) for text in says]
        for _ in range(min(chance.choice([1, 3 if alike else 1]), count - len(made))):
            customer: dict[str, Any] = {"name": f"customer {len(made)}", "says": words, "stream": chance.random() < 0.6}
            if leaving and chance.random() < 0.12:
                customer["leaves"] = {str(chance.randrange(4)): chance.choice(["again", "again", "good"])}
            made.append(customer)
    return made
