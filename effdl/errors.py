"""The two ways a command ends badly on purpose; both are shown as one message, never as a traceback."""


class UserError(Exception):
    """A mistake in what the user asked for, found before any work: exit code 2.

    The message names the key or file, its value, and what is allowed.
    """


class RunError(Exception):
    """A run that cannot go on (a loss that is not finite, a full disk): status ``failed``, exit code 1."""


class Hopeless(RunError):
    """A watcher stopped a run that would not end among the best: status ``stopped``."""
