"""What the tests of files share."""

import subprocess
import sys

import pytest


@pytest.fixture
def limited():
    """Run code in a process of its own whose files cannot grow beyond `size` bytes; returns its last line."""

    def run(code, size, *arguments):
        head = (
            "import resource, signal, sys\nfrom pathlib import Path\nfrom effdl.utils.errors import RunError\n"
            "from effdl.utils.files import write_json\nfrom effdl.utils.rows import Rows\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
            "path = Path(sys.argv[1])\n"
        )
        tail = "try:\n    work()\n    print('no error')\nexcept RunError as error:\n    print(error)\n"
        done = subprocess.run([sys.executable, "-c", head + code + tail, *map(str, arguments)], capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    return run
