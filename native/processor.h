// Which of the library's instruction sets this processor and its system can run.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace eventax {

#if defined(__x86_64__)

// Levels as in the x86-64 psABI: 2 has SSE4.2, 3 has AVX2 and FMA, 4 has AVX-512.
constexpr unsigned kLevel2Leaf1Ecx = (1U << 0) | (1U << 9) | (1U << 13) | (1U << 19) |
                                     (1U << 20) | (1U << 23);
constexpr unsigned kLevel3Leaf1Ecx =
    (1U << 12) | (1U << 22) | (1U << 27) | (1U << 28) | (1U << 29);
constexpr unsigned kLevel3Leaf7Ebx = (1U << 3) | (1U << 5) | (1U << 8);
constexpr unsigned kLevel3ExtendedEcx = 1U << 5;
constexpr unsigned kLevel4Leaf7Ebx =
    (1U << 16) | (1U << 17) | (1U << 28) | (1U << 30) | (1U << 31);
// Registers that the system saves when it switches threads.
constexpr unsigned kSavesAvx = 0x6;
constexpr unsigned kSavesAvx512 = 0xe6;

constexpr bool has(unsigned flags, unsigned wanted) {
  return (flags & wanted) == wanted;
}

// This has to run where the rest of a library cannot, so it is compiled without AVX.
[[gnu::target("no-avx")]] inline int processor_level() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 1;
  const unsigned leaf1 = c;
  if (!has(leaf1, kLevel2Leaf1Ecx)) return 1;
  if (!has(leaf1, kLevel3Leaf1Ecx)) return 2;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 2;
  const unsigned leaf7 = b;
  if (!__get_cpuid(0x80000001, &a, &b, &c, &d)) return 2;
  unsigned saved = 0, high = 0;
  __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  if (!has(leaf7, kLevel3Leaf7Ebx) || !has(c, kLevel3ExtendedEcx)) return 2;
  if (!has(saved, kSavesAvx)) return 2;
  return has(leaf7, kLevel4Leaf7Ebx) && has(saved, kSavesAvx512) ? 4 : 3;
}

#else

// There is one instruction set, and every processor has it.
inline int processor_level() { return 1; }

#endif

}  // namespace eventax
