"""What must be so before anything is imported."""

import os

from hypothesis import HealthCheck, settings

# Tests start processes as other users, for which Python forks. gRPC's handlers of forks abort such a child now and then
# when calls are under way, and are of no use to one that runs another program at once. Read when grpc is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# How long an example takes, or its making, says how busy the machine is: no property here is one of time.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")
