"""The same work over several connections at once, and what it took."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count


def take_turns(connections: Sequence[Callable[[int], None]], seconds: float, first: int) -> None:
    """Have each connection carry message after message, numbered from `first`; print one line:

    {"carried": …, "seconds": …, "cpu_s": …, "waits_s": […]}.
    """
    numbers, taking = count(first), threading.Lock()
    waits: list[float] = []
    failures: list[BaseException] = []
    began, cpu = time.perf_counter(), time.process_time()
    until = began + seconds

    def work(carry: Callable[[int], None]) -> None:
        try:
            while (sent := time.perf_counter()) < until:
                with taking:
                    number = next(numbers)
                carry(number)
                waits.append(time.perf_counter() - sent)
        except BaseException as failure:  # told below: a thread of its own would end in silence
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(each,)) for each in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    told = {
        "carried": len(waits),
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "waits_s": [round(wait, 6) for wait in waits],
    }
    sys.stdout.write(json.dumps(told) + "\n")
