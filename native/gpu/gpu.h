// A GPU through Dawn: device, buffers, pipelines, and errors as exceptions.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "gpu/adapter.h"
#include "gpu/blob_cache.h"
#include "gpu/timestamps.h"
#include "base/profile.h"

namespace kexa {

struct Buffer {
  BufferHandle handle;
  uint64_t bytes = 0;
};

// How a kernel uses a buffer; in the order of its bindings.
struct Binding {
  const Buffer* buffer;
  bool is_written;
};
inline Binding read(const Buffer& buffer) { return {&buffer, false}; }
inline Binding write(const Buffer& buffer) { return {&buffer, true}; }

struct Kernel {
  std::string name;
  std::string wgsl;  // until it is compiled
  BindGroupLayout layout;
  PipelineLayout pipeline_layout;
  PipelineHandle pipeline;
};

// A buffer that is to be mapped. The state is Dawn's too, which sets it even after all who waited have gone.
struct Mapping {
  WGPUFuture future{};
  std::shared_ptr<bool> is_mapped;
};

struct GpuOptions {
  std::string wanted;         // as for find_adapter()
  bool is_checked = false;    // keeps Dawn's validation and bounds checks
  std::string dawn_identity;  // differs for each build of Dawn: what one has compiled is not for another
  std::string blob_folder;    // where compiled kernels are kept; empty: nowhere
};

// One device, for one thread. What goes wrong on it later (loss, validation in a debug build) is kept and thrown by the
// next check().
class Gpu {
 public:
  // Throws KEXA_NO_DEVICE.
  explicit Gpu(const GpuOptions& options);
  ~Gpu();
  Gpu(const Gpu&) = delete;

  const AdapterFacts& facts() const { return facts_; }

  // Throws KEXA_OUT_OF_MEMORY naming the buffer. Contents are undefined unless `is_zeroed`.
  Buffer create_buffer(const std::string& label, uint64_t bytes, bool is_zeroed = false);
  // Throws KEXA_OUT_OF_MEMORY naming the buffer if the GPU binds none so large.
  void check_size(const std::string& label, uint64_t bytes) const;
  // Of a buffer that was only needed for a while.
  void destroy(Buffer buffer) { buffer_bytes_ -= int64_t(buffer.bytes); }
  // For Upload: memory that both sides see, mapped for writing. Copies out of it are for submits while it is not
  // mapped.
  Buffer create_mapped_buffer(const std::string& label, uint64_t bytes);
  std::byte* mapped(const Buffer& buffer);
  void unmap(const Buffer& buffer);
  // Asks for a buffer to be mapped once the GPU has done with it.
  Mapping map(const Buffer& buffer, WGPUMapMode mode, uint64_t bytes);
  // Returns whether the buffer is mapped now. Throws KEXA_DEVICE_LOST after a minute.
  bool wait(const Mapping& mapping);

  // Queued before the next submit.
  void write(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data);

  // `access` tells, for each binding, whether it is written. Compiles it, so that no step waits for that; on a
  // processor that plays a GPU, which takes seconds for all kernels and is seldom asked to run all, before it is first
  // run. Throws KEXA_INTERNAL with Dawn's message.
  Kernel create_kernel(const std::string& name, const std::string& wgsl, std::span<const bool> access);
  BindGroup bind(const Kernel& kernel, std::span<const Binding> bindings);

  // Encoding: dispatches go into one compute pass until read() or submit().
  void dispatch(Kernel& kernel, const BindGroup& group, uint32_t x, uint32_t y = 1, uint32_t z = 1);
  // Between the dispatches before and those after it. Offsets and bytes are multiples of four.
  void copy(const Buffer& source, uint64_t source_offset, const Buffer& to, uint64_t to_offset, uint64_t bytes);
  void submit();
  // Submits what is encoded and waits for all that was submitted. `any`: a buffer that was made.
  void finish(const Buffer& any) { take(read_later(any, 0, 0), {}); }
  // Submits what is encoded and copies a buffer out of it, from `offset`, a multiple of four, on; waits.
  void read(const Buffer& buffer, std::span<std::byte> out, uint64_t offset = 0);

  // Submits what is encoded, and with it a copy of `bytes` bytes, to be waited for later: a ticket. `bytes` may be 0.
  int read_later(const Buffer& buffer, uint64_t offset, uint64_t bytes);
  // Waits for the ticket's copy. Returns how many bytes it holds, at most out.size(). Each ticket once.
  size_t take(int ticket, std::span<std::byte> out);
  // The ticket's copy is not wanted after all. Does not wait, and does not throw.
  void drop(int ticket);

  // From here on dispatches, passes and submits are counted, and each dispatch is timed: by timestamps inside passes
  // or, on a GPU without those, in a pass of its own. submit() then waits for its work.
  void start_profile();
  // What has been submitted since, the slowest kernels first; ends it.
  Profile take_profile();

  // Loses the device as a driver's crash does, for tests.
  void force_loss();
  // From here on create_buffer() fails where all buffers together would take more, for tests.
  void force_room(int64_t bytes) { room_ = bytes; }

  // Throws what went wrong meanwhile.
  void check();

 private:
  struct Faults {
    std::string lost, error;
  };
  void check_device(std::span<const WGPUFeatureName> features, const WGPULimits& wanted);
  void compile(Kernel& kernel);
  void begin_pass(const WGPUComputePassDescriptor* descriptor);
  void end_pass();
  void resolve_times();
  void read_times();
  // Waits until the start of a readback buffer is mapped, and shows it.
  template <typename Use>
  void with_mapped(const Buffer& buffer, uint64_t bytes, const Use& use);
  Buffer create_plain_buffer(const char* label, uint64_t bytes, WGPUBufferUsage usage);
  std::string pop_error_scope();
  // Throws KEXA_DEVICE_LOST after a minute. What the future's callback writes to must be lent to it: it is called even
  // then, later.
  void wait(WGPUFuture future);

  std::unique_ptr<Faults> faults_ = std::make_unique<Faults>();  // dies last: Dawn's callbacks write to it
  BlobCache blobs_;                                              // outlives the device, which calls it
  InstanceHandle instance_;
  AdapterHandle adapter_;
  DeviceHandle device_;
  QueueHandle queue_;
  AdapterFacts facts_;
  CommandEncoder encoder_;
  ComputePass pass_;
  Buffer staging_;

  // A small buffer that the GPU copies into and the CPU maps.
  struct Readback {
    Buffer buffer;
    Mapping mapping;
    uint64_t bytes = 0;
    bool is_used = false, is_dropped = false;
  };
  void wait_for(Readback& readback);
  std::vector<std::unique_ptr<Readback>> readbacks_;  // by ticket

  int64_t buffer_bytes_ = 0, room_ = std::numeric_limits<int64_t>::max();
  Profile profile_;  // counts always; ops while is_profiled_
  bool is_profiled_ = false;
  std::optional<Timestamps> timestamps_;  // while a profile is made
  size_t last_query_ = 0;                 // the latest in the current pass
  Buffer times_, times_readback_;
};

}  // namespace kexa
