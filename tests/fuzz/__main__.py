"""`python -m tests.fuzz --minutes 10`: all targets under the fuzzer, and one table of them."""

from tests.fuzz.guided import TARGETS, main

if __name__ == "__main__":
    main(*TARGETS)
