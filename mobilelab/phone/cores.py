"""The emulated cores: which there are, and what Linux says about each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Core:
    """An emulated core, and what the guest reads about it in ``/proc/cpuinfo``."""

    title: str
    part: int
    variant: int
    revision: int
    features: str
    """Of those that arm64 Linux lists, the ones that matter to kernels."""

    def cpuinfo(self, cores: int) -> str:
        """The text of ``/proc/cpuinfo`` on a phone that has only this kind of core."""
        return "".join(
            f"processor\t: {i}\nBogoMIPS\t: 38.40\nFeatures\t: {self.features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: {self.variant:#x}\n"
            f"CPU part\t: {self.part:#x}\nCPU revision\t: {self.revision}\n\n"
            for i in range(cores)
        )


_V8 = "fp asimd aes pmull sha1 sha2 crc32 cpuid"
_V82 = "fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
#: Cores that qemu 7.2 knows and that were built into phones. Part, variant and revision are those
#: in qemu's own MIDR_EL1 register (target/arm/cpu64.c); part numbers as in Linux's cputype.h.
CORES: dict[str, Core] = {
    "cortex-a35": Core("Cortex-A35 (2015, smallest)", 0xD04, 1, 0, _V8),
    "cortex-a53": Core("Cortex-A53 (2012, small)", 0xD03, 0, 4, _V8),
    "cortex-a57": Core("Cortex-A57 (2012, big)", 0xD07, 1, 0, _V8),
    "cortex-a72": Core("Cortex-A72 (2015, big)", 0xD08, 0, 3, _V8),
    "cortex-a76": Core("Cortex-A76 (2018, big, dot product)", 0xD0B, 4, 1, _V82),
}
#: The core that one gets without asking.
USUAL = "cortex-a53"
