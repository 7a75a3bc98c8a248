// Which of the library's instruction sets this processor, and its system, can run.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace eventax {

#if defined(__x86_64__)

// The bits that `cpuid` and `xgetbv` set for what a level of the x86-64 psABI has that
// the level below has not: Intel SDM, volume 2, CPUID, tables 3-8 to 3-10.
struct Features {
  unsigned leaf1_ecx, leaf7_ebx, extended_ecx, saved;
};
constexpr unsigned bit(unsigned n) { return 1U << n; }
constexpr Features kLevel2 = {
    // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT
    bit(0) | bit(9) | bit(13) | bit(19) | bit(20) | bit(23),
    0,
    bit(0),  // LAHF
    0,
};
constexpr Features kLevel3 = {
    bit(12) | bit(22) | bit(27) | bit(28) | bit(29),  // FMA, MOVBE, OSXSAVE, AVX, F16C
    bit(3) | bit(5) | bit(8),                         // BMI1, AVX2, BMI2
    bit(5),                                           // LZCNT
    bit(1) | bit(2),                                  // the system saves XMM and YMM
};
constexpr Features kLevel4 = {
    0,
    // AVX-512 F, DQ, CD, BW, VL
    bit(16) | bit(17) | bit(28) | bit(30) | bit(31),
    0,
    bit(5) | bit(6) | bit(7),  // the system saves masks and ZMM
};

constexpr bool has(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

constexpr bool has(const Features& features, const Features& wanted) {
  return has(features.leaf1_ecx, wanted.leaf1_ecx) &&
         has(features.leaf7_ebx, wanted.leaf7_ebx) &&
         has(features.extended_ecx, wanted.extended_ecx) &&
         has(features.saved, wanted.saved);
}

inline Features processor_features() {
  Features features{};
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) features.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) features.leaf7_ebx = b;
  if (__get_cpuid(0x80000001U, &a, &b, &c, &d) != 0) features.extended_ecx = c;
  if (has(features.leaf1_ecx, bit(27))) {  // OSXSAVE: xgetbv is there
    __asm__("xgetbv" : "=a"(features.saved), "=d"(d) : "c"(0));
  }
  return features;
}

inline int processor_level() {
  const Features features = processor_features();
  if (!has(features, kLevel2)) return 1;
  if (!has(features, kLevel3)) return 2;
  return has(features, kLevel4) ? 4 : 3;
}

#else

// There is one instruction set, which every processor has.
inline int processor_level() { return 1; }

#endif

}  // namespace eventax
