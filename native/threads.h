// Work in parts on the threads that JAX lends.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "xla/ffi/api/ffi.h"

namespace eventax {

inline int parts_of(xla::ffi::ThreadPool& pool, std::int64_t n) {
  const std::int64_t threads = std::max<std::int64_t>(pool.num_threads(), 1);
  return static_cast<int>(std::max<std::int64_t>(std::min(threads, n), 1));
}

// work(0), ..., work(parts - 1), each once. The caller takes part, and does not wait
// for a thread that has not begun: a pool whose threads are all busy is no deadlock.
template <class Work>
void in_parallel(xla::ffi::ThreadPool& pool, int parts, Work& work) {
  if (parts <= 1) {
    work(0);
    return;
  }
  struct Shared {
    std::atomic<int> next{0}, done{0};
    std::mutex mutex;
    std::condition_variable finished;
    Work* work;
    int parts;
  };
  auto shared = std::make_shared<Shared>();
  shared->work = &work;
  shared->parts = parts;
  const auto take = [shared] {
    for (;;) {
      const int k = shared->next.fetch_add(1);
      if (k >= shared->parts) return;
      (*shared->work)(k);
      if (shared->done.fetch_add(1) + 1 == shared->parts) {
        const std::lock_guard<std::mutex> lock(shared->mutex);
        shared->finished.notify_all();
      }
    }
  };
  for (int k = 1; k < parts; k++) pool.Schedule([take] { take(); });
  take();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->finished.wait(lock, [&] { return shared->done.load() == shared->parts; });
}

}  // namespace eventax
