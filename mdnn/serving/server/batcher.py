"""Queues requests and gathers them into batches, which one computing thread answers in turns."""

import collections
import dataclasses
import sys
import threading
import time
import traceback

from mdnn.serving.requests.request_limits import FAILED, UNAVAILABLE, RefusalError

# After a request has waited for PATIENCE seconds, a batch of its own begins beside the running
# ones, and they take turns step by step; at most BATCHES run at once.
PATIENCE, BATCHES = 0.25, 4

STOPPING = "the server is stopping"


@dataclasses.dataclass(eq=False)
class Job:
    """A request as the computing thread handles it.

    Args:
        key: hashable; jobs of one key may be answered in one batch.
        inputs: dict of arrays `[rows, ...]`.
        rows: int.
        tell: function that is called, from the thread that computes, with `("piece", texts)`,
            the characters by which each row grew, any number of times, and at last once with
            `("end", outputs)`, a dict of arrays `[rows, ...]` or `None` where the pieces are all,
            or with `("error", RefusalError)`.
    """

    key: object
    inputs: dict
    rows: int
    tell: object
    since: float = dataclasses.field(default_factory=time.monotonic)
    over: bool = False

    def piece(self, texts):
        """Reports the characters by which each row grew."""
        if not self.over:
            self.tell(("piece", texts))

    def end(self, outputs=None):
        """Reports that the whole request is answered."""
        self._last(("end", outputs))

    def fail(self, refusal):
        """Reports why there is no answer."""
        self._last(("error", refusal))

    def cancel(self):
        """Drops the job: its client is gone, and nothing more is reported."""
        self.over = True

    def _last(self, event):
        if not self.over:
            self.over = True
            self.tell(event)


class Batcher:
    """Queues jobs and answers them in a thread.

    What one job asks is never mixed with another's: a batch is an ordered list of jobs, whose
    rows lie one after another, and what comes back is cut at the same places.

    Args:
        run: generator function of a list of jobs of one key: answers them, step by step.
        limits: `mdnn.serving.requests.request_limits.RequestLimits`.
    """

    def __init__(self, run, limits):
        self.run, self.limits = run, limits
        self.waiting, self.taken = collections.deque(), set()
        self.changed = threading.Condition()
        self.stopping = False
        self.answered = 0
        self.sizes = collections.Counter()
        # A daemon: a step that TensorFlow has begun cannot be stopped.
        self.thread = threading.Thread(target=self._work, name="mdnn-serve", daemon=True)
        self.thread.start()

    def submit(self, job):
        """Queues a job.

        Raises:
            RefusalError: too many are waiting, or no more are taken.
        """
        with self.changed:
            if self.stopping:
                raise RefusalError(UNAVAILABLE, STOPPING)
            if len(self.waiting) >= self.limits.waiting:
                raise RefusalError(
                    UNAVAILABLE, f"{len(self.waiting)} requests are waiting, no more are accepted"
                )
            self.waiting.append(job)
            self.changed.notify()

    def stop(self):
        """Accepts no more jobs; those accepted before are answered."""
        with self.changed:
            self.stopping = True
            self.changed.notify()

    def tell_all(self):
        """Fails all jobs that are left, because the server is stopping."""
        with self.changed:
            self.stopping = True
            left = [*self.waiting, *self.taken]
            self.waiting.clear()
            self.changed.notify()
        for job in left:
            job.fail(RefusalError(UNAVAILABLE, STOPPING))

    def _work(self):
        batches = collections.deque()
        while True:
            jobs = self._next(len(batches))
            if jobs:
                batches.append((self.run(jobs), jobs))
            elif not batches:
                # All who waited have gone away meanwhile, or the server stops.
                if self.stopping:
                    return
                continue
            steps, jobs = batches.popleft()
            if self._step(steps, jobs):
                batches.append((steps, jobs))

    def _step(self, steps, jobs):
        """Takes one step of a batch and returns whether another one may follow."""
        try:
            if not all(job.over for job in jobs):
                next(steps)
                return True
            # All clients have disconnected.
            steps.close()
        except StopIteration:
            pass
        except RefusalError as refusal:
            for job in jobs:
                job.fail(refusal)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            for job in jobs:
                job.fail(RefusalError(FAILED, f"internal error: {type(error).__name__}"))
        with self.changed:
            self.taken.difference_update(jobs)
            self.answered += len(jobs)
        return False

    def _next(self, batches):
        """Returns the jobs of a new batch; an empty list where begun batches come first."""
        with self.changed:
            if not batches:
                while not self.waiting and not self.stopping:
                    self.changed.wait()
                self._gather()
            while self.waiting and self.waiting[0].over:
                self.waiting.popleft()
            if not self.waiting:
                return []
            first = self.waiting[0]
            patient = time.monotonic() - first.since < PATIENCE
            if batches and (patient or batches >= BATCHES):
                return []
            jobs, rows, rest = [], 0, collections.deque()
            for job in self.waiting:
                if job.over:
                    continue
                fits = job.key == first.key and rows + job.rows <= self.limits.rows
                if job is first or fits:
                    jobs.append(job)
                    rows += job.rows
                else:
                    rest.append(job)
            self.waiting = rest
            self.taken.update(jobs)
            self.sizes[rows] += 1
            return jobs

    def _gather(self):
        """Waits up to `gather` milliseconds for jobs to answer together with the first."""
        end = time.monotonic() + self.limits.gather / 1000
        while not self.stopping and sum(job.rows for job in self.waiting) < self.limits.rows:
            left = end - time.monotonic()
            if left <= 0:
                return
            self.changed.wait(left)
