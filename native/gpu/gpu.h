// A GPU through Dawn: adapter, device, buffers, pipelines, and errors as exceptions.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gpu/dawn_library.h"

namespace kexa {

// Owns one Dawn object. Move-only; released when it dies.
template <typename Raw, void (*DawnProcs::*Release)(Raw)>
class Handle {
 public:
  Handle() = default;
  explicit Handle(Raw raw) : raw_(raw) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  operator Raw() const { return raw_; }
  void reset() {
    if (raw_) (dawn().*Release)(raw_);
    raw_ = nullptr;
  }

 private:
  Raw raw_ = nullptr;
};

using InstanceHandle = Handle<WGPUInstance, &DawnProcs::InstanceRelease>;
using AdapterHandle = Handle<WGPUAdapter, &DawnProcs::AdapterRelease>;
using DeviceHandle = Handle<WGPUDevice, &DawnProcs::DeviceRelease>;
using QueueHandle = Handle<WGPUQueue, &DawnProcs::QueueRelease>;
using BufferHandle = Handle<WGPUBuffer, &DawnProcs::BufferRelease>;
using BindGroup = Handle<WGPUBindGroup, &DawnProcs::BindGroupRelease>;
using BindGroupLayout = Handle<WGPUBindGroupLayout, &DawnProcs::BindGroupLayoutRelease>;
using PipelineLayout = Handle<WGPUPipelineLayout, &DawnProcs::PipelineLayoutRelease>;
using PipelineHandle = Handle<WGPUComputePipeline, &DawnProcs::ComputePipelineRelease>;
using ShaderModule = Handle<WGPUShaderModule, &DawnProcs::ShaderModuleRelease>;
using CommandEncoder = Handle<WGPUCommandEncoder, &DawnProcs::CommandEncoderRelease>;
using CommandBuffer = Handle<WGPUCommandBuffer, &DawnProcs::CommandBufferRelease>;
using ComputePass = Handle<WGPUComputePassEncoder, &DawnProcs::ComputePassEncoderRelease>;

// What one adapter says of itself.
struct AdapterFacts {
  std::string vendor, architecture, device, description, backend;
  bool is_software = false;  // a CPU pretending
  bool has_f16 = false, has_subgroups = false, has_timestamps = false, has_subgroup_matrices = false;
  uint32_t subgroup_min = 0, subgroup_max = 0;
  uint64_t max_buffer_bytes = 0, max_binding_bytes = 0;
  uint32_t max_workgroup_bytes = 0, max_invocations = 0, max_storage_buffers = 0;
};

// The adapters Dawn offers on this machine, best first. load_dawn() first.
std::vector<AdapterFacts> list_adapters();

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
  BindGroupLayout layout;
  PipelineHandle pipeline;
};

// One device, for one thread. What goes wrong on it later (loss, validation in a debug build) is kept and thrown by the
// next check().
class Gpu {
 public:
  // `wanted` is part of an adapter's name or description in any case, or "gpu" for the best one that is no software.
  // `is_checked` keeps Dawn's validation and bounds checks. Throws KEXA_NO_DEVICE.
  Gpu(const std::string& wanted, bool is_checked);
  ~Gpu();
  Gpu(const Gpu&) = delete;

  const AdapterFacts& facts() const { return facts_; }

  // Throws KEXA_OUT_OF_MEMORY naming the buffer. Contents are undefined unless `is_zeroed`.
  Buffer create_buffer(const std::string& label, uint64_t bytes, bool is_zeroed = false);
  // Queued before the next submit.
  void write(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data);

  // `access` tells, for each binding, whether it is written. Throws KEXA_INTERNAL with Dawn's message.
  Kernel create_kernel(const std::string& name, const std::string& wgsl, std::span<const bool> access);
  BindGroup bind(const Kernel& kernel, std::span<const Binding> bindings);

  // Encoding: dispatches go into one compute pass until read() or submit().
  void dispatch(const Kernel& kernel, const BindGroup& group, uint32_t x, uint32_t y = 1, uint32_t z = 1);
  // Between the dispatches before and those after it. Offsets and bytes are multiples of four.
  void copy(const Buffer& source, uint64_t source_offset, const Buffer& to, uint64_t to_offset, uint64_t bytes);
  void submit();
  // Submits what is encoded and copies the start of a buffer out of it; waits.
  void read(const Buffer& buffer, std::span<std::byte> out);

  // Submits what is encoded, and with it a copy of `bytes` bytes, to be waited for later: a ticket. `bytes` may be 0.
  int read_later(const Buffer& buffer, uint64_t offset, uint64_t bytes);
  // Waits for the ticket's copy. Returns how many bytes it holds, at most out.size(). Each ticket once.
  size_t take(int ticket, std::span<std::byte> out);
  // The ticket's copy is not wanted after all. Does not wait, and does not throw.
  void drop(int ticket);

  // Throws what went wrong meanwhile.
  void check();

 private:
  struct Faults {
    std::string lost, error;
  };
  void wait(WGPUFuture future);
  std::string pop_error_scope();

  InstanceHandle instance_;
  AdapterHandle adapter_;
  DeviceHandle device_;
  QueueHandle queue_;
  AdapterFacts facts_;
  std::unique_ptr<Faults> faults_ = std::make_unique<Faults>();
  CommandEncoder encoder_;
  ComputePass pass_;
  Buffer staging_;

  // A small buffer that the GPU copies into and the CPU maps.
  struct Readback {
    Buffer buffer;
    WGPUFuture mapped = {};
    uint64_t bytes = 0;
    bool is_used = false, is_dropped = false, is_mapped = false;
  };
  void wait_for(Readback& readback);
  std::vector<std::unique_ptr<Readback>> readbacks_;  // by ticket
};

}  // namespace kexa
