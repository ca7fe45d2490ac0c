"""Where the independent parts of a stage are worked on: processes of this machine, or a Dask cluster."""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor

from pipeline.sections import Cluster
from pipeline.stage import StageError
from pipeline.workers import workers

CONNECT_SECONDS = 20


@contextlib.contextmanager
def executor(cluster: Cluster) -> Iterator[Executor]:
    """Something that runs submitted calls elsewhere; what has not begun when the block ends is dropped.

    On a cluster of several machines all of them need this project and its packages installed, and must see the
    recordings and the repository's `.work` folder under the same paths.

    Raises:
        StageError: there is no scheduler at the address, or workers of the cluster died at their work.
    """
    if cluster.dask is None:
        pool = workers(os.cpu_count())
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    from distributed import Client, KilledWorker, LocalCluster
    from distributed.comm.core import CommClosedError

    with contextlib.ExitStack() as open_ones:
        address = cluster.dask
        if isinstance(cluster.dask, int):
            address = open_ones.enter_context(
                LocalCluster(n_workers=cluster.dask, threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = open_ones.enter_context(Client(address, timeout=CONNECT_SECONDS))
        except (OSError, TimeoutError) as error:
            raise StageError(
                f"no Dask scheduler answers at cluster.dask={address}: {error}; start one with `dask scheduler`"
            ) from None
        try:
            yield client.get_executor()
        except (KilledWorker, CommClosedError) as error:
            raise StageError(
                f"the Dask cluster lost its workers ({error}); finished parts are kept, `dvc repro` makes the others"
            ) from None
