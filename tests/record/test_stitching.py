"""The tree of calls: each follows the one whose request is the longest known beginning of its own."""

from __future__ import annotations

import orjson
import pytest

from drawbar.record.graph import SessionGraph
from drawbar.record.stitching import CallTree, Place, Turn, begins_reply
from drawbar.wire import CHAT, GEMINI, MESSAGES, RESPONSES
from drawbar.wire.dialect import Dialect


def user(text: str) -> bytes:
    return orjson.dumps({"role": "user", "content": text})


def assistant(text: str, **more: object) -> bytes:
    return orjson.dumps({"role": "assistant", "content": text, **more})


class Talk:
    """A session whose calls are made by hand."""

    def __init__(self, dialect: Dialect = CHAT) -> None:
        self.dialect = dialect
        self.graph = SessionGraph()
        self.tree: CallTree[str] = CallTree()

    def ask(self, name: str, *messages: bytes, thread: str | None = None) -> Place[str]:
        """A request; where it stands."""
        path, _ = self.graph.request(self.dialect, messages)
        place = self.tree.find(self.dialect, path, messages, thread)
        self.turn = Turn(name, "session", path[-1], thread)
        self.tree.add(self.turn, place)
        return place

    def answer(self, message: bytes, turn: Turn[str] | None = None) -> None:
        turn = turn or self.turn
        node, _, _ = self.graph.reply(self.dialect, turn.leaf, message)
        self.tree.replied(turn, node, self.dialect, message)

    def fail(self, *messages: bytes) -> None:
        """The last call, which asked this, comes to nothing."""
        self.turn.open = False
        path, _ = self.graph.request(self.dialect, messages)
        self.tree.broke_off(self.turn, path[-2] if len(path) > 1 else None, self.dialect, messages[-1])

    def exchange(
        self, name: str, *messages: bytes, reply: bytes, thread: str | None = None
    ) -> tuple[str | None, object]:
        place = self.ask(name, *messages, thread=thread)
        self.answer(reply)
        return (place.follows.call if place.follows is not None else None), place.edge


@pytest.fixture
def talk() -> Talk:
    return Talk()


A = user("a")


def test_the_first_call_follows_none(talk: Talk) -> None:
    assert talk.exchange("1", A, reply=assistant("b")) == (None, None)


