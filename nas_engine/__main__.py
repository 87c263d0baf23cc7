"""`python -m nas_engine`."""

from nas_engine.cli import main

main()
