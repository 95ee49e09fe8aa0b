"""Wiki markup as a reader reads it."""

from __future__ import annotations

import pytest

from drawbar_wiki_search.indexing.markup import plain_text, to_text


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        ("'''Bold''' and ''italic''.", "Bold and italic."),
        ("See [[Paris]] and [[Lyon|the city]].", "See Paris and the city."),
        ("A [https://example.org/ site] and [https://example.org/].", "A site and."),
        ("It is {{convert|5|km|mi|0}} long.", "It is 5 km long."),
        ("It is {{convert|5|to|10|km|mi}} long.", "It is 5 to 10 km long."),
        ("He was {{convert|6|ft|2|in|cm}} tall.", "He was 6 ft 2 in tall."),
        ("From {{lang|el|ἀρχή}} and {{lang-la|regnum}}.", "From ἀρχή and regnum."),
        ("Born {{birth date|1879|3|14|df=yes}} in Ulm.", "Born 14 March 1879 in Ulm."),
        ("Built {{circa|1200}}, {{nowrap|10 000}} men.", "Built c. 1200, 10 000 men."),
        ("A{{snd}}B{{mdash}}C", "A – B—C"),
        ("{{As of|2010|5}}, {{frac|3|4}} of it.", "As of May 2010, 3/4 of it."),
        ("{{val|1.5|e=6|u=m}} and {{chem|H|2|O}}.", "1.5 × 10^6 m and H2O."),
        ("The {{USS|Iowa}} and {{ship|HMS|Victory}}.", "The USS Iowa and HMS Victory."),
        ("{{nihongo|Tokyo|東京|Tōkyō}} is big.", "Tokyo (東京, Tōkyō) is big."),
        ("Water (H<sub>2</sub>O), 10<sup>6</sup>.", "Water (H2O), 10⁶."),
        ("A&nbsp;B &amp; C", "A B & C"),
        ("Fact.<ref name=a>{{cite web|url=x}}</ref> More.<ref name=a/>", "Fact. More."),
        ("A word ({{IPAc-en|w|ɜː}}; said so) here.", "A word (said so) here."),
        ("A word ({{IPAc-en|w}}) here.", "A word here."),
        ("<math>\\frac{a}{b} = \\alpha</math>", "(a)/(b) = alpha"),
        ("<nowiki>''as is''</nowiki>", "as is"),
    ],
)
def test_inline_markup_becomes_what_it_says(markup: str, said: str) -> None:
    assert to_text(markup) == said


@pytest.mark.parametrize(
    "markup",
    [
        "{{Infobox person|name=X|born={{birth date|1900|1|1}}}}",
        "{| class=wikitable\n! a\n|-\n| b\n|}",
        "[[File:X.jpg|thumb|A [[caption]] with {{convert|5|km}}]]",
        "[[Category:People]]",
        "[[fr:Paris]]",
        "<!-- a comment -->",
        "<gallery>\nFile:a.jpg|One\n</gallery>",
        "__NOTOC__",
        "{{cite book|title=A|year=2000}}",
        "{{unknown template|x|y=z}}",
    ],
)
def test_what_is_not_prose_leaves_nothing(markup: str) -> None:
    assert to_text(f"Before.\n\n{markup}\n\nAfter.") == "Before.\n\nAfter."


def test_headings_keep_their_depth_and_lists_are_lines() -> None:
    text = to_text("Lead.\n== History ==\n=== [[Early]] days ===\n* one\n** two\n# three\n; term : meaning")
    assert text.split("\n\n") == ["Lead.", "## History", "### Early days", "- one\n- two\n- three\nterm meaning"]


def test_sections_that_only_point_elsewhere_are_dropped_with_their_subsections() -> None:
    text = to_text(
        "Lead.\n== See also ==\n* [[X]]\n== Life ==\nLived.\n== References ==\n=== Books ===\nB.\n== Legacy ==\nL."
    )
    assert text.split("\n\n") == ["Lead.", "## Life", "Lived.", "## Legacy", "L."]


@pytest.mark.parametrize(
    "markup",
    ["{{" * 60 + "x", "[[" * 60, "{|\n" * 30 + "| x", "<ref>" * 50, "<div>" * 200 + "x", "'''''x''", "}}]]|}"],
)
@pytest.mark.parametrize("reader", [to_text, plain_text])
def test_broken_markup_gives_text_without_marks(markup: str, reader: object) -> None:
    assert callable(reader)
    text = reader(f"Before.\n\n{markup}")
    assert "Before." in text
    assert not any(mark in text for mark in ("{{", "}}", "[[", "]]", "{|", "|", "'''"))


def test_the_rough_reading_finds_headings_links_and_no_templates() -> None:
    text = plain_text("'''A''' {{x|{{y}}}} is [[B|c]]<ref>d</ref>.\n== E ==\n* f\n{| \n| g\n|}\n== References ==\nh")
    assert text == "A is c.\n## E\n- f"
