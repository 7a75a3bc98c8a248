// What Python finds in the library by name; everything else is hidden.
#include <cstdint>

#include "processor.h"
#include "xla/ffi/api/ffi.h"

#if defined(_WIN32)
#define EVENTAX_EXPORT extern "C" __declspec(dllexport)
#else
#define EVENTAX_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace ffi = xla::ffi;

namespace {

// How many threads JAX lends the core.
ffi::Error threads(ffi::ThreadPool pool, ffi::ResultBufferR0<ffi::S32> count) {
  *count->typed_data() = static_cast<std::int32_t>(pool.num_threads());
  return ffi::Error::Success();
}
XLA_FFI_DEFINE_HANDLER(
    threads_handler, threads,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Ret<ffi::BufferR0<ffi::S32>>());

struct Handler {
  const char* name;
  XLA_FFI_Handler* call;
};

// Python registers what is listed here, under these names.
constexpr Handler kHandlers[] = {
    {"eventax_threads", threads_handler},
    {nullptr, nullptr},
};

}  // namespace

// The macros are set by native/build.py.
EVENTAX_EXPORT const char* eventax_native_version() { return EVENTAX_VERSION; }
EVENTAX_EXPORT const char* eventax_native_instructions() {
  return EVENTAX_INSTRUCTIONS;
}
EVENTAX_EXPORT const char* eventax_native_build() { return EVENTAX_BUILD; }
EVENTAX_EXPORT int eventax_native_needs() { return EVENTAX_LEVEL; }
EVENTAX_EXPORT int eventax_native_processor() { return eventax::processor_level(); }
EVENTAX_EXPORT const Handler* eventax_native_handlers() { return kHandlers; }
