// Which numbers of a row are not negative, as bits.
#pragma once

#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace eventax {

// Eight numbers, the first in the lowest bit. Compilers do not find the instruction
// that gathers signs, and without it half of a pass over lanes went into asking who may
// fire.
inline std::uint8_t not_negative(const double* v) {
#if defined(__AVX512DQ__)
  return static_cast<std::uint8_t>(
      ~_mm512_movepi64_mask(_mm512_castpd_si512(_mm512_loadu_pd(v))));
#elif defined(__AVX__)
  return static_cast<std::uint8_t>(~(_mm256_movemask_pd(_mm256_loadu_pd(v)) |
                                     _mm256_movemask_pd(_mm256_loadu_pd(v + 4)) << 4));
#elif defined(__SSE2__)
  int signs = 0;
  for (int k = 0; k < 8; k += 2) signs |= _mm_movemask_pd(_mm_loadu_pd(v + k)) << k;
  return static_cast<std::uint8_t>(~signs);
#else
  unsigned bits = 0;
  for (int k = 0; k < 8; k++) bits |= static_cast<unsigned>(v[k] >= 0) << k;
  return static_cast<std::uint8_t>(bits);
#endif
}

// Of n numbers, n a multiple of eight; returns whether there is any.
inline bool note_signs(const double* v, int n, std::uint8_t* bits) {
  unsigned any = 0;
  for (int k = 0; k < n; k += 8) any |= bits[k / 8] = not_negative(v + k);
  return any != 0;
}

inline bool any_not_negative(const double* v, int n) {
  unsigned any = 0;
  for (int k = 0; k < n; k += 8) any |= not_negative(v + k);
  return any != 0;
}

// Calls take(k) for each set bit, in ascending order.
template <class Take>
void each_set(std::uint8_t bits, Take take) {
  for (unsigned rest = bits; rest != 0; rest &= rest - 1) take(__builtin_ctz(rest));
}

}  // namespace eventax