def test_a_call_follows_the_one_whose_reply_it_carries(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b"))
    assert talk.exchange("2", A, assistant("b"), user("c"), reply=assistant("d")) == ("1", "exact")
    assert talk.exchange("3", A, assistant("b"), user("c"), assistant("d"), user("e"), reply=assistant("f")) == (
        "2",
        "exact",
    )


def test_a_reply_in_other_bytes_is_the_same_reply(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b", refusal=None))
    assert (
        talk.ask("2", A, b'{"content": [{"type": "text", "text": "b"}], "role": "assistant"}', user("c")).edge
        == "exact"
    )


def test_a_reply_that_comes_back_without_its_reasoning_is_marked_so(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b", reasoning_content="because"))
    assert talk.exchange("2", A, assistant("b"), user("c"), reply=assistant("d")) == ("1", "without_reasoning")


def test_a_reply_that_comes_back_with_its_reasoning_is_exact(talk: Talk) -> None:
    said = assistant("b", reasoning_content="because")
    talk.exchange("1", A, reply=said)
    assert talk.ask("2", A, said, user("c")).edge == "exact"


def test_reasoning_of_anthropics_models_counts_as_such() -> None:
    talk = Talk(MESSAGES)
    think = {"type": "thinking", "thinking": "because", "signature": "s"}
    words = {"type": "text", "text": "b"}
    talk.exchange("1", A, reply=orjson.dumps({"role": "assistant", "content": [think, words]}))
    assert (
        talk.ask("2", A, orjson.dumps({"role": "assistant", "content": [words]}), user("c")).edge == "without_reasoning"
    )


def test_a_reply_in_other_words_is_rewritten(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b"))
    assert talk.exchange("2", A, assistant("B!"), user("c"), reply=assistant("d")) == ("1", "rewritten")


def test_a_request_that_goes_on_without_the_reply_follows_by_none_of_it(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b"))
    assert talk.exchange("2", A, user("never mind"), reply=assistant("d")) == ("1", "none")


def test_another_beginning_is_another_root(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b"))
    assert talk.exchange("2", user("z"), assistant("b"), user("c"), reply=assistant("d")) == (None, None)


def test_a_shared_instruction_alone_is_no_call_to_follow(talk: Talk) -> None:
    system = orjson.dumps({"role": "system", "content": "be brief"})
    talk.exchange("1", system, A, reply=assistant("b"))
    assert talk.ask("2", system, user("z")).follows is None


def test_a_repetition_stands_beside_the_call_that_it_repeats(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b"))
    talk.ask("2", A, assistant("b"), user("c"))  # fails
    assert talk.exchange("3", A, assistant("b"), user("c"), reply=assistant("d")) == ("1", "exact")
    assert (
        talk.ask("4", A, assistant("b"), user("c"), assistant("d"), user("e")).follows
        is talk.tree.same(talk.graph.request(CHAT, [A, assistant("b"), user("c")])[0][-1])[1]
    )


def test_of_calls_that_began_alike_the_one_is_followed_whose_reply_comes_next(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b1"))
    talk.exchange("2", A, reply=assistant("b2"))
    assert talk.exchange("3", A, assistant("b1"), user("c"), reply=assistant("d")) == ("1", "exact")


def test_of_calls_that_were_alike_to_the_last_the_newest_that_nothing_follows_is_followed(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b"))
    talk.exchange("2", A, reply=assistant("b"))
    assert talk.exchange("3", A, assistant("b"), user("c"), reply=assistant("d")) == ("2", "exact")
    assert talk.exchange("4", A, assistant("b"), user("c"), reply=assistant("d")) == ("1", "exact")
    assert talk.exchange("5", A, assistant("b"), user("z"), reply=assistant("d")) == ("2", "exact")


def test_threads_that_began_alike_are_kept_apart_by_their_names(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("b"), thread="one")
    talk.exchange("2", A, reply=assistant("b"), thread="two")
    assert talk.exchange("3", A, assistant("b"), user("c"), reply=assistant("d"), thread="one") == ("1", "exact")
    assert talk.exchange("4", A, assistant("b"), user("c"), reply=assistant("d"), thread="two") == ("2", "exact")


def test_what_came_of_a_reply_that_broke_off_can_be_followed(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("half a"))
    assert talk.ask("2", A, assistant("half a"), user("go on")).edge == "exact"


def test_items_of_a_turn_in_the_responses_dialect_are_one_reply() -> None:
    talk = Talk(RESPONSES)
    say = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}
    use = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    result = orjson.dumps({"type": "function_call_output", "call_id": "c1", "output": "1"})
    talk.exchange("1", A, reply=orjson.dumps([say, use]))
    assert talk.ask("2", A, orjson.dumps([say, use]), result).edge == "exact"


def test_a_tree_forgets_the_oldest_calls_first() -> None:
    talk = Talk()
    talk.tree = CallTree(most=10)
    for n in range(30):
        talk.exchange(str(n), user(str(n)), reply=assistant("b"))
    assert talk.ask("x", user("0"), assistant("b"), user("c")).follows is None
    assert talk.ask("y", user("29"), assistant("b"), user("c")).edge == "exact"


def test_the_calls_of_sessions_that_are_over_are_forgotten() -> None:
    talk = Talk()
    talk.exchange("1", A, reply=assistant("b"))
    talk.tree.forget(["another"])
    assert talk.ask("2", A, assistant("b"), user("c")).follows is not None
    talk.tree.forget(["session"])
    assert talk.ask("3", A, assistant("b"), user("d")).follows is None


def uses(*calls: tuple[str, str], text: str | None = None) -> bytes:
    """A reply that calls a tool under these ids, each with a town."""
    made = [
        {
            "id": id,
            "type": "function",
            "function": {"name": "weather", "arguments": orjson.dumps({"town": town}).decode()},
        }
        for id, town in calls
    ]
    return orjson.dumps({"role": "assistant", "content": text, "tool_calls": made})


def result(id: str) -> bytes:
    return orjson.dumps({"role": "tool", "tool_call_id": id, "content": "It rains."})


def torn(talk: Talk, name: str, *messages: bytes, reply: bytes | None = None) -> None:
    """A call whose reply breaks off."""
    talk.ask(name, *messages)
    talk.turn.open = False
    if reply is not None:
        talk.answer(reply)


def test_words_of_a_torn_reply_that_are_joined_to_the_next_follow_that_one(talk: Talk) -> None:
    torn(talk, "1", A, reply=uses(("x1", "Ba"), text="Now the others."))
    resume = user("The connection dropped. Resume directly.")
    assert talk.exchange("2", A, assistant("Now the others."), resume, reply=uses(("c1", "Bath"))) == ("1", "rewritten")
    joined = uses(("c1", "Bath"), text="Now the others.")
    assert talk.exchange("3", A, joined, result("c1"), reply=assistant("Done.")) == ("2", "rewritten")


def test_tool_calls_of_a_torn_reply_and_of_its_repetition_in_one_message_follow_the_repetition(talk: Talk) -> None:
    torn(talk, "1", A, reply=uses(("x1", "Bath"), ("x2", "")))
    talk.exchange("2", A, reply=uses(("c1", "Bath"), ("c2", "Bruges")))
    merged = uses(("x1", "Bath"), ("x2", ""), ("c1", "Bath"), ("c2", "Bruges"))
    assert talk.exchange("3", A, merged, result("c2"), reply=assistant("Done.")) == ("2", "rewritten")


def test_a_torn_reply_that_stays_in_the_history_before_its_repetition_is_not_the_one_that_is_followed(
    talk: Talk,
) -> None:
    torn(talk, "1", A, reply=uses(("x1", "Bath")))
    talk.exchange("2", A, reply=uses(("c1", "Bath")))
    history = uses(("x1", "Bath")), result("x1"), uses(("c1", "Bath")), result("c1")
    assert talk.ask("3", A, *history).follows is talk.tree.same(talk.graph.request(CHAT, [A])[0][-1])[1]


def test_a_reply_whose_ids_its_agent_drops_is_said_again_whole() -> None:
    talk = Talk(GEMINI)

    def ask(id: str | None, *, thought: bool = False) -> bytes:
        call = {"name": "weather", "args": {"town": "Ghent"}, **({"id": id} if id else {})}
        thoughts = [{"text": "Hm.", "thought": True}] if thought else []
        return orjson.dumps({"role": "model", "parts": [*thoughts, {"functionCall": call}]})

    prompt = orjson.dumps({"role": "user", "parts": [{"text": "a"}]})
    talk.exchange("1", prompt, reply=ask("c1"))
    assert talk.exchange("2", prompt, ask(None), prompt, reply=ask("c2", thought=True)) == ("1", "exact")
    assert talk.ask("3", prompt, ask(None), prompt, ask(None), prompt).edge == "without_reasoning"


def test_calls_told_as_text_are_known_by_their_ids(talk: Talk) -> None:
    for call in ("1", "2"):
        talk.exchange(call, A, reply=uses((f"call_of_{call}", "Ghent")))
    for call in ("1", "2"):
        told = assistant(f"Calling tools: [{{'id': 'call_of_{call}', 'town': 'Ghent'}}]")
        assert talk.exchange(f"after {call}", A, told, user("It rains."), reply=assistant("ok")) == (call, "rewritten")


def test_calls_told_as_text_without_ids_are_each_followed_once(talk: Talk) -> None:
    for call in ("1", "2"):
        talk.exchange(call, A, reply=uses(("c", "Ghent")))
    told = assistant("Calling tools: weather in Ghent")
    followed = [talk.exchange(f"after {n}", A, told, user("It rains."), reply=uses(("d", "Bath"))) for n in (1, 2)]
    assert sorted(str(call) for call, _ in followed) == ["1", "2"]


def blocks(*texts: str) -> bytes:
    said = [{"type": "text", "text": text} for text in texts]
    said[-1]["cache_control"] = {"type": "ephemeral"}  # type: ignore[assignment]
    return orjson.dumps({"role": "user", "content": said})


def test_what_was_not_answered_is_followed_by_a_message_that_says_more() -> None:
    talk = Talk(MESSAGES)
    talk.ask("1", blocks("a"))
    talk.fail(blocks("a"))
    place = talk.ask("2", blocks("a", "b"))
    assert place.follows is not None
    assert (place.follows.call, place.edge) == ("1", "none")
    talk.answer(assistant("c"))
    asked = [blocks("a", "b"), assistant("c"), blocks("d")]
    assert talk.ask("3", *asked).edge == "exact"
    talk.fail(*asked)
    place = talk.ask("4", *asked[:2], blocks("d", "Your response was cut off."))
    assert place.follows is not None
    assert (place.follows.call, place.edge) == ("3", "none")


def test_only_a_longer_message_of_the_same_thread_goes_on_from_what_was_not_answered() -> None:
    talk = Talk(MESSAGES)
    talk.ask("1", blocks("a", "b"))
    assert talk.ask("open", blocks("a", "b", "c")).follows is None  # "1" may still be answered
    talk.turn = talk.tree.same(talk.graph.request(MESSAGES, [blocks("a", "b")])[0][-1])[0]
    talk.fail(blocks("a", "b"))
    assert talk.ask("2", blocks("a", "b")).follows is None
    assert talk.ask("3", blocks("a")).follows is None
    assert talk.ask("4", blocks("b", "a", "c")).follows is None
    assert talk.ask("5", blocks("a", "b", "c"), thread="another").follows is None
    place = talk.ask("6", blocks("a", "b", "c"))
    assert place.follows is not None
    assert place.follows.call == "1"


def test_few_failures_are_remembered_after_one_message() -> None:
    talk = Talk(MESSAGES)
    for n in range(20):
        talk.ask(str(n), blocks(str(n)))
        talk.fail(blocks(str(n)))
    assert talk.ask("x", blocks("0", "more")).follows is None
    place = talk.ask("y", blocks("19", "more"))
    assert place.follows is not None
    assert place.follows.call == "19"
    talk.tree.forget(["session"])
    assert talk.ask("z", blocks("18", "more")).follows is None


def test_a_history_that_was_written_anew_is_known_by_the_replies_in_it(talk: Talk) -> None:
    system = orjson.dumps({"role": "system", "content": "It is noon."})
    said = uses(("c1", "Ghent")), result("c1"), assistant("Yes.")
    talk.exchange("1", system, A, reply=said[0])
    talk.exchange("2", system, A, *said[:2], reply=said[2])
    later = orjson.dumps({"role": "system", "content": "It is one o'clock."})
    assert talk.exchange("3", later, A, *said, user("b"), reply=assistant("No.")) == ("2", "rewritten")
    assert talk.ask("4", later, A, *said, user("b"), assistant("No."), user("c")).edge == "exact"


def test_a_result_that_a_resume_sends_twice_does_not_hide_the_turns_after_it(talk: Talk) -> None:
    said = uses(("c1", "Ghent")), result("c1"), assistant("Yes."), user("b"), assistant("No.")
    talk.exchange("1", A, reply=said[0])
    talk.exchange("2", A, *said[:2], reply=said[2])
    talk.exchange("3", A, *said[:4], reply=said[4])
    assert talk.exchange("4", A, said[0], result("c1"), *said[1:], user("c"), reply=A) == ("3", "rewritten")


def test_short_answers_alone_make_no_conversation_known(talk: Talk) -> None:
    talk.exchange("1", A, reply=assistant("Yes."))
    assert talk.ask("2", user("z"), assistant("Yes."), user("c")).follows is None


def test_a_clients_notes_to_itself_change_no_message(talk: Talk) -> None:
    said = A, uses(("c1", "Ghent"))
    talk.exchange("1", A, reply=said[1])
    talk.exchange("2", *said, result("c1"), reply=assistant("Yes."))
    noted = orjson.dumps({**orjson.loads(result("c1")), "__copilotMessageSource": {"kind": "mcp"}})
    assert talk.ask("3", *said, noted, assistant("Yes."), user("b")).edge == "exact"


def test_a_reply_whose_beginning_was_asked_with_comes_back_as_one_with_it() -> None:
    """Codex' ways: what came whole of a reply that broke off stays, and the next reply stands beside it."""
    talk = Talk(RESPONSES)
    words = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": t}]} for t in "bc"]
    cut = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x'}
    talk.exchange("1", A, reply=orjson.dumps([words[0], cut]))
    talk.turn.open = False  # it broke off
    place = talk.ask("2", A, orjson.dumps([words[0]]))
    assert place.follows is not None
    assert (place.follows.call, place.edge) == ("1", "rewritten")
    assert begins_reply(RESPONSES, orjson.dumps([words[0]]))
    talk.turn.begun = RESPONSES, orjson.dumps([words[0]])
    talk.turn.open, talk.turn.answered = False, True
    talk.answer(orjson.dumps([words[1]]))
    place = talk.ask("3", A, orjson.dumps(words), user("d"))
    assert place.follows is not None
    assert (place.follows.call, place.edge) == ("2", "exact")
    assert not begins_reply(CHAT, user("an assistant said so"))
