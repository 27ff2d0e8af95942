/* Which vector instructions this machine has. What is asked for is what ops/simd.h compiles block
 * kernels with; the operating system must save the registers too, which the builtin looks at. */
#include "base/isa.h"

#include <wengert/op.h>

int wg__isa_best(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx512 ? WG_ISA_AVX512 : avx2 ? WG_ISA_AVX2 : WG_ISA_PORTABLE;
#else
    return WG_ISA_PORTABLE;
#endif
}

const char *wg__isa_name(int isa)
{
    static const char *const names[WG_ISA_COUNT] = {
        [WG_ISA_PORTABLE] = "portable", [WG_ISA_AVX2] = "avx2", [WG_ISA_AVX512] = "avx512"};
    return isa >= 0 && isa < WG_ISA_COUNT ? names[isa] : "";
}
