"""What a method may leave behind in the process, and what not."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from benchmark.run.guards.process.kept import kept


def test_threads_that_keep_the_process_from_ending_are_told() -> None:
    """A pool's that wait for work do not, as torch's compiler has some; one that works does."""
    said: list[str] = []
    done, began = threading.Event(), threading.Event()
    pool = ThreadPoolExecutor(2)

    def work() -> None:
        began.set()
        done.wait(20)

    try:
        with kept("loss()", said.append):
            pool.submit(int).result()
            time.sleep(0.05)  # it has a result before it waits again
        assert said == []
        with kept("loss()", said.append):
            pool.submit(work)
            began.wait(20)
        assert "threads (one still runs)" in said.pop()
        with kept("loss()", said.append):
            threading.Thread(target=done.wait, args=(20,)).start()
        assert "threads (one still runs)" in said.pop()
    finally:
        done.set()
        pool.shutdown()
