"""Read each given model as the converter's child process does; print one line of JSON for each, when it is done.

Run by test_fuzz as ``python fuzz_child.py OPTIONS PATH…``: a crash ends it at the file that caused it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

SECONDS = 300  # for one file, on a machine that is busy with something else


def main(options, paths):
    import logging

    from cvsr.errors import CvsrError
    from cvsr_converters import sources
    from cvsr_converters.conversion import child, convert, trace

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    logging.disable(logging.ERROR)
    child._limit_memory(convert.MEMORY)
    out, sys.stdout = sys.stdout, sys.stderr
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("it hangs")))
    for path in map(Path, paths):
        begun, said = time.monotonic(), ""
        signal.alarm(SECONDS)
        try:
            net = sources.read(sources.find(path), path, sources.Options(**options))
            result = "read"
            trace.graph_at(net, (16, 24))
        except CvsrError as error:
            result, said = "refused", str(error)
        except Exception as error:
            result, said = type(error).__name__, str(error)
        signal.alarm(0)
        line = {"path": str(path), "result": result, "said": said[:500], "seconds": time.monotonic() - begun}
        out.write(json.dumps(line) + "\n")
        out.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
