#include "gpu/gpu.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace kexa {
namespace {

constexpr uint64_t kWaitNanoseconds = 60'000'000'000;
// Experimental features and the toggles below are not offered otherwise.
constexpr const char* kInstanceToggles[] = {"allow_unsafe_apis"};
// f16 on NVIDIA's older drivers needs asking for.
constexpr const char* kAdapterToggles[] = {"allow_unsafe_apis", "vulkan_enable_f16_on_nvidia",
                                           "use_vulkan_memory_model"};
constexpr const char* kFastToggles[] = {"skip_validation", "disable_robustness", "disable_workgroup_init",
                                        "disable_polyfills_on_integer_div_and_mod"};
// Kernels write workgroup memory before they read it; clearing it can take SwiftShader's compiler many seconds.
constexpr const char* kCheckedToggles[] = {"disable_workgroup_init"};
// Fresh buffers are written before they are read, and timestamps are for measuring.
constexpr const char* kUnwantedToggles[] = {"lazy_clear_resource_on_first_use", "timestamp_quantization"};

std::string text(WGPUStringView view) {
  if (!view.data) return "";
  return view.length == WGPU_STRLEN ? std::string(view.data) : std::string(view.data, view.length);
}
WGPUStringView view(const std::string& string) { return {string.data(), string.size()}; }

std::string lower(std::string string) {
  std::transform(string.begin(), string.end(), string.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return string;
}

template <size_t N>
WGPUDawnTogglesDescriptor toggles(const char* const (&enabled)[N]) {
  WGPUDawnTogglesDescriptor descriptor = WGPU_DAWN_TOGGLES_DESCRIPTOR_INIT;
  descriptor.enabledToggleCount = N;
  descriptor.enabledToggles = enabled;
  return descriptor;
}

InstanceHandle create_instance() {
  auto wanted = toggles(kInstanceToggles);
  const WGPUInstanceFeatureName features[] = {WGPUInstanceFeatureName_TimedWaitAny};
  WGPUInstanceDescriptor descriptor = WGPU_INSTANCE_DESCRIPTOR_INIT;
  descriptor.nextInChain = &wanted.chain;
  descriptor.requiredFeatureCount = 1;
  descriptor.requiredFeatures = features;
  InstanceHandle instance(dawn().CreateInstance(&descriptor));
  if (!instance) throw Error("KEXA_NO_DEVICE", "Dawn gave no instance");
  return instance;
}

AdapterHandle request_adapter(WGPUInstance instance, WGPUPowerPreference power, bool is_fallback) {
  auto wanted = toggles(kAdapterToggles);
  WGPURequestAdapterOptions options = WGPU_REQUEST_ADAPTER_OPTIONS_INIT;
  options.nextInChain = &wanted.chain;
  options.featureLevel = WGPUFeatureLevel_Core;
  options.powerPreference = power;
  options.forceFallbackAdapter = is_fallback;
  WGPUAdapter adapter = nullptr;
  WGPURequestAdapterCallbackInfo callback = WGPU_REQUEST_ADAPTER_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = &adapter;
  callback.callback = [](WGPURequestAdapterStatus, WGPUAdapter found, WGPUStringView, void* to, void*) {
    *static_cast<WGPUAdapter*>(to) = found;
  };
  WGPUFutureWaitInfo wait = WGPU_FUTURE_WAIT_INFO_INIT;
  wait.future = dawn().InstanceRequestAdapter(instance, &options, callback);
  dawn().InstanceWaitAny(instance, 1, &wait, kWaitNanoseconds);
  return AdapterHandle(adapter);
}

AdapterFacts read_facts(WGPUAdapter adapter) {
  WGPUAdapterInfo info = WGPU_ADAPTER_INFO_INIT;
  WGPULimits limits = WGPU_LIMITS_INIT;
  dawn().AdapterGetInfo(adapter, &info);
  dawn().AdapterGetLimits(adapter, &limits);
  const auto has = [&](WGPUFeatureName feature) { return bool(dawn().AdapterHasFeature(adapter, feature)); };
  AdapterFacts facts{.vendor = text(info.vendor),
                     .architecture = text(info.architecture),
                     .device = text(info.device),
                     .description = text(info.description),
                     .backend = info.backendType == WGPUBackendType_Vulkan  ? "vulkan"
                                : info.backendType == WGPUBackendType_Metal ? "metal"
                                : info.backendType == WGPUBackendType_D3D12 ? "d3d12"
                                                                            : "other",
                     .is_software = info.adapterType == WGPUAdapterType_CPU,
                     .has_f16 = has(WGPUFeatureName_ShaderF16),
                     .has_subgroups = has(WGPUFeatureName_Subgroups),
                     .has_timestamps = has(WGPUFeatureName_TimestampQuery),
                     .has_subgroup_matrices = has(WGPUFeatureName_ChromiumExperimentalSubgroupMatrix),
                     .subgroup_min = info.subgroupMinSize,
                     .subgroup_max = info.subgroupMaxSize,
                     .max_buffer_bytes = limits.maxBufferSize,
                     .max_binding_bytes = limits.maxStorageBufferBindingSize,
                     .max_workgroup_bytes = limits.maxComputeWorkgroupStorageSize,
                     .max_invocations = limits.maxComputeInvocationsPerWorkgroup,
                     .max_storage_buffers = limits.maxStorageBuffersPerShaderStage};
  dawn().AdapterInfoFreeMembers(info);
  return facts;
}

// Dawn lists no adapters; it gives one for each wish, often the same.
struct FoundAdapter {
  AdapterHandle handle;
  AdapterFacts facts;
};
std::vector<FoundAdapter> find_adapters(WGPUInstance instance) {
  std::vector<FoundAdapter> found;
  const std::pair<WGPUPowerPreference, bool> wishes[] = {{WGPUPowerPreference_HighPerformance, false},
                                                         {WGPUPowerPreference_LowPower, false},
                                                         {WGPUPowerPreference_Undefined, true}};
  for (const auto& [power, is_fallback] : wishes) {
    AdapterHandle adapter = request_adapter(instance, power, is_fallback);
    if (!adapter) continue;
    AdapterFacts facts = read_facts(adapter);
    // Where no driver is good enough Dawn gives its Null backend, which computes nothing.
    if (facts.backend == "other") continue;
    const auto is_same = [&](const FoundAdapter& other) {
      return other.facts.device == facts.device && other.facts.description == facts.description;
    };
    if (std::none_of(found.begin(), found.end(), is_same)) found.push_back({std::move(adapter), std::move(facts)});
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.facts.is_software < b.facts.is_software; });
  return found;
}

bool is_wanted(const AdapterFacts& facts, const std::string& wanted) {
  if (wanted == "gpu") return !facts.is_software;
  return lower(facts.vendor + "\n" + facts.architecture + "\n" + facts.device + "\n" + facts.description)
             .find(lower(wanted)) != std::string::npos;
}

}  // namespace

