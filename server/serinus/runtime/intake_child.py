"""Loads one version in a process of its own, with little to lose, and says how that went."""

import os
import sys

from serinus.runtime.sandbox import enter_sandbox


def main() -> None:
    """Read a request from standard input, write an answer to standard output.

    The arguments are the parent's process number and the seconds of processor time.
    """
    enter_sandbox(parent=int(sys.argv[1]), cpu_s=int(sys.argv[2]))
    answers = os.dup(1)
    os.dup2(2, 1)  # what native code prints must not end up in the answer
    # Only now: libraries start threads, and a process with threads cannot give everything up.
    from serinus.runtime.examination import examine  # noqa: PLC0415
    from serinus.runtime.intake_report import ANSWER, REQUEST  # noqa: PLC0415

    answer = examine(REQUEST.validate_json(sys.stdin.buffer.read()))
    with os.fdopen(answers, "wb") as output:
        output.write(ANSWER.dump_json(answer))
    # Without tidying up, in which a damaged model could still hang.
    os._exit(0)


if __name__ == "__main__":
    main()
