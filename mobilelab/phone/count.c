/* A plugin for qemu-aarch64: counts the instructions that the emulated core executes.
 *
 * Each instruction is decoded once, when qemu translates the block that it stands in. What is added
 * at run time is three sums per block, so the count costs little. The sums live in a file that
 * mobilelab.phone.machine maps, too, and reads while the guest waits for its next request.
 *
 * Built without the C library, so that it loads into a qemu of any origin. The declarations below
 * are all that it needs of qemu's plugin interface, version 1 (QEMU manual, "TCG Plugins").
 * Encodings: Arm Architecture Reference Manual for A-profile, DDI 0487, section C4.1.
 */
#include <stddef.h>
#include <stdint.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(
    struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);

/* From the C library that qemu itself has loaded. */
int open(const char *, int, ...);
void *mmap(void *, size_t, int, int, int, long);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

/* Products that one instruction adds to a sum, 0 if it is no multiply-accumulate: floating point,
 * vector and dot product forms, subtracting ones included. Not counted: the integer MADD of the
 * general registers, which computes addresses, the saturating ones on scalars, and bfloat16 and
 * widening half forms. */
__attribute__((visibility("default"))) unsigned products(uint32_t w)
{
    unsigned q = w >> 30 & 1, u = w >> 29 & 1, size = w >> 22 & 3, op;

    if ((w & 0xFF000000) == 0x1F000000) /* FMADD, FMSUB, FNMADD, FNMSUB */
        return size == 2 ? 0 : 1;
    if ((w & 0xDF000400) == 0x5F000000) { /* FMLA, FMLS: scalar by element */
        op = w >> 12 & 15;
        return !u && (op == 1 || op == 5) && size != 1 ? 1 : 0;
    }
    if ((w & 0x9F200400) == 0x0E200400) { /* vector, three of one kind */
        op = w >> 11 & 31;
        if (op == 0x19 && !u) /* FMLA, FMLS */
            return size & 1 ? (q ? 2 : 0) : 2u << q;
        if (op == 0x12 && size != 3) /* MLA, MLS */
            return 8u << q >> size;
        return 0;
    }
    if ((w & 0x9F60C400) == 0x0E400400) { /* the same in half precision */
        op = w >> 11 & 7;
        return op == 1 && !u ? 4u << q : 0;
    }
    if ((w & 0x9F200C00) == 0x0E200000) { /* vector, widening */
        op = w >> 12 & 15;
        if ((op == 8 || op == 10) && size != 3) /* SMLAL, UMLAL, SMLSL, UMLSL */
            return 8u >> size;
        if ((op == 9 || op == 11) && !u && (size == 1 || size == 2)) /* SQDMLAL, SQDMLSL */
            return 8u >> size;
        return 0;
    }
    if ((w & 0x9F208400) == 0x0E008400) { /* vector, three of one kind, later additions */
        op = w >> 11 & 15;
        if (size == 2 && (op == 2 || (op == 3 && !u))) /* SDOT, UDOT, USDOT */
            return 8u << q;
        if (size == 2 && q && (op == 4 || (op == 5 && !u))) /* SMMLA, UMMLA, USMMLA */
            return 32;
        if (u && op < 2 && (size == 1 || size == 2)) /* SQRDMLAH, SQRDMLSH */
            return 8u << q >> size;
        return 0;
    }
    if ((w & 0x9F000400) == 0x0F000000) { /* vector by element */
        op = w >> 12 & 15;
        if (!u && (op == 1 || op == 5)) /* FMLA, FMLS */
            return size == 0 ? 4u << q : size == 2 ? 2u << q : size == 3 && q ? 2 : 0;
        if (u && (op == 0 || op == 4) && (size == 1 || size == 2)) /* MLA, MLS */
            return 8u << q >> size;
        if ((op == 2 || op == 6) && (size == 1 || size == 2)) /* SMLAL, UMLAL, SMLSL, UMLSL */
            return 8u >> size;
        if (!u && (op == 3 || op == 7) && (size == 1 || size == 2)) /* SQDMLAL, SQDMLSL */
            return 8u >> size;
        if (u && (op == 13 || op == 15) && (size == 1 || size == 2)) /* SQRDMLAH, SQRDMLSH */
            return 8u << q >> size;
        if (op == 14 && size == 2) /* SDOT, UDOT */
            return 8u << q;
        if (op == 15 && !u && (size == 0 || size == 2)) /* SUDOT, USDOT */
            return 8u << q;
    }
    return 0;
}

/* instructions, multiply-accumulate instructions, products that these add up */
static uint64_t *sums;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t found[3] = {qemu_plugin_tb_n_insns(tb), 0, 0};

    (void)id;
    for (size_t i = 0; i < found[0]; i++) {
        const uint32_t *word = qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i));
        unsigned n = products(*word);
        found[1] += n != 0;
        found[2] += n;
    }
    for (int k = 0; k < 3; k++)
        if (found[k])
            qemu_plugin_register_vcpu_tb_exec_inline(
                tb, QEMU_PLUGIN_INLINE_ADD_U64, sums + k, found[k]);
}

/* The one argument is sums=FILE, 24 bytes long. */
__attribute__((visibility("default"))) int
qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    int file;

    (void)info;
    if (argc != 1 || (file = open(argv[0] + 5, 2 /* O_RDWR */)) < 0)
        return -1;
    sums = mmap(NULL, 24, 3 /* read, write */, 1 /* MAP_SHARED */, file, 0);
    if (sums == (void *)-1)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
