from drawbar import Environment, Task
from drawbar.testing import calls, for_agents, says


async def count_letters(word: str) -> int:
    """How many letters a word has."""
    return len(word)


def correct(completion: str, answer: str) -> bool:
    return completion.split()[-1:] == [answer]


async def oracle(messages, tools, task):
    return says(messages[-1]["content"]) if messages[-1]["role"] == "tool" else calls("count_letters", word=task.key)


environment = Environment(
    name="word_lengths",
    tools=[count_letters],
    tasks=(Task(key=w, prompt=f"How many letters has {w!r}?", answer=str(len(w))) for w in ("drawbar", "harness")),
    rubric=[correct],
    models={"oracle": for_agents(oracle)},
    default_model="oracle",
)
