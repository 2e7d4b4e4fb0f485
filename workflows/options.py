"""How long we wait for each kind of room, and how stubbornly we ask again.

Nothing here gives up: what is due must be done, however long a room is out of reach. An answer that can never change (a
DomainError) is not asked for twice.
"""

from datetime import timedelta

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityConfig

STORE = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=20),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(minutes=1)),
)
# A worker that dies is missed after this time; at most three calls are made in it, each with PROVIDER_CALL to answer.
PROVIDER_CALL = timedelta(seconds=8)
PROVIDER = ActivityConfig(
    start_to_close_timeout=timedelta(seconds=30),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1)),
)
