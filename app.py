"""The dashboard: `streamlit run app.py`."""

import sys
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.pages_manager import PagesManager

from data import actors
from nas_engine.private import keep_to_owner
from pages._parts.people import actor, admit, close_secrets, show_person
from pages._parts.serving import Door, cautions
from pages._parts.waiting import show_waiting

actors.name_by(actor)

if __name__ == "__main__":  # a session: Streamlit runs this file as its script
    st.set_page_config(
        page_title="Informer search",
        page_icon=str(Path(__file__).parent / ".streamlit" / "favicon.png"),
        layout="wide",
    )
    admit()
    page = st.navigation(
        {
            "Search": [
                st.Page(
                    "pages/search/overview.py",
                    title="Overview",
                    url_path="home",
                    help="All searches: state, progress, best value; resume, duplicate, archive.",
                    default=True,
                ),
                st.Page(  # the default page answers at / alone: this one lets /overview lead there
                    "pages/search/overview.py",
                    title="Overview",
                    url_path="overview",
                    visibility="hidden",
                ),
                st.Page(
                    "pages/search/start.py",
                    title="Start",
                    url_path="start",
                    help="Choose data, preset, budget and planner, and start a search.",
                ),
                st.Page(  # Overview leads there while there is no search yet
                    "pages/search/first.py",
                    title="First search",
                    url_path="first",
                    visibility="hidden",
                ),
                st.Page(
                    "pages/search/live.py",
                    title="Live",
                    url_path="live",
                    help="Watch a search: what trains now, what was found, pause and stop.",
                ),
            ],
            "Agent": [
                st.Page(
                    "pages/agent/review.py",
                    title="Review",
                    url_path="review",
                    help="Approve, edit or reject what a planner wants to try.",
                ),
                st.Page(
                    "pages/agent/steer.py",
                    title="Steer",
                    url_path="steer",
                    help="Tell a search something: constraints, words, and what it has learned.",
                ),
                st.Page(
                    "pages/agent/ask.py",
                    title="Ask",
                    url_path="ask",
                    help="Ask about a search; answers rest on its rows, which stand below them.",
                ),
                st.Page(
                    "pages/agent/transcript.py",
                    title="Transcript",
                    url_path="transcript",
                    help="Who proposed, decided, trained and judged each trial, word for word.",
                ),
                st.Page(
                    "pages/agent/hindsight.py",
                    title="Hindsight",
                    url_path="hindsight",
                    help="What other rules would have decided, who was right, and what others "
                    "would have proposed.",
                ),
            ],
            "Results": [
                st.Page(
                    "pages/runs/compare.py",
                    title="Compare",
                    url_path="compare",
                    help="Curves, figures and configurations of trials side by side.",
                ),
                st.Page(
                    "pages/runs/forecast.py",
                    title="Forecast",
                    url_path="forecast",
                    help="Two trials and a baseline on every window, and the steps to come.",
                ),
                st.Page(
                    "pages/runs/trial.py",
                    title="Trial",
                    url_path="trial",
                    help="Everything about one trial, and what can be done with it.",
                ),
                st.Page(
                    "pages/runs/lineage.py",
                    title="Lineage",
                    url_path="lineage",
                    help="The tree of accepted changes, with the effect of each.",
                ),
            ],
            "Workspace": [
                st.Page(
                    "pages/data/data.py",
                    title="Data",
                    url_path="data",
                    help="Known data sets; check a CSV file and add it as a data set of your own.",
                ),
                st.Page(
                    "pages/settings/settings.py",
                    title="Settings",
                    url_path="settings",
                    help="Models, keys, limits, this machine, appearance.",
                ),
            ],
        },
        expanded=True,
    )
    with st.sidebar:
        show_waiting()
        show_person()
    page.run()
else:  # the server: it imports this file once, before any session
    # The mere presence of a folder `pages` puts Streamlit 1.67 into its old multipage mode until
    # st.navigation has run once: the first deep link to a fresh server would be answered with a
    # "Page not found" over the page.
    PagesManager.uses_pages_directory = False
    keep_to_owner()  # what pages write
    close_secrets()
    app = st.App(__file__, middleware=[Middleware(Door)])
    for sentence in cautions():
        sys.stderr.write(f"{sentence}\n")