std::vector<AdapterFacts> list_adapters() {
  const InstanceHandle instance = create_instance();
  std::vector<AdapterFacts> facts;
  for (const FoundAdapter& found : find_adapters(instance)) facts.push_back(found.facts);
  return facts;
}

Gpu::Gpu(const std::string& wanted, bool is_checked) : instance_(create_instance()) {
  auto found = find_adapters(instance_);
  const auto chosen = std::find_if(found.begin(), found.end(),
                                   [&](const FoundAdapter& adapter) { return is_wanted(adapter.facts, wanted); });
  if (chosen == found.end()) {
    std::string names;
    for (const FoundAdapter& adapter : found) names += (names.empty() ? "" : ", ") + adapter.facts.device;
    throw Error("KEXA_NO_DEVICE",
                "device: wanted '" + wanted + "', Dawn found " + (names.empty() ? "no adapter" : names));
  }
  adapter_ = std::move(chosen->handle);
  facts_ = chosen->facts;

  WGPULimits limits = WGPU_LIMITS_INIT;
  dawn().AdapterGetLimits(adapter_, &limits);
  std::vector<WGPUFeatureName> features;
  for (const auto& [has, feature] : {std::pair{facts_.has_f16, WGPUFeatureName_ShaderF16},
                                     {facts_.has_subgroups, WGPUFeatureName_Subgroups},
                                     {facts_.has_timestamps, WGPUFeatureName_TimestampQuery}})
    if (has) features.push_back(feature);
  auto wanted_toggles = is_checked ? toggles(kCheckedToggles) : toggles(kFastToggles);
  wanted_toggles.disabledToggleCount = std::size(kUnwantedToggles);
  wanted_toggles.disabledToggles = kUnwantedToggles;
  WGPUDeviceDescriptor descriptor = WGPU_DEVICE_DESCRIPTOR_INIT;
  const std::string label = "kexa";
  descriptor.nextInChain = &wanted_toggles.chain;
  descriptor.label = view(label);
  descriptor.requiredFeatureCount = features.size();
  descriptor.requiredFeatures = features.data();
  descriptor.requiredLimits = &limits;
  descriptor.deviceLostCallbackInfo.mode = WGPUCallbackMode_AllowProcessEvents;
  descriptor.deviceLostCallbackInfo.userdata1 = faults_.get();
  descriptor.deviceLostCallbackInfo.callback = [](const WGPUDevice*, WGPUDeviceLostReason reason,
                                                  WGPUStringView message, void* to, void*) {
    if (reason != WGPUDeviceLostReason_Destroyed && reason != WGPUDeviceLostReason_CallbackCancelled)
      static_cast<Faults*>(to)->lost = text(message);
  };
  descriptor.uncapturedErrorCallbackInfo.userdata1 = faults_.get();
  descriptor.uncapturedErrorCallbackInfo.callback = [](const WGPUDevice*, WGPUErrorType, WGPUStringView message,
                                                       void* to, void*) {
    auto& error = static_cast<Faults*>(to)->error;
    if (error.empty()) error = text(message);
  };
  struct Answer {
    WGPUDevice device = nullptr;
    std::string message;
  } answer;
  WGPURequestDeviceCallbackInfo callback = WGPU_REQUEST_DEVICE_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = &answer;
  callback.callback = [](WGPURequestDeviceStatus, WGPUDevice device, WGPUStringView message, void* to, void*) {
    *static_cast<Answer*>(to) = {device, text(message)};
  };
  wait(dawn().AdapterRequestDevice(adapter_, &descriptor, callback));
  if (!answer.device) throw Error("KEXA_NO_DEVICE", "Dawn gave no device on " + facts_.device + ": " + answer.message);
  device_ = DeviceHandle(answer.device);
  queue_ = QueueHandle(dawn().DeviceGetQueue(device_));
}

