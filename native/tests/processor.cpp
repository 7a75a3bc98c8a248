// The level of this processor is the one that the compiler's own run-time finds.
#include "../processor.h"

#include "check.h"

#if defined(__x86_64__)

namespace {

int level_by_the_compiler() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") != 0 &&
      __builtin_cpu_supports("avx512dq") != 0 &&
      __builtin_cpu_supports("avx512cd") != 0 &&
      __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0) {
    return 4;
  }
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
      __builtin_cpu_supports("bmi2") != 0) {
    return 3;
  }
  return __builtin_cpu_supports("sse4.2") != 0 ? 2 : 1;
}

// Of features made up: one that lacks, and one that the system does not save.
void test_levels_need_all_their_features() {
  const eventax::Features all{~0U, ~0U, ~0U, ~0U};
  CHECK(has(all, eventax::kLevel4));
  eventax::Features no_fma = all;
  no_fma.leaf1_ecx &= ~eventax::bit(12);
  CHECK(has(no_fma, eventax::kLevel2));
  CHECK(!has(no_fma, eventax::kLevel3));
  eventax::Features unsaved = all;
  unsaved.saved = eventax::bit(1) | eventax::bit(2);
  CHECK(has(unsaved, eventax::kLevel3));
  CHECK(!has(unsaved, eventax::kLevel4));
}

}  // namespace

int main() {
  CHECK(eventax::processor_level() == level_by_the_compiler());
  test_levels_need_all_their_features();
  return eventax::tests::failures();
}

#else

int main() {
  CHECK(eventax::processor_level() == 1);
  return eventax::tests::failures();
}

#endif
