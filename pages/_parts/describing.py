"""The form for name, tags and notes of a search.

It keeps what a person types while somebody else describes the same search: saving names the
edition that was drawn, and an older one overwrites nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from pydantic import ValidationError

from nas_engine.commands import Describe
from nas_engine.labels import describe
from nas_engine.store.rows import SearchRow
from nas_engine.store.schema import StoreError
from nas_engine.supervisor import Answer
from pages._parts.opening import leave, settings
from pages._parts.people import acting
from pages._parts.renewal import key_now, renew
from pages._parts.text import readable

FIELDS = ("name", "tags", "notes")


def show_description(search: SearchRow, tags: Sequence[str], answer: str) -> None:
    """Draw the form.

    Args:
        search: as it stands.
        tags: those of all searches, to choose from.
        answer: where the answer is left, see `opening.leave`.
    """
    prefix = f"describe-{search.id}"
    name, labels, notes = (key_now(f"{prefix}-{field}") for field in FIELDS)
    if name not in st.session_state:  # the form is opened: what was typed has gone
        st.session_state[f"{prefix}-edition"] = search.edition
    begun = st.session_state.setdefault(f"{prefix}-edition", search.edition)
    st.text_input("Name", search.name, key=name, max_chars=200)
    st.multiselect(
        "Tags",
        sorted({*tags, *search.tags}),
        search.tags,
        key=labels,
        accept_new_options=True,
        max_selections=20,
        placeholder="Choose tags or write new ones",
    )
    st.text_area("Notes", search.notes, key=notes, max_chars=20_000, height=120)
    if begun != search.edition:
        show_other(search, prefix)
    st.button(
        "Save" if begun == search.edition else "Save mine over it",
        type="primary",
        key=f"{prefix}-save",
        on_click=_save,
        args=(search, answer),
        **acting(),
    )


def show_other(search: SearchRow, prefix: str) -> None:
    """Tell what somebody else has said of the search since the form was opened."""
    st.warning("Somebody else has described this search meanwhile. Stored now:")
    tags = ", ".join(search.tags) or "none"
    st.text(readable(f"Name: {search.name or 'none'}\nTags: {tags}\nNotes: {search.notes}"))
    st.button("Take what is stored", key=f"{prefix}-take", on_click=_take, args=(search,))


def _take(search: SearchRow) -> None:
    """Fill the form with what is stored."""
    prefix = f"describe-{search.id}"
    st.session_state[f"{prefix}-edition"] = search.edition
    for name in FIELDS:
        renew(f"{prefix}-{name}", getattr(search, name))


def _save(search: SearchRow, answer: str) -> None:
    """Save what the form holds now; the edition is the one that was drawn."""
    prefix = f"describe-{search.id}"
    held = {name: st.session_state[key_now(f"{prefix}-{name}")] for name in FIELDS}
    try:
        command = Describe.model_validate({**held, "edition": search.edition})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        leave(answer, Answer(False, f"{fault['loc'][0]}: {fault['msg']}.", search.id))
        return
    leave(answer, say(command, search.id))


def say(command: Describe, search_id: int) -> Answer:
    """Describe a search; where the database cannot be used the answer says so."""
    try:
        said = describe(settings().workspace, search_id, command)
    except StoreError as error:
        return Answer(False, str(error), search_id)
    if said.ok:  # the new edition is one's own: the form begins from it
        st.session_state.pop(f"describe-{search_id}-edition", None)
    return said
