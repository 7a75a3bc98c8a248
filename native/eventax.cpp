// The library's face to Python: what it is, and the handlers that JAX calls.
#include <cstdint>

#include "call.h"
#include "export.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

#define EVENTAX_HANDLERS(bits, T)                                          \
  XLA_FFI_DEFINE_HANDLER(forward_##bits, eventax::forward<T>,              \
                         ffi::Ffi::Bind()                                  \
                             .Ctx<ffi::ThreadPool>()                       \
                             .RemainingArgs()                              \
                             .RemainingRets()                              \
                             .Attr<ffi::Span<const std::int64_t>>("batch") \
                             .Attr<ffi::Span<const std::int64_t>>("ints")  \
                             .Attr<ffi::Span<const double>>("reals"));     \
  XLA_FFI_DEFINE_HANDLER(backward_##bits, eventax::backward<T>,            \
                         ffi::Ffi::Bind()                                  \
                             .Ctx<ffi::ThreadPool>()                       \
                             .RemainingArgs()                              \
                             .RemainingRets()                              \
                             .Attr<ffi::Span<const std::int64_t>>("batch") \
                             .Attr<ffi::Span<const std::int64_t>>("ints")  \
                             .Attr<ffi::Span<const double>>("reals")       \
                             .Attr<ffi::Span<const std::int64_t>>("wanted"))

EVENTAX_HANDLERS(32, float);
EVENTAX_HANDLERS(64, double);

struct Handler {
  const char* name;
  XLA_FFI_Handler* call;
};

// Python registers what is listed here, under these names.
constexpr Handler kHandlers[] = {
    {"eventax_forward_32", forward_32},
    {"eventax_forward_64", forward_64},
    {"eventax_backward_32", backward_32},
    {"eventax_backward_64", backward_64},
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
EVENTAX_EXPORT const Handler* eventax_native_handlers() { return kHandlers; }
