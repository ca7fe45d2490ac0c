"""Where the independent parts of a stage run: in processes of this machine, or on a Dask cluster."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor

from pipeline.common.processes import workers
from pipeline.common.sections import Cluster
from pipeline.common.stage import StageError

CONNECT_SECONDS = 20


@contextlib.contextmanager
def executor(cluster: Cluster) -> Iterator[Executor]:
    """An executor for submitted calls; calls that have not begun when the block ends are dropped.

    Every machine of a cluster needs this project with its packages, and must see the recordings and the `.work` folder of
    the repository under the same paths.

    Raises:
        StageError: no scheduler answers at the address, or the cluster lost its workers.
    """
    if cluster.dask is None:
        pool = workers()
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    from distributed import Client, KilledWorker, LocalCluster
    from distributed.comm.core import CommClosedError

    with contextlib.ExitStack() as stack:
        address: object = cluster.dask
        if isinstance(cluster.dask, int):
            address = stack.enter_context(
                LocalCluster(n_workers=cluster.dask, threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT_SECONDS))
        except (OSError, TimeoutError) as error:
            raise StageError(
                f"no Dask scheduler answers at cluster.dask={address}: {error}; start one with `dask scheduler`"
            ) from None
        try:
            yield client.get_executor()
        except (KilledWorker, CommClosedError) as error:
            raise StageError(
                f"the Dask cluster lost its workers ({error}); finished parts are kept, `dvc repro` computes the others"
            ) from None
