"""What must be so before anything is imported."""

import os

# Tests start processes as other users, for which Python forks. gRPC's handlers of forks abort such a child now and then
# when calls are under way, and are of no use to one that runs another program at once. Read when grpc is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
