"""Starts the local cloud (MiniStack), with two of its waits shortened, two costs that grow with its data
cut, its check of rights mended in two places, and its streams kept over a restart.

`cargo xtask up` runs this inside the `cloud` environment and sets the variables that say where it
listens and keeps its data. With its full waits every call of a function takes 40 to 100 ms; without
them a request through API, function and table takes about 8.

The first argument is the instance; it tells one from another in the list of processes. With a
second one, `--tethered`, the cloud stops when its standard input ends, so that it cannot outlive
the test run that started it, however that one ends.

SIGTERM stops it, and it keeps what it holds. SIGHUP stops it in the same way, and then starts it again
as the same process: so a test can see what a restart does.
"""

import copy
import functools
import gc
import os
import signal
import socketserver
import sys
import threading

import condition_keys
from ministack.app import main
from ministack.core import iam_actions, lambda_runtime
from ministack.services import dynamodb

# Functions fetch their work from a small HTTP server inside the emulator. It writes head and body
# of an answer separately, and Nagle's algorithm holds the second back until the first is acknowledged.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

# After each call the emulator waits for log lines: 50 ms for the first one, and a handler that logs
# nothing pays for all of it. 4 ms is enough for a line that is already on its way; a later one is
# collected with the next call. In order: wait for the first line, quiet time after a line, upper bound.
lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (0.004, 0.002, 0.25)

# The tables are millions of small Python objects that live on. Looking through them for garbage again and
# again takes a good part of the time, and finds none.
gc.set_threshold(200_000, 50, 1_000)

# A query checks the grammar of its condition anew for every item of the partition, which is most of the time
# of a query on a large task. The answer depends on the text alone.
dynamodb._condition_syntax_error = functools.lru_cache(dynamodb._condition_syntax_error)

# What a stream carries outlives a restart on AWS. The emulator keeps how far each function has read, and forgets
# the records: after a restart as many new ones would be passed over as were read before.
state_of_tables, restore_tables = dynamodb.get_state, dynamodb.load_persisted_state


def state_with_streams():
    streams = {"records": dynamodb._stream_records, "trimmed": dynamodb._stream_trimmed}
    return {**state_of_tables(), **{f"stream_{name}": copy.deepcopy(part) for name, part in streams.items()}}


def restore_with_streams(data):
    restore_tables(data)
    if "stream_records" in data:
        dynamodb._stream_records.update(data["stream_records"])
        dynamodb._stream_trimmed.update(data["stream_trimmed"])
        return
    # Saved when streams were not kept yet: new records come behind whatever was read of the old ones.
    for (account, region, table), _ in dynamodb._tables.all_items():
        dynamodb._stream_trimmed.set_scoped(account, region, table, 1_000_000_000)


dynamodb.get_state, dynamodb.load_persisted_state = state_with_streams, restore_with_streams

# On AWS a batch needs the permission of the single call. The emulator asks for one named like the
# batch, which AWS does not have and which therefore no role can hold.
BATCHES = {
    "sns:PublishBatch": "sns:Publish",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
action_of_call = iam_actions.extract_iam_action


def action_on_aws(*call):
    action = action_of_call(*call)
    return BATCHES.get(action, action)


iam_actions.extract_iam_action = action_on_aws
condition_keys.teach()


def stop_with_stdin():
    # Not by way of sys.stdin, whose lock would be held when the interpreter ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def start_again_after_the_end(*_):
    start_again.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    command = [sys.executable, *sys.argv]
    start_again = threading.Event()
    signal.signal(signal.SIGHUP, start_again_after_the_end)
    if "--tethered" in sys.argv:
        threading.Thread(target=stop_with_stdin, daemon=True).start()
    sys.argv[1:] = []  # the emulator reads the command line too
    try:
        main()
    finally:
        if start_again.is_set():
            os.execv(command[0], command)
