#include "gpu/gpu.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "gpu/buffer_size.h"
#include "gpu/callback.h"

namespace kexa {
namespace {

// A larger buffer for a readback is not kept for the next one.
constexpr uint64_t kMostKeptBytes = 1 << 20;

}  // namespace

// A device that is still at work is closed, not kept.
Gpu::~Gpu() {
  for (const auto& readback : readbacks_)
    if (readback->is_used) open_->is_kept = false;
}

Mapping Gpu::map(const Buffer& buffer, WGPUMapMode mode, uint64_t bytes) {
  Mapping mapping{.future = {}, .is_mapped = std::make_shared<bool>(false)};
  WGPUBufferMapCallbackInfo callback = WGPU_BUFFER_MAP_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = lend(mapping.is_mapped);
  callback.callback = [](WGPUMapAsyncStatus status, WGPUStringView, void* to, void*) {
    *take_back<bool>(to) = status == WGPUMapAsyncStatus_Success;
  };
  mapping.future = dawn().BufferMapAsync(buffer.handle, mode, 0, bytes, callback);
  return mapping;
}

bool Gpu::wait(const Mapping& mapping) {
  open_->wait(mapping.future);
  return *mapping.is_mapped;
}

std::string Gpu::pop_error_scope() {
  const auto message = std::make_shared<std::string>();
  WGPUPopErrorScopeCallbackInfo callback = WGPU_POP_ERROR_SCOPE_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = lend(message);
  callback.callback = [](WGPUPopErrorScopeStatus, WGPUErrorType type, WGPUStringView found, void* to, void*) {
    const auto message = take_back<std::string>(to);
    if (type != WGPUErrorType_NoError) *message = text(found);
  };
  open_->wait(dawn().DevicePopErrorScope(open_->device, callback));
  return std::move(*message);
}

void Gpu::check_size(const std::string& label, uint64_t bytes) const {
  const uint64_t wanted = uint64_t(whole_buffer(int64_t(bytes)));
  const uint64_t most = std::min(open_->facts.max_buffer_bytes, open_->facts.max_binding_bytes);
  if (wanted > most)
    throw Error("KEXA_OUT_OF_MEMORY", label + ": wanted a buffer of " + std::to_string(wanted) + " bytes, " +
                                          open_->facts.device + " gives at most " + std::to_string(most));
}

Buffer Gpu::create_buffer(const std::string& label, uint64_t bytes, bool is_zeroed) {
  check_size(label, bytes);
  WGPUBufferDescriptor descriptor = WGPU_BUFFER_DESCRIPTOR_INIT;
  descriptor.label = view(label);
  descriptor.usage = WGPUBufferUsage_Storage | WGPUBufferUsage_CopySrc | WGPUBufferUsage_CopyDst;
  descriptor.size = uint64_t(whole_buffer(int64_t(bytes)));
  descriptor.mappedAtCreation = is_zeroed;
  const auto fail = [&](const std::string& why) {
    throw Error("KEXA_OUT_OF_MEMORY", label + ": " + open_->facts.device + " has no room for " +
                                          std::to_string(descriptor.size) + " bytes" + why);
  };
  if (buffer_bytes_ + int64_t(descriptor.size) > room_) fail("");
  dawn().DevicePushErrorScope(open_->device, WGPUErrorFilter_OutOfMemory);
  BufferHandle handle(dawn().DeviceCreateBuffer(open_->device, &descriptor));
  if (handle && is_zeroed) {
    if (void* mapped = dawn().BufferGetMappedRange(handle, 0, descriptor.size)) std::memset(mapped, 0, descriptor.size);
    dawn().BufferUnmap(handle);
  }
  const std::string failure = pop_error_scope();
  if (!handle || !failure.empty()) fail(": " + failure);
  buffer_bytes_ += int64_t(descriptor.size);
  return {std::move(handle), descriptor.size};
}

Buffer Gpu::create_mapped_buffer(const std::string& label, uint64_t bytes) {
  WGPUBufferDescriptor descriptor = WGPU_BUFFER_DESCRIPTOR_INIT;
  descriptor.label = view(label);
  descriptor.usage = WGPUBufferUsage_MapWrite | WGPUBufferUsage_CopySrc;
  descriptor.size = bytes;
  descriptor.mappedAtCreation = true;
  BufferHandle handle(dawn().DeviceCreateBuffer(open_->device, &descriptor));
  check();
  return {std::move(handle), bytes};
}

std::byte* Gpu::mapped(const Buffer& buffer) {
  if (!buffer.handle) return nullptr;
  return static_cast<std::byte*>(dawn().BufferGetMappedRange(buffer.handle, 0, buffer.bytes));
}

void Gpu::unmap(const Buffer& buffer) { dawn().BufferUnmap(buffer.handle); }

void Gpu::force_loss() {
  const std::string message = "it was asked to be";
  dawn().DeviceForceLoss(open_->device, WGPUDeviceLostReason_Unknown, view(message));
}

void Gpu::write(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data) {
  // Whole words of four bytes first, because copies go in such units.
  const size_t whole = data.size() / 4 * 4;
  if (whole) dawn().QueueWriteBuffer(open_->queue, buffer.handle, offset, data.data(), whole);
  if (whole == data.size()) return;
  std::byte rest[4]{};
  std::copy(data.begin() + whole, data.end(), rest);
  dawn().QueueWriteBuffer(open_->queue, buffer.handle, offset + whole, rest, 4);
}

Kernel Gpu::create_kernel(const std::string& name, const std::string& wgsl, std::span<const bool> access) {
  dawn().DevicePushErrorScope(open_->device, WGPUErrorFilter_Validation);
  std::vector<WGPUBindGroupLayoutEntry> entries;
  for (size_t i = 0; i < access.size(); ++i) {
    WGPUBindGroupLayoutEntry entry = WGPU_BIND_GROUP_LAYOUT_ENTRY_INIT;
    entry.binding = uint32_t(i);
    entry.visibility = WGPUShaderStage_Compute;
    entry.buffer.type = access[i] ? WGPUBufferBindingType_Storage : WGPUBufferBindingType_ReadOnlyStorage;
    entries.push_back(entry);
  }
  WGPUBindGroupLayoutDescriptor layout_descriptor = WGPU_BIND_GROUP_LAYOUT_DESCRIPTOR_INIT;
  layout_descriptor.label = view(name);
  layout_descriptor.entryCount = entries.size();
  layout_descriptor.entries = entries.data();
  Kernel kernel{.name = name,
                .wgsl = wgsl,
                .layout = BindGroupLayout(dawn().DeviceCreateBindGroupLayout(open_->device, &layout_descriptor)),
                .pipeline_layout = {},
                .pipeline = {}};

  WGPUPipelineLayoutDescriptor pipeline_layout_descriptor = WGPU_PIPELINE_LAYOUT_DESCRIPTOR_INIT;
  const WGPUBindGroupLayout layouts[] = {kernel.layout};
  pipeline_layout_descriptor.bindGroupLayoutCount = 1;
  pipeline_layout_descriptor.bindGroupLayouts = layouts;
  kernel.pipeline_layout =
      PipelineLayout(dawn().DeviceCreatePipelineLayout(open_->device, &pipeline_layout_descriptor));
  if (const std::string failure = pop_error_scope(); !failure.empty())
    throw Error("KEXA_INTERNAL", "kernel " + name + ": " + failure);
  if (!open_->facts.is_software || open_->facts.backend == "null") compile(kernel);
  return kernel;
}

void Gpu::compile(Kernel& kernel) {
  const bool is_shared = open_->options.keeps_device;
  const std::string key = is_shared ? kernel.name + "\n" + kernel.wgsl : "";
  if (const auto compiled = open_->pipelines.find(key); compiled != open_->pipelines.end()) {
    kernel.pipeline = compiled->second;
    kernel.wgsl.clear();
    return;
  }
  dawn().DevicePushErrorScope(open_->device, WGPUErrorFilter_Validation);
  WGPUShaderSourceWGSL source = WGPU_SHADER_SOURCE_WGSL_INIT;
  source.code = view(kernel.wgsl);
  WGPUShaderModuleDescriptor module_descriptor = WGPU_SHADER_MODULE_DESCRIPTOR_INIT;
  module_descriptor.nextInChain = &source.chain;
  module_descriptor.label = view(kernel.name);
  const ShaderModule module(dawn().DeviceCreateShaderModule(open_->device, &module_descriptor));

  WGPUComputePipelineDescriptor descriptor = WGPU_COMPUTE_PIPELINE_DESCRIPTOR_INIT;
  descriptor.label = view(kernel.name);
  descriptor.layout = kernel.pipeline_layout;
  descriptor.compute.module = module;
  descriptor.compute.entryPoint = view(kernel.name);
  PipelineHandle pipeline(dawn().DeviceCreateComputePipeline(open_->device, &descriptor));
  const std::string failure = pop_error_scope();
  if (!pipeline || !failure.empty()) throw Error("KEXA_INTERNAL", "kernel " + kernel.name + ": " + failure);
  kernel.pipeline = std::make_shared<const PipelineHandle>(std::move(pipeline));
  if (is_shared) open_->pipelines.emplace(key, kernel.pipeline);
  kernel.wgsl.clear();
}

BindGroup Gpu::bind(const Kernel& kernel, std::span<const Binding> bindings) {
  std::vector<WGPUBindGroupEntry> entries;
  for (size_t i = 0; i < bindings.size(); ++i) {
    WGPUBindGroupEntry entry = WGPU_BIND_GROUP_ENTRY_INIT;
    entry.binding = uint32_t(i);
    entry.buffer = bindings[i].buffer->handle;
    entry.size = bindings[i].buffer->bytes;
    entries.push_back(entry);
  }
  WGPUBindGroupDescriptor descriptor = WGPU_BIND_GROUP_DESCRIPTOR_INIT;
  descriptor.label = view(kernel.name);
  descriptor.layout = kernel.layout;
  descriptor.entryCount = entries.size();
  descriptor.entries = entries.data();
  return BindGroup(dawn().DeviceCreateBindGroup(open_->device, &descriptor));
}

void Gpu::begin_pass(const WGPUComputePassDescriptor* descriptor) {
  if (!encoder_) encoder_ = CommandEncoder(dawn().DeviceCreateCommandEncoder(open_->device, nullptr));
  pass_ = ComputePass(dawn().CommandEncoderBeginComputePass(encoder_, descriptor));
  ++profile_.passes;
}

void Gpu::end_pass() {
  if (pass_) dawn().ComputePassEncoderEnd(pass_);
  pass_.reset();
}

void Gpu::dispatch(Kernel& kernel, const BindGroup& group, uint32_t x, uint32_t y, uint32_t z) {
  if (!kernel.pipeline) compile(kernel);
  const bool is_timed_inside = timestamps_ && open_->facts.has_timestamps_inside_passes;
  if (timestamps_ && !is_timed_inside) {
    end_pass();
    const Timestamps::Query begin = timestamps_->next(), end = timestamps_->next();
    WGPUPassTimestampWrites writes = WGPU_PASS_TIMESTAMP_WRITES_INIT;
    writes.querySet = begin.set;
    writes.beginningOfPassWriteIndex = begin.index;
    writes.endOfPassWriteIndex = end.index;
    WGPUComputePassDescriptor descriptor = WGPU_COMPUTE_PASS_DESCRIPTOR_INIT;
    descriptor.timestampWrites = &writes;
    timestamps_->record(kernel.name, begin.number, end.number);
    begin_pass(&descriptor);
  }
  const auto stamp = [&] {
    const Timestamps::Query query = timestamps_->next();
    dawn().ComputePassEncoderWriteTimestamp(pass_, query.set, query.index);
    return query.number;
  };
  if (!pass_) {
    begin_pass(nullptr);
    if (is_timed_inside) last_query_ = stamp();
  }
  dawn().ComputePassEncoderSetPipeline(pass_, *kernel.pipeline);
  dawn().ComputePassEncoderSetBindGroup(pass_, 0, group, 0, nullptr);
  dawn().ComputePassEncoderDispatchWorkgroups(pass_, x, y, z);
  if (watch_) watch_(kernel, {x, y, z});
  ++profile_.dispatches;
  if (is_profiled_) ++profile_.op(kernel.name).dispatches;
  if (!is_timed_inside) return;
  const size_t begin = std::exchange(last_query_, stamp());
  timestamps_->record(kernel.name, begin, last_query_);
}

void Gpu::copy(const Buffer& source, uint64_t source_offset, const Buffer& to, uint64_t to_offset, uint64_t bytes) {
  end_pass();
  if (!encoder_) encoder_ = CommandEncoder(dawn().DeviceCreateCommandEncoder(open_->device, nullptr));
  dawn().CommandEncoderCopyBufferToBuffer(encoder_, source.handle, source_offset, to.handle, to_offset, bytes);
}

void Gpu::submit() {
  if (!encoder_) return;
  end_pass();
  const bool is_timed = timestamps_ && !timestamps_->is_empty();
  if (is_timed) resolve_times();
  const CommandBuffer commands(dawn().CommandEncoderFinish(encoder_, nullptr));
  encoder_.reset();
  const WGPUCommandBuffer list[] = {commands};
  dawn().QueueSubmit(open_->queue, 1, list);
  ++profile_.submits;
  if (is_timed) read_times();
}

Buffer Gpu::create_plain_buffer(const char* label, uint64_t bytes, WGPUBufferUsage usage) {
  WGPUBufferDescriptor descriptor = WGPU_BUFFER_DESCRIPTOR_INIT;
  descriptor.label = {label, WGPU_STRLEN};
  descriptor.usage = usage;
  descriptor.size = bytes;
  return {BufferHandle(dawn().DeviceCreateBuffer(open_->device, &descriptor)), bytes};
}

template <typename Use>
void Gpu::with_mapped(const Buffer& buffer, uint64_t bytes, const Use& use) {
  const bool is_mapped = wait(map(buffer, WGPUMapMode_Read, bytes));
  check();
  const void* mapped = is_mapped ? dawn().BufferGetConstMappedRange(buffer.handle, 0, bytes) : nullptr;
  if (!mapped) throw Error("KEXA_INTERNAL", "Dawn: the result could not be read back");
  use(mapped);
  dawn().BufferUnmap(buffer.handle);
}

void Gpu::read(const Buffer& buffer, std::span<std::byte> out, uint64_t offset) {
  const uint64_t bytes = (out.size() + 3) / 4 * 4;
  if (staging_.bytes < bytes)
    staging_ = create_plain_buffer("readback", bytes, WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst);
  copy(buffer, offset, staging_, 0, bytes);
  submit();
  ++profile_.waits;
  with_mapped(staging_, bytes, [&](const void* mapped) { std::memcpy(out.data(), mapped, out.size()); });
}

int Gpu::read_later(const Buffer& buffer, uint64_t offset, uint64_t bytes) {
  const int ticket = begin_read(bytes);
  // Copies four bytes even if `bytes` is 0, because the mapping tells when the submit is over.
  read_part(ticket, 0, buffer, offset, bytes ? bytes : 4);
  end_read(ticket);
  return ticket;
}

int Gpu::begin_read(uint64_t bytes) {
  constexpr uint64_t kLeastBytes = 512;
  int ticket = 0;
  while (ticket < int(readbacks_.size()) && readbacks_[ticket]->is_used && !readbacks_[ticket]->is_dropped) ++ticket;
  if (ticket == int(readbacks_.size())) readbacks_.push_back(std::make_unique<Readback>());
  Readback& readback = *readbacks_[ticket];
  if (readback.is_dropped) wait_for(readback);
  if (!readback.buffer.handle || readback.buffer.bytes < bytes)
    readback.buffer = create_plain_buffer("late readback", std::max(bytes, kLeastBytes),
                                          WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst);
  readback.bytes = bytes;
  readback.is_used = true;
  return ticket;
}

void Gpu::read_part(int ticket, uint64_t at, const Buffer& buffer, uint64_t offset, uint64_t bytes) {
  copy(buffer, offset, readbacks_[ticket]->buffer, at, bytes);
}

void Gpu::end_read(int ticket) {
  submit();
  Readback& readback = *readbacks_[ticket];
  readback.mapping = map(readback.buffer, WGPUMapMode_Read, std::max<uint64_t>(readback.bytes, 4));
}

// Waits for the mapping. Afterwards the buffer is unmapped, or never was mapped, and can be used again.
void Gpu::wait_for(Readback& readback) {
  if (readback.mapping && wait(*readback.mapping)) dawn().BufferUnmap(readback.buffer.handle);
  readback.mapping.reset();
  readback.is_used = readback.is_dropped = false;
}

size_t Gpu::take(int ticket, std::span<std::byte> out) {
  Readback& readback = *readbacks_[ticket];
  ++profile_.waits;
  const bool is_mapped = wait(*readback.mapping);
  const size_t bytes = std::min<size_t>(readback.bytes, out.size());
  const void* mapped =
      is_mapped ? dawn().BufferGetConstMappedRange(readback.buffer.handle, 0, std::max<uint64_t>(readback.bytes, 4))
                : nullptr;
  if (mapped && bytes) std::memcpy(out.data(), mapped, bytes);
  if (is_mapped) dawn().BufferUnmap(readback.buffer.handle);
  readback.mapping.reset();
  readback.is_used = false;
  if (readback.buffer.bytes > kMostKeptBytes) readback.buffer = {};
  check();
  if (!mapped) throw Error("KEXA_INTERNAL", "Dawn: the result could not be read back");
  return bytes;
}

void Gpu::drop(int ticket) { readbacks_[ticket]->is_dropped = true; }

void Gpu::start_profile() {
  submit();
  profile_ = {};
  is_profiled_ = true;
  if (open_->facts.has_timestamps) timestamps_.emplace(open_->device);
}

Profile Gpu::take_profile() {
  submit();
  timestamps_.reset();
  is_profiled_ = false;
  std::stable_sort(profile_.ops.begin(), profile_.ops.end(),
                   [](const auto& a, const auto& b) { return a.nanoseconds > b.nanoseconds; });
  profile_.buffer_bytes = buffer_bytes_;
  return std::exchange(profile_, {});
}

void Gpu::resolve_times() {
  const uint64_t bytes = timestamps_->bytes();
  if (times_.bytes < bytes) {
    times_ = create_plain_buffer("times", bytes, WGPUBufferUsage_QueryResolve | WGPUBufferUsage_CopySrc);
    times_readback_ = create_plain_buffer("times' readback", bytes, WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst);
  }
  timestamps_->resolve(encoder_, times_.handle);
  copy(times_, 0, times_readback_, 0, bytes);
}

void Gpu::read_times() {
  const uint64_t bytes = timestamps_->bytes();
  with_mapped(times_readback_, bytes, [&](const void* mapped) {
    timestamps_->finish(
        {static_cast<const uint64_t*>(mapped), bytes / sizeof(uint64_t)},
        [&](const std::string& name, int64_t nanoseconds) { profile_.op(name).nanoseconds += nanoseconds; });
  });
}

}  // namespace kexa
