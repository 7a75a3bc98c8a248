// Arrays as they come from JAX, checked, with their batches in front.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace eventax {

namespace ffi = xla::ffi;

struct BadArray : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An array of shape (batches..., own...). Every batch has its size or 1: shared.
class View {
 public:
  View() = default;
  View(void* data, ffi::Span<const std::int64_t> dims, ffi::DataType type,
       ffi::DataType wanted, const std::vector<std::int64_t>& batches,
       const std::vector<std::int64_t>& own, const char* name)
      : data_(static_cast<char*>(data)) {
    if (type != wanted) fail(name, "type");
    if (dims.size() != batches.size() + own.size()) fail(name, "number of axes");
    size_ = 1;
    for (std::size_t j = 0; j < own.size(); j++) {
      if (dims[batches.size() + j] != own[j]) fail(name, "shape");
      size_ *= own[j];
    }
    std::int64_t samples = 1;
    for (const std::int64_t n : batches) samples *= n;
    places_.assign(static_cast<std::size_t>(samples), 0);
    count_ = 1;
    std::int64_t inner = 1;
    for (std::size_t j = batches.size(); j-- > 0;) {
      const std::int64_t n = dims[j];
      if (n != 1 && n != batches[j]) fail(name, "batch");
      if (n > 1)
        for (std::int64_t b = 0; b < samples; b++)
          places_[static_cast<std::size_t>(b)] += b / inner % batches[j] * count_;
      if (n == batches[j] || n == 1) count_ *= n;
      inner *= batches[j];
    }
  }

  template <class T>
  T* of(std::int64_t sample) const {
    return reinterpret_cast<T*>(data_) + place(sample) * size_;
  }
  std::int64_t place(std::int64_t sample) const {
    // What all share is there in an empty batch, too.
    return places_.empty() ? 0 : places_[static_cast<std::size_t>(sample)];
  }
  std::int64_t size() const { return size_; }    // of one entry
  std::int64_t count() const { return count_; }  // of entries
  bool own() const { return count_ == static_cast<std::int64_t>(places_.size()); }

 private:
  [[noreturn]] static void fail(const char* name, const char* what) {
    throw BadArray(std::string("eventax: ") + name + " has an unexpected " + what +
                   ".");
  }

  char* data_ = nullptr;
  std::int64_t size_ = 0, count_ = 1;
  std::vector<std::int64_t> places_;
};

// Takes arrays one after the other.
template <class Arrays, class Buffer>
class Reader {
 public:
  Reader(Arrays& arrays, std::vector<std::int64_t> batches)
      : arrays_(arrays), batches_(std::move(batches)) {}

  View take(ffi::DataType type, const std::vector<std::int64_t>& own,
            const char* name) {
    auto found = arrays_.template get<Buffer>(next_++);
    if (found.has_error())
      throw BadArray(std::string("eventax: ") + name + " is missing.");
    return view(*found, type, own, name);
  }
  // The own axes of the array that comes next.
  std::vector<std::int64_t> shape(const char* name) {
    auto found = arrays_.template get<Buffer>(next_);
    if (found.has_error())
      throw BadArray(std::string("eventax: ") + name + " is missing.");
    const auto dims = dims_of(*found);
    if (dims.size() < batches_.size())
      throw BadArray(std::string("eventax: ") + name + " has an unexpected shape.");
    return {dims.begin() + static_cast<std::ptrdiff_t>(batches_.size()), dims.end()};
  }

 private:
  static ffi::Span<const std::int64_t> dims_of(ffi::AnyBuffer& b) {
    return b.dimensions();
  }
  static ffi::Span<const std::int64_t> dims_of(ffi::Result<ffi::AnyBuffer>& b) {
    return b->dimensions();
  }
  View view(ffi::AnyBuffer b, ffi::DataType type, const std::vector<std::int64_t>& own,
            const char* name) {
    return {
        b.untyped_data(), b.dimensions(), b.element_type(), type, batches_, own, name};
  }
  View view(ffi::Result<ffi::AnyBuffer> b, ffi::DataType type,
            const std::vector<std::int64_t>& own, const char* name) {
    return {b->untyped_data(),
            b->dimensions(),
            b->element_type(),
            type,
            batches_,
            own,
            name};
  }

  Arrays& arrays_;
  std::vector<std::int64_t> batches_;
  std::size_t next_ = 0;
};

}  // namespace eventax
