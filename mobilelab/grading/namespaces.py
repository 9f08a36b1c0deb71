"""Give a process a small world of its own: mounts, no capabilities, a filter on system calls."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from pathlib import Path

libc = ctypes.PyDLL(None, use_errno=True)


NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000


NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000


RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18


#: The number of the user that a student's code believes to be.
USER = 1000


#: Folders in which a child may write; each is a small file system in memory.
WRITABLE = ("/home/student", "/tmp", "/dev/shm")


#: System calls that no exercise needs, by number on x86-64 and on arm64. Some let memory grow
#: where no limit counts it, the others widen what a child can try against the kernel.
FORBIDDEN = {
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "userfaultfd": (323, 282),
    "bpf": (321, 280), "perf_event_open": (298, 241), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "mount": (165, 40), "umount2": (166, 39),
    "unshare": (272, 97), "setns": (308, 268), "pivot_root": (155, 41), "chroot": (161, 51),
    "io_uring_setup": (425, 425), "open_by_handle_at": (304, 265), "kexec_load": (246, 104),
    "init_module": (175, 105), "finit_module": (313, 273), "pidfd_getfd": (438, 438),
    "shmget": (29, 194), "msgget": (68, 186), "fsopen": (430, 430), "move_mount": (429, 429),
}  # fmt: skip


def must(result: int, what: str) -> int:
    """The result of a call to the C library; an OSError that names ``what`` where it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = [text.encode() for text in (source, target, kind)]
    must(libc.mount(*arguments, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def _drop_capabilities() -> None:
    for number in range(64):
        libc.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP
    libc.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, clear all
    header = struct.pack("Ii", 0x20080522, 0)
    must(libc.capset(header, struct.pack("6I", *[0] * 6)), "capset")
    must(libc.prctl(38, 1, 0, 0, 0), "no_new_privs")


def _forbid_calls() -> None:
    """A seccomp filter: the calls of FORBIDDEN, and those of another architecture, fail."""
    machines = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
    if platform.machine() not in machines:
        return
    column, arch = machines[platform.machine()]
    numbers = sorted(pair[column] for pair in FORBIDDEN.values())
    allow, refuse, no_such_call = 0x7FFF0000, 0x00050001, 0x00050026

    def instruction(code: int, yes: int, no: int, k: int) -> bytes:
        return struct.pack("HBBI", code, yes, no, k)

    program = [
        instruction(0x20, 0, 0, 4),  # the architecture
        instruction(0x15, 1, 0, arch),
        instruction(0x06, 0, 0, 0x80000000),  # another one: end the process
        instruction(0x20, 0, 0, 0),  # the number of the call
    ]
    if column == 0:
        program += [instruction(0x35, 0, 1, 0x40000000), instruction(0x06, 0, 0, refuse)]  # x32
    program += [instruction(0x15, 0, 1, 435), instruction(0x06, 0, 0, no_such_call)]  # clone3
    for number in numbers:
        program += [instruction(0x15, 0, 1, number), instruction(0x06, 0, 0, refuse)]
    # clone() itself may not ask for a new user namespace: its flags are the first argument.
    clone = (56, 220)[column]
    program += [
        instruction(0x15, 0, 3, clone),
        instruction(0x20, 0, 0, 16),
        instruction(0x45, 0, 1, NEWUSER),
        instruction(0x06, 0, 0, refuse),
        instruction(0x06, 0, 0, allow),
    ]
    code = b"".join(program)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    must(libc.prctl(22, 2, ctypes.c_char_p(head), 0, 0), "seccomp")


def seal(limits: dict, user: int, group: int) -> None:
    """Give this process, the first of its namespaces, a small world of its own.

    Called right after ``clone``: it still has every capability over its new namespaces, and has
    none at the end.
    """
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{USER} {group} 1")
    _mount("none", "/", "", REC | PRIVATE)
    # A Python that lives below /tmp has to be there afterwards too.
    kept = [(path, os.open(path, os.O_PATH)) for path in limits["seen"]]
    for folder in WRITABLE:
        options = f"size={limits['disk']},nr_inodes=20000,mode=700"
        _mount("tmpfs", folder, "tmpfs", NOSUID | NODEV, options)
    for path, descriptor in kept:
        os.makedirs(path)
        _mount(f"/proc/self/fd/{descriptor}", path, "", BIND | REC)
        os.close(descriptor)
    _mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC)
    for name, value in {
        "kernel/pid_max": 400, "user/max_user_namespaces": 0, "kernel/shmmax": 2**20,
        "kernel/shmall": 256, "kernel/msgmni": 0, "fs/mqueue/queues_max": 0,
    }.items():  # fmt: skip
        with contextlib.suppress(OSError):  # a second fence where the kernel has it
            Path("/proc/sys", name).write_text(str(value))
    _mount("proc", "/proc", "", REMOUNT | BIND | RDONLY | NOSUID | NODEV | NOEXEC)
    must(libc.prctl(4, 0, 0, 0, 0), "dumpable")
    _drop_capabilities()
    _forbid_calls()
