"""Exchange two folders so that nobody ever finds neither."""

import ctypes
import errno
import os
import sys
from pathlib import Path

_HERE = -100  # AT_FDCWD: paths as they stand
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step of the file system.

    Parameters
    ----------
    one, other : Path
        Both exist, on one file system.

    Returns
    -------
    bool
        False, and nothing has changed, where the system or the file system cannot do it.

    Raises
    ------
    OSError
        The file system refuses: permission lost, a folder is gone.

    Notes
    -----
    Linux: ``renameat2`` with RENAME_EXCHANGE (ext4, xfs, btrfs, tmpfs, overlayfs); macOS:
    ``renamex_np`` with RENAME_SWAP (APFS). NFS and SMB have neither.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as place:
    ...     old, new = Path(place) / "old", Path(place) / "new"
    ...     old.mkdir(), (new / "inside").mkdir(parents=True)
    ...     done = exchange(old, new)
    ...     (old / "inside").is_dir() == done
    (None, None)
    True
    """
    system = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(system, "renameat2"):
        failed = system.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE)
    elif sys.platform == "darwin" and hasattr(system, "renamex_np"):
        failed = system.renamex_np(*names, _EXCHANGE)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
