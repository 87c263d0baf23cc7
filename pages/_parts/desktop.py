"""Notes on the desktop when a proposal begins to wait: off until a person switches them on.

Whether they are on, and what has been announced, lies in the browser alone: in its localStorage,
under `nas-notes` and `nas-noted`. The browser asks the person for permission when the switch is
clicked.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from nas_engine.store.inbox import Waiting

_ANNOUNCING = """
const MOST = 500  // announced versions that are remembered

export default function ({ data }) {
  if (localStorage.getItem("nas-notes") !== "on") return
  if (!("Notification" in window) || Notification.permission !== "granted") return
  const noted = JSON.parse(localStorage.getItem("nas-noted") ?? "[]")
  const fresh = data.waiting.filter(({ key }) => !noted.includes(key))
  if (!fresh.length) return
  const kept = [...noted, ...fresh.map(({ key }) => key)].slice(-MOST)
  localStorage.setItem("nas-noted", JSON.stringify(kept))
  for (const { key, text, search } of fresh.slice(0, 3)) {
    const note = new Notification("A proposal waits for you", { body: text, tag: `nas-${key}` })
    note.onclick = () => {
      window.focus()
      window.location.assign(new URL(`review?search=${search}`, document.baseURI))
      note.close()
    }
  }
}
"""

_SWITCH = """
export default function ({ parentElement }) {
  const box = parentElement.querySelector("input")
  const said = parentElement.querySelector(".nas-notes-said")
  const able = "Notification" in window
  const show = (wanted) => {
    const refused = able && Notification.permission === "denied"
    box.disabled = !able || refused
    box.checked = wanted && able && Notification.permission === "granted"
    localStorage.setItem("nas-notes", box.checked ? "on" : "off")
    said.textContent = !able
      ? "This browser has no notifications, or not for this address."
      : refused
        ? "This browser has refused them: allow notifications for this address in its settings."
        : box.checked
          ? "On: as long as a page of the dashboard is open, also in the background."
          : "Off."
  }
  box.onchange = async () => {
    const wanted = box.checked
    if (wanted && Notification.permission === "default") await Notification.requestPermission()
    show(wanted)
  }
  show(localStorage.getItem("nas-notes") === "on")
}
"""

_SWITCH_HTML = """
<label class="nas-notes"><input type="checkbox"> Notify me on this desktop</label>
<p class="nas-notes-said" role="status"></p>
"""

_SWITCH_CSS = """
.nas-notes { display: flex; gap: 0.5rem; align-items: center; color: var(--st-text-color); }
.nas-notes input { accent-color: var(--st-primary-color); width: 1rem; height: 1rem; }
.nas-notes-said { margin: 0.25rem 0 0; color: var(--st-gray-text-color); font-size: 0.875em; }
"""

_ANNOUNCER = st.components.v2.component(
    "nas_announcer", html="<span hidden></span>", js=_ANNOUNCING
)
_SWITCHER = st.components.v2.component(
    "nas_notes", html=_SWITCH_HTML, css=_SWITCH_CSS, js=_SWITCH, isolate_styles=False
)


def announce(found: Sequence[Waiting]) -> None:
    """Let the browser announce what it has not yet, where the person has switched that on."""
    notes = [
        {
            "key": f"{row.proposal_id}.{row.version}.{row.since:.0f}",
            "search": row.search_id,
            "text": f"Trial {row.number} of search {row.search_id}.",
        }
        for row in found
        if not row.asked_again
    ]
    _ANNOUNCER(data={"waiting": notes}, key="waiting-notes", height=1)


def show_switch() -> None:
    """Draw the switch; it says where the browser has refused."""
    _SWITCHER(key="settings-notes")
