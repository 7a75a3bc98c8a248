// `CHECK(condition)` says what failed, and goes on; `main` returns `failures()`.
#pragma once

#include <atomic>
#include <cstdio>

namespace eventax::tests {

inline std::atomic<int>& failures() {
  static std::atomic<int> count{0};
  return count;
}

inline void check(bool holds, const char* condition, const char* file, int line) {
  if (holds) return;
  std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
  ++failures();
}

}  // namespace eventax::tests

#define CHECK(condition) \
  eventax::tests::check((condition), #condition, __FILE__, __LINE__)
