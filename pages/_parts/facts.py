"""What a text claims about earlier trials, marked where it is not as stored."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas_engine.facts import Fact, checked
from nas_engine.proposals import Tried
from nas_engine.store.rows import BaselineRow
from pages._parts.opening import TRIAL
from pages._parts.text import plain

MOST = 20
"""Wrong claims of one text that are told one by one."""


def show_facts(
    text: str,
    trials: Sequence[Tried],
    baselines: Sequence[BaselineRow] = (),
    incumbent: int | None = None,
    search_id: int | None = None,
) -> None:
    """Draw what the fact check finds in a text; nothing where nothing can be checked.

    Args:
        text: of a language model or a person, which is drawn elsewhere.
        trials: see `facts.checked`, as are the next two.
        baselines: of the search.
        incumbent: when the text was written.
        search_id: of the search, for links to its trials; None: without.
    """
    found = checked(text, trials, baselines, incumbent)
    right = [fact for fact in found if fact.verdict == "right"]
    wrong = [fact for fact in found if fact.verdict == "wrong"]
    if right:
        with st.container(horizontal=True):
            st.caption(f":green[✓] {counted(len(right))} as stored", help=_listed(right))
    for fact in wrong[:MOST]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f":red[**✕ {wrong_text(fact)}**]", width="content")
            if fact.trial is not None and search_id is not None:
                st.page_link(
                    TRIAL,
                    label=f"Trial {fact.trial}",
                    query_params={"trial": f"{search_id}.{fact.trial}"},
                )
    if len(wrong) > MOST:
        st.caption(f"{len(wrong) - MOST} more are not as stored.")


def counted(count: int) -> str:
    """Return how many claims."""
    return f"{count} claim{'s' * (count != 1)}"


def wrong_text(fact: Fact) -> str:
    """Return what is wrong with a claim, for Markdown."""
    return f"{plain(fact.subject)}: says {plain(fact.said, 60)}, stored {plain(fact.stored, 60)}"


def _listed(facts: Sequence[Fact]) -> str:
    shown = [f"- {plain(fact.subject)}: {plain(fact.stored, 60)}" for fact in facts[:MOST]]
    return "\n".join(shown)
