"""Every state, verdict, source and role is a word of the glossary."""

from pathlib import Path

import pytest

from passerelle.acquisition import BELIEF, Role
from passerelle.core.states import FileState, MovieState, PersonState, SessionState, TransferState, Verdict, ZoneState

GLOSSARY = (Path(__file__).resolve().parents[2] / "docs/glossary.md").read_text(encoding="utf-8")
EMPHASISED = {word.strip() for part in GLOSSARY.replace("**", "").split("*")[1::2] for word in part.split(",")}


@pytest.mark.parametrize(
    "words", [FileState, MovieState, SessionState, Verdict, Role, BELIEF, ZoneState, PersonState, TransferState]
)
def test_the_glossary_has_the_word(words):
    assert {str(word) for word in words} <= EMPHASISED


def test_a_word_is_explained_once():
    words = [line.split("|")[1].strip() for line in GLOSSARY.splitlines() if line.startswith("| **")]
    assert len(words) == len(set(words))
