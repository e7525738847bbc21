"""Puts errors into words that a user can act on."""

import errno

_NEXT_STEPS = {
    errno.ENOSPC: "Free some space, then repeat the command.",
    errno.EDQUOT: "Free some of your quota, then repeat the command.",
    errno.EACCES: "Check its permissions.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
    errno.EISDIR: "Check the path.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), then repeat the command.",
}


def error_words(error: Exception) -> str:
    """An error in words: one of ours has them; to what the operating system says, a rule and a next step are added."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    step = _NEXT_STEPS.get(error.errno, "Check the disk and the network, then repeat the command.")
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"A file or a connection must be within reach. Received: {where}{error.strerror}. {step}"