Gpu::~Gpu() {
  if (device_) dawn().DeviceDestroy(device_);
  if (instance_) dawn().InstanceProcessEvents(instance_);
}

void Gpu::wait(WGPUFuture future) {
  WGPUFutureWaitInfo wait = WGPU_FUTURE_WAIT_INFO_INIT;
  wait.future = future;
  const WGPUWaitStatus status = dawn().InstanceWaitAny(instance_, 1, &wait, kWaitNanoseconds);
  if (status != WGPUWaitStatus_Success)
    throw Error("KEXA_DEVICE_LOST",
                "the GPU did not answer within " + std::to_string(kWaitNanoseconds / 1'000'000'000) + " s");
}

void Gpu::check() {
  dawn().InstanceProcessEvents(instance_);
  if (!faults_->lost.empty()) throw Error("KEXA_DEVICE_LOST", "the GPU was lost: " + faults_->lost);
  if (!faults_->error.empty()) throw Error("KEXA_INTERNAL", "Dawn: " + std::exchange(faults_->error, {}));
}

std::string Gpu::pop_error_scope() {
  std::string message;
  WGPUPopErrorScopeCallbackInfo callback = WGPU_POP_ERROR_SCOPE_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = &message;
  callback.callback = [](WGPUPopErrorScopeStatus, WGPUErrorType type, WGPUStringView found, void* to, void*) {
    if (type != WGPUErrorType_NoError) *static_cast<std::string*>(to) = text(found);
  };
  wait(dawn().DevicePopErrorScope(device_, callback));
  return message;
}

Buffer Gpu::create_buffer(const std::string& label, uint64_t bytes, bool is_zeroed) {
  WGPUBufferDescriptor descriptor = WGPU_BUFFER_DESCRIPTOR_INIT;
  descriptor.label = view(label);
  descriptor.usage = WGPUBufferUsage_Storage | WGPUBufferUsage_CopySrc | WGPUBufferUsage_CopyDst;
  descriptor.size = std::max<uint64_t>(16, (bytes + 15) / 16 * 16);
  descriptor.mappedAtCreation = is_zeroed;
  if (descriptor.size > facts_.max_buffer_bytes || descriptor.size > facts_.max_binding_bytes)
    throw Error("KEXA_OUT_OF_MEMORY", label + ": wanted a buffer of " + std::to_string(descriptor.size) + " bytes, " +
                                          facts_.device + " gives at most " +
                                          std::to_string(std::min(facts_.max_buffer_bytes, facts_.max_binding_bytes)));
  dawn().DevicePushErrorScope(device_, WGPUErrorFilter_OutOfMemory);
  BufferHandle handle(dawn().DeviceCreateBuffer(device_, &descriptor));
  if (handle && is_zeroed) {
    if (void* mapped = dawn().BufferGetMappedRange(handle, 0, descriptor.size)) std::memset(mapped, 0, descriptor.size);
    dawn().BufferUnmap(handle);
  }
  const std::string failure = pop_error_scope();
  if (!handle || !failure.empty())
    throw Error("KEXA_OUT_OF_MEMORY", label + ": " + facts_.device + " has no room for " +
                                          std::to_string(descriptor.size) + " bytes: " + failure);
  return {std::move(handle), descriptor.size};
}

void Gpu::write(const Buffer& buffer, uint64_t offset, std::span<const std::byte> data) {
  // Copies go in units of four bytes.
  const size_t whole = data.size() / 4 * 4;
  if (whole) dawn().QueueWriteBuffer(queue_, buffer.handle, offset, data.data(), whole);
  if (whole == data.size()) return;
  std::byte rest[4]{};
  std::copy(data.begin() + whole, data.end(), rest);
  dawn().QueueWriteBuffer(queue_, buffer.handle, offset + whole, rest, 4);
}

Kernel Gpu::create_kernel(const std::string& name, const std::string& wgsl, std::span<const bool> access) {
  dawn().DevicePushErrorScope(device_, WGPUErrorFilter_Validation);
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
                .layout = BindGroupLayout(dawn().DeviceCreateBindGroupLayout(device_, &layout_descriptor)),
                .pipeline = {}};

  WGPUPipelineLayoutDescriptor pipeline_layout_descriptor = WGPU_PIPELINE_LAYOUT_DESCRIPTOR_INIT;
  const WGPUBindGroupLayout layouts[] = {kernel.layout};
  pipeline_layout_descriptor.bindGroupLayoutCount = 1;
  pipeline_layout_descriptor.bindGroupLayouts = layouts;
  const PipelineLayout pipeline_layout(dawn().DeviceCreatePipelineLayout(device_, &pipeline_layout_descriptor));

  WGPUShaderSourceWGSL source = WGPU_SHADER_SOURCE_WGSL_INIT;
  source.code = view(wgsl);
  WGPUShaderModuleDescriptor module_descriptor = WGPU_SHADER_MODULE_DESCRIPTOR_INIT;
  module_descriptor.nextInChain = &source.chain;
  module_descriptor.label = view(name);
  const ShaderModule module(dawn().DeviceCreateShaderModule(device_, &module_descriptor));

  WGPUComputePipelineDescriptor descriptor = WGPU_COMPUTE_PIPELINE_DESCRIPTOR_INIT;
  descriptor.label = view(name);
  descriptor.layout = pipeline_layout;
  descriptor.compute.module = module;
  descriptor.compute.entryPoint = view(name);
  kernel.pipeline = PipelineHandle(dawn().DeviceCreateComputePipeline(device_, &descriptor));
  const std::string failure = pop_error_scope();
  if (!kernel.pipeline || !failure.empty()) throw Error("KEXA_INTERNAL", "kernel " + name + ": " + failure);
  return kernel;
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
  return BindGroup(dawn().DeviceCreateBindGroup(device_, &descriptor));
}

void Gpu::dispatch(const Kernel& kernel, const BindGroup& group, uint32_t x, uint32_t y, uint32_t z) {
  if (!encoder_) encoder_ = CommandEncoder(dawn().DeviceCreateCommandEncoder(device_, nullptr));
  if (!pass_) pass_ = ComputePass(dawn().CommandEncoderBeginComputePass(encoder_, nullptr));
  dawn().ComputePassEncoderSetPipeline(pass_, kernel.pipeline);
  dawn().ComputePassEncoderSetBindGroup(pass_, 0, group, 0, nullptr);
  dawn().ComputePassEncoderDispatchWorkgroups(pass_, x, y, z);
}

void Gpu::copy(const Buffer& source, uint64_t source_offset, const Buffer& to, uint64_t to_offset, uint64_t bytes) {
  if (pass_) dawn().ComputePassEncoderEnd(pass_);
  pass_.reset();
  if (!encoder_) encoder_ = CommandEncoder(dawn().DeviceCreateCommandEncoder(device_, nullptr));
  dawn().CommandEncoderCopyBufferToBuffer(encoder_, source.handle, source_offset, to.handle, to_offset, bytes);
}

void Gpu::submit() {
  if (!encoder_) return;
  if (pass_) dawn().ComputePassEncoderEnd(pass_);
  pass_.reset();
  const CommandBuffer commands(dawn().CommandEncoderFinish(encoder_, nullptr));
  encoder_.reset();
  const WGPUCommandBuffer list[] = {commands};
  dawn().QueueSubmit(queue_, 1, list);
}

int Gpu::read_later(const Buffer& buffer, uint64_t offset, uint64_t bytes) {
  constexpr uint64_t kReadbackBytes = 64;
  if (bytes > kReadbackBytes) throw Error("KEXA_INTERNAL", "read_later: too many bytes");
  int ticket = 0;
  while (ticket < int(readbacks_.size()) && readbacks_[ticket]->is_used && !readbacks_[ticket]->is_dropped) ++ticket;
  if (ticket == int(readbacks_.size())) {
    WGPUBufferDescriptor descriptor = WGPU_BUFFER_DESCRIPTOR_INIT;
    const std::string label = "late readback";
    descriptor.label = view(label);
    descriptor.usage = WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst;
    descriptor.size = kReadbackBytes;
    readbacks_.push_back(std::make_unique<Readback>());
    readbacks_.back()->buffer = {BufferHandle(dawn().DeviceCreateBuffer(device_, &descriptor)), kReadbackBytes};
  }
  Readback& readback = *readbacks_[ticket];
  if (readback.is_dropped) wait_for(readback);
  readback.bytes = bytes;
  // Without bytes too: the mapping tells when the submit is over.
  copy(buffer, offset, readback.buffer, 0, bytes ? bytes : 4);
  submit();
  readback.is_used = true, readback.is_dropped = false, readback.is_mapped = false;
  WGPUBufferMapCallbackInfo callback = WGPU_BUFFER_MAP_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = &readback.is_mapped;
  callback.callback = [](WGPUMapAsyncStatus status, WGPUStringView, void* to, void*) {
    *static_cast<bool*>(to) = status == WGPUMapAsyncStatus_Success;
  };
  readback.mapped = dawn().BufferMapAsync(readback.buffer.handle, WGPUMapMode_Read, 0, kReadbackBytes, callback);
  return ticket;
}

// Afterwards the buffer is unmapped again, or was never mapped, and may be used anew.
void Gpu::wait_for(Readback& readback) {
  wait(readback.mapped);
  if (readback.is_mapped) dawn().BufferUnmap(readback.buffer.handle);
  readback.is_used = readback.is_dropped = false;
}

size_t Gpu::take(int ticket, std::span<std::byte> out) {
  Readback& readback = *readbacks_[ticket];
  wait(readback.mapped);
  const size_t bytes = std::min<size_t>(readback.bytes, out.size());
  const void* mapped =
      readback.is_mapped ? dawn().BufferGetConstMappedRange(readback.buffer.handle, 0, readback.buffer.bytes) : nullptr;
  if (mapped) std::memcpy(out.data(), mapped, bytes);
  if (readback.is_mapped) dawn().BufferUnmap(readback.buffer.handle);
  readback.is_used = false;
  check();
  if (!mapped) throw Error("KEXA_INTERNAL", "Dawn: the result could not be read back");
  return bytes;
}

void Gpu::drop(int ticket) { readbacks_[ticket]->is_dropped = true; }

void Gpu::read(const Buffer& buffer, std::span<std::byte> out) {
  const uint64_t bytes = (out.size() + 3) / 4 * 4;
  if (staging_.bytes < bytes) {
    WGPUBufferDescriptor descriptor = WGPU_BUFFER_DESCRIPTOR_INIT;
    const std::string label = "readback";
    descriptor.label = view(label);
    descriptor.usage = WGPUBufferUsage_MapRead | WGPUBufferUsage_CopyDst;
    descriptor.size = bytes;
    staging_ = {BufferHandle(dawn().DeviceCreateBuffer(device_, &descriptor)), bytes};
  }
  copy(buffer, 0, staging_, 0, bytes);
  submit();
  bool is_mapped = false;
  WGPUBufferMapCallbackInfo callback = WGPU_BUFFER_MAP_CALLBACK_INFO_INIT;
  callback.mode = WGPUCallbackMode_WaitAnyOnly;
  callback.userdata1 = &is_mapped;
  callback.callback = [](WGPUMapAsyncStatus status, WGPUStringView, void* to, void*) {
    *static_cast<bool*>(to) = status == WGPUMapAsyncStatus_Success;
  };
  wait(dawn().BufferMapAsync(staging_.handle, WGPUMapMode_Read, 0, bytes, callback));
  check();
  const void* mapped = is_mapped ? dawn().BufferGetConstMappedRange(staging_.handle, 0, bytes) : nullptr;
  if (!mapped) throw Error("KEXA_INTERNAL", "Dawn: the result could not be read back");
  std::memcpy(out.data(), mapped, out.size());
  dawn().BufferUnmap(staging_.handle);
}

}  // namespace kexa
