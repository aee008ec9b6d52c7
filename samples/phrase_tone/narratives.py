"""Short made-up passages, each of one mood, from the phrase lists in ``corpus/``.

Every passage keeps to a single mood, so predicting its next words teaches a language model which words keep company.
The passages name no tone and hold no prompt: they are diary entries, letters, dialogue and plain narration.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

CORPUS = Path(__file__).parent / "corpus"
MOODS = ("grief", "delight", "dread", "astonishment")
HELD_BACK_EVERY = 20
"""One event line in this many is kept out of the training passages and appears in the held-back ones only."""

Lists: TypeAlias = Mapping[str, Sequence[str]]

_WORDS = {"adjectives", "nouns", "verbs", "adverbs", "names", "kin"}
_SENTENCES = {"events", "frames", "filler", "sayings", "closings"}
_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"[A-Za-z']+")
_COMMON = set(
    re.findall(
        r"\S+",
        "a an the and or of to in on at for with from by as i me my we us our he him his she her they them their it its"
        " was were is are had has be been not no that this there then when so but who what did do will would could can"
        " if into out up down all one you your am have i'm",
    )
)
_NEVER_JOTTED = _COMMON | {"sad", "joy", "fear", "surprise"}
_WERE = re.compile(r"\b(we|they|We|They) was\b")
_AN = re.compile(r"\b([Aa]) (?=[aeio]|un(?!i)|um)")
_DAYPARTS = ("morning", "evening", "night", "day", "afternoon", "week", "year", "place", "house", "town", "story")
_HEADINGS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "Diary", "Letter")
_TITLES = ("", "", "### Notes:\n", "### Words:\n", "### Jottings for the day:\n", "### The words are:\n", "- ")
_SHORT = {
    "a": "adjectives",
    "n": "nouns",
    "v": "verbs",
    "d": "adverbs",
    "say": "sayings",
    "time": "times",
    "place": "places",
}
_LINKS = (", and ", ", and then ", " when ", " because ", "; ", ", but still ", " while ", ", so ", " after ")


@dataclass(frozen=True, slots=True)
class Hero:
    """The person whom a passage is about."""

    subject: str
    object: str
    possessive: str
    reflexive: str


_HEROES = (
    Hero("I", "me", "my", "myself"),
    Hero("I", "me", "my", "myself"),
    Hero("she", "her", "her", "herself"),
    Hero("he", "him", "his", "himself"),
    Hero("we", "us", "our", "ourselves"),
    Hero("they", "them", "their", "themselves"),
)


def read_lists(path: Path) -> dict[str, list[str]]:
    """Read the sections of a phrase list: ``[name]`` lines, then one entry a line.

    The sections of single words separate their entries by spaces, those of sentences by lines, and all others by
    semicolons. An entry may hold slots such as ``{name}``; a slot that is no pronoun names the section that fills it.
    """
    sections: dict[str, list[str]] = {}
    entries: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            entries = sections.setdefault(line.strip("[]"), [])
        elif line:
            entries.append(line)
    for name, lines in sections.items():
        if name in _WORDS:
            sections[name] = [word.replace("-", " ") for line in lines for word in line.split()]
        elif name not in _SENTENCES:
            sections[name] = [part.strip() for line in lines for part in line.split(";")]
    return sections


def all_lists() -> dict[str, dict[str, list[str]]]:
    """Read every phrase list of the corpus, by file name."""
    return {name: read_lists(CORPUS / f"{name}.txt") for name in (*MOODS, "everyday")}


def passages(seed: int, *, held_back: bool = False) -> Iterator[str]:
    """Yield passages without end, the moods in random order.

    Args:
        seed: Seed of the whole sequence.
        held_back: Take the events from the lines that training passages never use.
    """
    rng = random.Random(seed)
    lists = all_lists()
    everyday = lists["everyday"]
    moods = {name: _with_events(lists[name], held_back=held_back) for name in MOODS}
    while True:
        yield _Passage(rng, moods[rng.choice(MOODS)], everyday).text()


def _with_events(lists: Lists, *, held_back: bool) -> Lists:
    chosen = [line for number, line in enumerate(lists["events"]) if (number % HELD_BACK_EVERY == 7) == held_back]
    return {**lists, "events": chosen}


class _Passage:
    """One passage in the making: a mood, a hero and a handful of other people."""

    def __init__(self, rng: random.Random, mood: Lists, everyday: Lists) -> None:
        self._rng = rng
        self._mood = mood
        self._everyday = everyday
        self._hero = rng.choice(_HEROES)
        self._names = rng.sample(list(everyday["names"]), 2)
        self._kin = rng.sample(list(everyday["kin"]), 2)

    def text(self) -> str:
        """Write the passage out in one of its layouts: prose, jottings, or prose and then jottings."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.3:
            return self._jottings(rng.randint(8, 30))
        sentences = [self._sentence() for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.3:
            sentences.append(self._fill(rng.choice(self._mood["closings"])))
        prose = " ".join(sentences)
        if kind < 0.75:
            opening = rng.choice(("", f"### {rng.choice(_HEADINGS)}: ", f"### {rng.choice(_HEADINGS)}:\n"))
            return f"{opening}{prose}\n{rng.choice(_TITLES)}{self._jottings(rng.randint(4, 14))}"
        if kind < 0.9:
            return f"{rng.choice(_HEADINGS)}: {prose}"
        return f"Dear {self._names[0]},\n{prose}\nYours, {self._names[1]}"

    def _jottings(self, count: int) -> str:
        """Note down loose words of the mood in no order, which leaves nothing to learn by heart but their company."""
        rng = self._rng
        words: list[str] = []
        while len(words) < count:
            section = rng.choices(("events", "adjectives", "nouns", "verbs", "sayings"), (8, 2, 2, 1, 1))[0]
            content = [word for word in _WORD.findall(self._pick(section)) if word.lower() not in _NEVER_JOTTED]
            words += rng.sample(content, min(len(content), 2))
        rng.shuffle(words)
        return rng.choice((", ", " ")).join(words)

    def _sentence(self) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.4:
            text = self._pick("events")
        elif kind < 0.52:
            text = self._pick("events") + rng.choice(_LINKS) + self._pick("events")
        elif kind < 0.58:
            text = f"{self._pick('filler')}{rng.choice(_LINKS)}{self._pick('events')}"
        elif kind < 0.86:
            text = self._pick("frames")
        elif kind < 0.95:
            saying = self._pick("sayings")
            text = rng.choice((f'"{saying[0].upper()}{saying[1:]}."', f'"{saying[0].upper()}{saying[1:]}!"', saying))
        else:
            text = self._pick("filler")
        text = text[0].upper() + text[1:]
        return text if text.endswith((".", '"', "!")) else text + rng.choice("......!")

    def _pick(self, section: str) -> str:
        entries = self._mood.get(section) or self._everyday[section]
        return self._fill(self._rng.choice(entries))

    def _fill(self, template: str) -> str:
        text = _SLOT.sub(lambda match: self._slot(match[1]), template)
        return _AN.sub(r"\1n ", _WERE.sub(r"\1 were", text))

    def _slot(self, name: str) -> str:
        hero = self._hero
        match name:
            case "s":
                return hero.subject
            case "S":
                return hero.subject.capitalize()
            case "o":
                return hero.object
            case "p":
                return hero.possessive
            case "oself":
                return hero.reflexive
            case "xo":
                return self._rng.choice(("him", "her"))
            case "name":
                return self._rng.choice(self._names)
            case "kin":
                return f"{hero.possessive} {self._rng.choice(self._kin)}"
            case "daypart":
                return self._rng.choice(_DAYPARTS)
            case _:
                return self._pick(_SHORT.get(name, name))
