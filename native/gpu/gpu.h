// A GPU through Dawn: its device, buffers and pipelines. Errors become exceptions.
#pragma once

#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/profile.h"
#include "gpu/open_device.h"
#include "gpu/timestamps.h"

namespace kexa {

struct Buffer {
  BufferHandle handle;
  uint64_t bytes = 0;
};

// How a kernel uses a buffer. The order is that of the kernel's bindings.
struct Binding {
  const Buffer* buffer;
  bool is_written;
};
inline Binding read(const Buffer& buffer) { return {&buffer, false}; }
inline Binding write(const Buffer& buffer) { return {&buffer, true}; }

struct Kernel {
  std::string name;
  std::string wgsl;  // emptied when it is compiled
  BindGroupLayout layout;
  PipelineLayout pipeline_layout;
  std::shared_ptr<const PipelineHandle> pipeline;  // null until it is compiled
};

// A mapping that was asked for. Dawn shares the state, and sets it even if nobody waits any more.
struct Mapping {
  WGPUFuture future{};
  std::shared_ptr<bool> is_mapped;
};

// One device, for one thread. A later fault of the device (loss, or a validation error in a checked build) is kept, and
// the next check() throws it.
class Gpu {
 public:
  // Throws KEXA_NO_DEVICE, as find_adapter() does.
  explicit Gpu(const GpuOptions& options) : open_(open_device(options)) {}
  ~Gpu();
  Gpu(const Gpu&) = delete;

  const AdapterFacts& facts() const { return open_->facts; }

  // Throws KEXA_OUT_OF_MEMORY, naming the buffer. The contents are undefined unless `is_zeroed`.
  Buffer create_buffer(const std::string& label, uint64_t bytes, bool is_zeroed = false);
  // Throws KEXA_OUT_OF_MEMORY, naming the buffer, if the GPU cannot bind one of that size.
  void check_size(const std::string& label, uint64_t bytes) const;
  // Frees a buffer that was needed only for a while.
  void destroy(Buffer buffer) { buffer_bytes_ -= int64_t(buffer.bytes); }
  // Memory that both sides see, mapped for writing. For Upload. Submits may copy out of it only while it is not mapped.
  Buffer create_mapped_buffer(const std::string& label, uint64_t bytes);
  std::byte* mapped(const Buffer& buffer);
  void unmap(const Buffer& buffer);
  // Asks to map a buffer once the GPU no longer uses it.
  Mapping map(const Buffer& buffer, WGPUMapMode mode, uint64_t bytes);
  // Waits, and returns whether the buffer is mapped now. Throws KEXA_DEVICE_LOST after a minute.
  bool wait(const Mapping& mapping);

  // Writes to a buffer before the next submit runs.
  void write(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data);

  // Makes a kernel. `access` tells for each binding whether the kernel writes it. Compiles at once, so that no step
  // waits for it. A software GPU compiles before the first run instead, because compiling all kernels takes it seconds
  // and few runs need all. Throws KEXA_INTERNAL with Dawn's message.
  Kernel create_kernel(const std::string& name, const std::string& wgsl, std::span<const bool> access);
  BindGroup bind(const Kernel& kernel, std::span<const Binding> bindings);

  // Encodes a dispatch. Dispatches share one compute pass until read() or submit().
  void dispatch(Kernel& kernel, const BindGroup& group, uint32_t x, uint32_t y = 1, uint32_t z = 1);
  // Encodes a copy, between the dispatches before and after it. Offsets and `bytes` are multiples of four.
  void copy(const Buffer& source, uint64_t source_offset, const Buffer& to, uint64_t to_offset, uint64_t bytes);
  void submit();
  // Submits the encoded work and waits for everything submitted. `any` is any buffer that exists.
  void finish(const Buffer& any) { take(read_later(any, 0, 0), {}); }
  // Submits the encoded work, waits, and copies a buffer from `offset` on to `out`. `offset` is a multiple of four.
  void read(const Buffer& buffer, std::span<std::byte> out, uint64_t offset = 0);

  // Submits the encoded work with a copy of `bytes` bytes. Returns a ticket, by which take() waits for the copy.
  // `bytes` may be 0.
  int read_later(const Buffer& buffer, uint64_t offset, uint64_t bytes);
  // The same in parts: makes a ticket for `bytes` bytes, encodes copies to places in them, and submits.
  int begin_read(uint64_t bytes);
  void read_part(int ticket, uint64_t at, const Buffer& buffer, uint64_t offset, uint64_t bytes);
  void end_read(int ticket);
  // Waits for the ticket's copy. Returns how many bytes it wrote to `out`. Each ticket is taken or dropped once.
  size_t take(int ticket, std::span<std::byte> out);
  // Gives up the ticket's copy. Does not wait, and does not throw.
  void drop(int ticket);

  // Starts to count dispatches, passes and submits, and to time each dispatch: by timestamps inside a pass, or in a
  // pass of its own if the GPU has no such timestamps. submit() then waits for its work.
  void start_profile();
  // Ends the profile. Returns the work submitted since its start, the slowest kernels first.
  Profile take_profile();

  // For checks: calls `watch` at each dispatch from now on, with the kernel and the workgroups along x, y and z.
  using DispatchWatch = std::function<void(const Kernel&, const std::array<uint32_t, 3>&)>;
  void watch_dispatches(DispatchWatch watch) { watch_ = std::move(watch); }

  // For tests: loses the device as if the driver had crashed.
  void force_loss();
  // For tests: create_buffer() fails from now on if all buffers together would be larger than `bytes`.
  void force_room(int64_t bytes) { room_ = bytes; }

  // Throws the fault that has happened since the last check, if any.
  void check() { open_->check(); }

 private:
  void compile(Kernel& kernel);
  void begin_pass(const WGPUComputePassDescriptor* descriptor);
  void end_pass();
  void resolve_times();
  void read_times();
  // Waits until the first `bytes` of a readback buffer are mapped, and calls `use` with them.
  template <typename Use>
  void with_mapped(const Buffer& buffer, uint64_t bytes, const Use& use);
  Buffer create_plain_buffer(const char* label, uint64_t bytes, WGPUBufferUsage usage);
  std::string pop_error_scope();

  OpenDevicePointer open_;  // dies last
  CommandEncoder encoder_;
  ComputePass pass_;
  Buffer staging_;

  // A buffer that the GPU copies into and the CPU maps.
  struct Readback {
    Buffer buffer;
    std::optional<Mapping> mapping;  // from end_read() on
    uint64_t bytes = 0;
    bool is_used = false, is_dropped = false;
  };
  void wait_for(Readback& readback);
  std::vector<std::unique_ptr<Readback>> readbacks_;  // indexed by ticket

  int64_t buffer_bytes_ = 0, room_ = std::numeric_limits<int64_t>::max();
  DispatchWatch watch_;
  Profile profile_;  // counts always; has ops only while is_profiled_
  bool is_profiled_ = false;
  std::optional<Timestamps> timestamps_;  // only while a profile is made
  size_t last_query_ = 0;                 // the latest query of the current pass
  Buffer times_, times_readback_;
};

}  // namespace kexa
